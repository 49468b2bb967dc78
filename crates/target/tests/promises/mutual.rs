//! Both sides show who they are, and discovery is for those who did.

use timedisk_iscsi::chap;
use timedisk_iscsi::encoding::{decode, encode_hex};
use timedisk_target::{Authentication, Catalogue, Limits, Target, User};
use timedisk_volume::MemoryVolume;

use super::wire::{Initiator, Lab, Proof, full_name, open_target};

const ANN: Proof<'_> = Proof { algorithm: "7", user: "ann", secret: "ann's long secret", more: &[] };
const BOB: Proof<'_> = Proof { user: "bob", secret: "bob's long secret", ..ANN };

fn user(name: &str, secret: &str) -> User {
    User { name: name.into(), secret: secret.into() }
}

fn people() -> Vec<User> {
    vec![user("ann", "ann's long secret"), user("bob", "bob's long secret")]
}

fn asks_for(users: &[&str], own: Option<User>) -> Authentication {
    Authentication::Chap { users: users.iter().map(|name| name.to_string()).collect(), own }
}

fn target(name: &str, authentication: Authentication) -> Target {
    Target { authentication, ..open_target(name, MemoryVolume::new(1 << 20)) }
}

#[test]
fn a_target_with_a_secret_of_its_own_proves_itself_with_each_hash() {
    let own = user("the target", "the target's secret");
    let lab = Lab::with(vec![target("disk", asks_for(&["ann"], Some(own)))], people(), Limits::default());
    for algorithm in ["5", "6", "7", "8"] {
        let challenge = encode_hex(b"a challenge of the initiator's own");
        let proof = Proof { algorithm, more: &[("CHAP_I", "9"), ("CHAP_C", &challenge)], ..ANN };
        let (_, shown) = proof.log_in(&lab, Some("disk")).unwrap();
        let expected = chap::choose(algorithm).unwrap();
        let expected = expected.response(9, b"the target's secret", b"a challenge of the initiator's own");
        assert_eq!(shown["CHAP_N"], "the target");
        assert_eq!(decode(&shown["CHAP_R"], 1024).unwrap(), expected);
    }
}

#[test]
fn a_target_without_one_is_not_believed() {
    let lab = Lab::with(vec![target("disk", asks_for(&["ann"], None))], people(), Limits::default());
    let proof = Proof { more: &[("CHAP_I", "9"), ("CHAP_C", "0x0102")], ..ANN };
    assert_eq!(proof.log_in(&lab, Some("disk")).err(), Some(0x0201));
}

#[test]
fn protected_discovery_shows_users_what_they_may_log_in_to() {
    let targets = vec![
        target("hers", asks_for(&["ann"], None)),
        target("his", asks_for(&["bob"], None)),
        target("open", Authentication::None),
    ];
    let lab = Lab::with(targets.clone(), people(), Limits::default());
    let shown = |initiator: &mut Initiator| -> Vec<String> {
        let listed = initiator.ask(b"SendTargets=All\0");
        listed.into_iter().filter(|pair| pair.0 == "TargetName").map(|pair| pair.1).collect()
    };
    let mut anybody = Initiator::discovery(lab.address, &[]);
    assert_eq!(shown(&mut anybody).len(), 3, "nobody is asked, so everybody sees everything");
    let discovery = asks_for(&["Ann"], Some(user("the target", "the target's secret")));
    lab.server().exchange(Catalogue { targets, users: people(), discovery });
    assert_eq!(Initiator::connect(lab.address).log_in(None, &[]), Err(0x0201));
    assert_eq!(BOB.log_in(&lab, None).err(), Some(0x0201));
    let proof = Proof { more: &[("CHAP_I", "9"), ("CHAP_C", "0x0102")], ..ANN };
    let (mut ann, proved) = proof.log_in(&lab, None).unwrap();
    assert_eq!(proved["CHAP_N"], "the target");
    assert_eq!(shown(&mut ann), [full_name("hers"), full_name("open")]);
    assert_eq!(shown(&mut anybody), [""; 0], "who has proved nothing sees nothing any more");
}

#[test]
fn where_nothing_is_asked_for_those_who_insist_may_prove_who_they_are() {
    let lab = Lab::with(vec![target("open", Authentication::None)], people(), Limits::default());
    let (mut ann, _) = ANN.log_in(&lab, Some("open")).unwrap();
    ann.check_alive();
    assert_eq!(lab.server().sessions()[0].user.as_deref(), Some("ann"));
    assert_eq!(Proof { secret: "not ann's secret", ..ANN }.log_in(&lab, Some("open")).err(), Some(0x0201));
    lab.session("open", &[]).check_alive();
}
