//! The `auths` file as NetBSD reads it at a login.

use crate::auths::{People, Standing, User};
use crate::journal::{Journal, Source};
use crate::netbsd::lines::{self, Fault};
use crate::secret::Secret;
use std::collections::HashMap;

/// Reads the file. Of a user's records of type `chap` the first one counts, and only if it has exactly three
/// fields has it a secret.
pub(crate) fn read(source: Source<'_>, journal: &mut Journal<'_>) -> People {
    let mut people = People { name: source.name.to_owned(), ..People::default() };
    let mut decided: HashMap<String, Standing> = HashMap::new();
    for entry in lines::split(source.text, b":") {
        if entry.fault == Some(Fault::OutsideTheText) {
            super::refuse_fault(&entry, journal);
            continue;
        }
        let [user, rest @ ..] = entry.line.fields.as_slice() else {
            continue;
        };
        let key = user.text.to_ascii_lowercase();
        people.standing.entry(key.clone()).or_insert(Standing::NoLogin);
        if !rest.first().is_some_and(|kind| kind.text.eq_ignore_ascii_case("chap"))
            || decided.contains_key(&key)
        {
            continue;
        }
        if entry.fault.is_some() {
            super::refuse_fault(&entry, journal);
        }
        let standing = match rest {
            [_, secret] => {
                let secret = Secret::new(secret.text.as_bytes());
                people.users.push(User { name: user.text.clone(), secret });
                Standing::Chap
            }
            _ => Standing::NoLogin,
        };
        decided.insert(key, standing);
    }
    people.standing.extend(decided);
    people
}

/// What NetBSD says on stderr of a login as `user` when the `auths` file, whose path is `path`, has no record
/// of type `chap` for that name.
#[must_use]
pub fn unknown_user(user: &str, path: &str) -> String {
    format!(
        "No matching user configuration entry for `{user}' was found\n\
         Please add an entry for `{user}' to `{path}'\n"
    )
}
