//! The `auths` file: `user:chap:secret` on each line.

use crate::journal::{File, Journal, Source};
use crate::lines::{self, Field, Line, Separator};
use crate::nearest::nearest;
use crate::secret::Secret;
use crate::value::quoted;
use std::collections::HashMap;

/// A user that can log in by CHAP.
#[derive(Debug, Clone)]
pub struct User {
    /// The name as written, escapes undone. Names are compared without regard to ASCII letter case.
    pub name: String,
    /// What the user must know.
    pub secret: Secret,
}

/// Shorter secrets can be guessed off line (RFC 7143 §9.2.1 asks for 96 random bits).
const SHORTEST_SAFE_SECRET: usize = 12;

/// What the file says, right or wrong.
#[derive(Debug, Default)]
pub(crate) struct People {
    pub(crate) name: String,
    /// The users with a CHAP secret.
    pub(crate) users: Vec<User>,
    /// Every name met, in lower case, with what its lines make of it.
    pub(crate) standing: HashMap<String, Standing>,
}

/// What the file makes of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Has a secret.
    Chap,
    /// Has only a line of type `none`, and cannot log in.
    NoLogin,
    /// Has a line with a mistake; to say more about it would be noise.
    Mistaken,
}

impl People {
    /// The user of that name, as the file spells it.
    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.eq_ignore_ascii_case(name))
    }

    /// Whether a line with a mistake may be hiding users.
    pub(crate) fn in_doubt(&self) -> bool {
        self.standing.values().any(|standing| *standing == Standing::Mistaken)
    }
}

/// Reads the file. No message quotes anything that may be a secret.
pub(crate) fn read(source: Source<'_>, journal: &mut Journal<'_>) -> People {
    let mut people = People { name: source.name.to_owned(), ..People::default() };
    let mut lines_of_users = HashMap::new();
    for line in lines::split(source.text, Separator::Colon, journal) {
        let Some(user) = line.fields.first() else {
            continue;
        };
        let key = user.text.to_ascii_lowercase();
        let mistakes_before = journal.mistakes.len();
        let secret = match line.spoiled {
            true => None,
            false => record(&line, user, journal),
        };
        let standing = match &secret {
            Some(_) => Standing::Chap,
            None if line.spoiled || journal.mistakes.len() > mistakes_before => Standing::Mistaken,
            None => Standing::NoLogin,
        };
        if let Some(secret) = secret {
            let number = journal.line_of(line.span.start);
            if let Some(first) = lines_of_users.insert(key.clone(), number) {
                journal.mistake(
                    user.span.clone(),
                    format!("user {} already has a secret, on line {first}", quoted(&user.text)),
                    "leave one of the two lines; letter case makes no difference in names",
                );
            } else {
                people.users.push(User { name: user.text.clone(), secret });
            }
        }
        let known = people.standing.entry(key).or_insert(standing);
        if *known == Standing::NoLogin || standing == Standing::Chap {
            *known = standing;
        }
    }
    people
}

/// Reads one line; the secret when it is one that CHAP can use.
fn record(line: &Line, user: &Field, journal: &mut Journal<'_>) -> Option<Secret> {
    let form = "write `user:chap:secret`";
    if user.text.is_empty() {
        journal.mistake(user.span.clone(), "there is no user's name before the `:`", form);
        return None;
    }
    let (Some(kind), secret) = (line.fields.get(1), line.fields.get(2..).unwrap_or(&[])) else {
        journal.mistake(line.span.clone(), "this line has no `:`, so no type and no secret", form);
        return None;
    };
    let who = quoted(&user.text);
    match kind.text.to_ascii_lowercase().as_str() {
        "chap" => chap_secret(&who, kind, secret, journal),
        "none" => {
            if let [first, ..] = secret
                && !first.text.is_empty()
            {
                let message = format!("user {who} has type `none`, so nobody can log in with this secret");
                journal.notice(kind.span.clone(), message, "write `chap` for a user who may log in");
            }
            None
        }
        "" => {
            let message = format!("there is no type for user {who} between the two `:`");
            journal.mistake(kind.span.clone(), message, form);
            None
        }
        // The word is not quoted: it may be a secret with the type forgotten before it.
        other => {
            let help =
                nearest(other, ["chap", "none"]).map_or(form.to_owned(), |near| format!("write `{near}`"));
            journal.mistake(kind.span.clone(), format!("the type of user {who} is not `chap`"), help);
            None
        }
    }
}

fn chap_secret(who: &str, kind: &Field, fields: &[Field], journal: &mut Journal<'_>) -> Option<Secret> {
    let (secret, more) = match fields {
        [secret, more @ ..] => (secret, more),
        [] => {
            let message = format!("there is no secret for user {who}");
            journal.mistake(kind.span.clone(), message, "write `:` and the secret after the type");
            return None;
        }
    };
    if let Some(last) = more.last() {
        journal.mistake(
            secret.span.start..last.span.end,
            format!("the secret of user {who} has a `:` in it"),
            "write `\\:` for a `:` that is part of the secret",
        );
        return None;
    }
    if secret.text.is_empty() {
        let message = format!("the secret of user {who} is empty");
        journal.mistake(secret.span.clone(), message, "write the secret after the second `:`");
        return None;
    }
    if secret.text.ends_with([' ', '\t']) {
        journal.notice(
            secret.span.clone(),
            format!("the secret of user {who} ends in a blank, which is part of it"),
            "leave the blank out if it is not meant",
        );
    }
    if secret.text.len() < SHORTEST_SAFE_SECRET {
        journal.notice(
            secret.span.clone(),
            format!("the secret of user {who} is shorter than {SHORTEST_SAFE_SECRET} bytes"),
            "choose 12 to 16 random characters; some clients refuse shorter ones",
        );
    }
    Some(Secret::new(secret.text.as_bytes()))
}

/// The text of an `auths` file with `*` for every byte that may be of a secret, comments included. All other
/// bytes keep their places, so the spans of remarks fit. This is the text to show people.
#[must_use]
pub fn redacted(auths: &str) -> String {
    let mut shown: Vec<u8> =
        auths.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { byte } else { b'*' }).collect();
    let mut reveal = |range: std::ops::Range<usize>| {
        if let (Some(into), Some(from)) = (shown.get_mut(range.clone()), auths.as_bytes().get(range)) {
            into.copy_from_slice(from);
        }
    };
    for line in lines::split(auths, Separator::Colon, &mut Journal::new(File::Auths, auths)) {
        let [user, kind, secret @ ..] = line.fields.as_slice() else {
            continue;
        };
        reveal(user.span.start..kind.span.start);
        if matches!(kind.text.to_ascii_lowercase().as_str(), "chap" | "none") {
            reveal(kind.span.start..secret.first().map_or(kind.span.end, |secret| secret.span.start));
        }
    }
    String::from_utf8(shown).unwrap_or_default()
}
