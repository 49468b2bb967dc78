//! What has gone wrong in other targets and initiators, a file for each theme (docs/security.md has the table).

mod chap;
mod crowd;
mod keys;
mod leaks;
mod log_lines;
mod randomness;
mod space;
mod strangers;
mod teardown;
mod tenants;

use timedisk_target::{Authentication, Target, User};
use timedisk_volume::Volume;

use super::wire::{Proof, open_target};

const ANN: Proof<'_> = Proof { algorithm: "7", user: "ann", secret: "ann's long secret", more: &[] };
const BOB: Proof<'_> = Proof { user: "bob", secret: "bob's long secret", ..ANN };

/// What the targets' own side is proved with.
const OWN_SECRET: &str = "the target's secret";

fn user(name: &str, secret: &str) -> User {
    User { name: name.into(), secret: secret.into() }
}

fn people() -> Vec<User> {
    [ANN, BOB].map(|proof| user(proof.user, proof.secret)).to_vec()
}

/// A target that these users may log in to, and that can prove itself.
fn guarded(name: &str, users: &[&str], volume: impl Volume + 'static) -> Target {
    let users = users.iter().map(|name| name.to_string()).collect();
    let own = Some(user("the target", OWN_SECRET));
    Target { authentication: Authentication::Chap { users, own }, ..open_target(name, volume) }
}
