//! The `key=value` fields after a target's mask.

use crate::auths::{People, Standing};
use crate::configuration::Authentication;
use crate::journal::Journal;
use crate::lines::{Field, Line};
use crate::nearest::{nearest, suggestion};
use crate::value::quoted;
use std::ops::Range;

/// A key: its name, and how its value is taken.
struct Key {
    name: &'static str,
    take: fn(&mut Keys<'_>, &Field, &str, usize, &mut Journal<'_>),
}

const KEYS: [Key; 2] = [
    Key { name: "auth", take: |keys, field, value, at, journal| keys.auth(field, value, at, journal) },
    Key { name: "users", take: |keys, field, value, at, journal| keys.users(field, value, at, journal) },
];

/// What the keys of one target say.
pub(crate) struct Keys<'a> {
    people: Option<&'a People>,
    auth: Option<(bool, Range<usize>)>,
    users: Option<(Vec<String>, Range<usize>)>,
}

impl<'a> Keys<'a> {
    /// Reads the fields; mistakes go to the journal.
    pub(crate) fn read(fields: &[Field], people: Option<&'a People>, journal: &mut Journal<'_>) -> Self {
        let mut keys = Self { people, auth: None, users: None };
        let mut seen: Vec<&str> = Vec::new();
        for field in fields {
            let Some((name, value)) = field.text.split_once('=') else {
                continue;
            };
            let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            let name_span = field.span_of(0..name.len());
            match KEYS.iter().find(|key| key.name == name) {
                None => journal.mistake(
                    name_span,
                    format!("{} is not a key of a target", quoted(name)),
                    suggestion(name, &known),
                ),
                Some(key) if seen.contains(&key.name) => journal.mistake(
                    name_span,
                    format!("{} is given twice", quoted(name)),
                    "write it once; several values have commas between",
                ),
                Some(key) => {
                    seen.push(key.name);
                    (key.take)(&mut keys, field, value, name.len() + 1, journal);
                }
            }
        }
        keys
    }

    fn auth(&mut self, field: &Field, value: &str, offset: usize, journal: &mut Journal<'_>) {
        match value {
            "chap" | "none" => self.auth = Some((value == "chap", field.span.clone())),
            _ => journal.mistake(
                field.span_of(offset..field.text.len()),
                format!("{} is not a way to authenticate", quoted(value)),
                suggestion(value, &["chap", "none"]),
            ),
        }
    }

    fn users(&mut self, field: &Field, value: &str, offset: usize, journal: &mut Journal<'_>) {
        let mut names: Vec<String> = Vec::new();
        let mut at = offset;
        for name in value.split(',') {
            let span = field.span_of(at..at + name.len());
            at += name.len() + 1;
            if name.is_empty() {
                journal.mistake(
                    span,
                    "a user's name is missing",
                    "write names with commas between, and no blanks",
                );
            } else if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                let message = format!("user {} is named twice", quoted(name));
                journal.mistake(span, message, "name each user once; letter case makes no difference");
            } else {
                names.push(self.user(name, span, journal));
            }
        }
        self.users = Some((names, field.span.clone()));
    }

    /// The name as the `auths` file spells it; a mistake if it has no such user.
    fn user(&self, name: &str, span: Range<usize>, journal: &mut Journal<'_>) -> String {
        let shown = quoted(name);
        let Some(people) = self.people else {
            let message = format!("user {shown} has no secret: there is no auths file");
            journal.mistake(span, message, NO_AUTHS_FILE);
            return name.to_owned();
        };
        match (people.user(name), people.standing.get(&name.to_ascii_lowercase())) {
            (Some(user), _) => return user.name.clone(),
            (None, Some(Standing::Mistaken)) => {}
            (None, Some(_)) => journal.mistake(
                span,
                format!("user {shown} has no secret in {}", people.name),
                "write `chap` and a secret on the user's line there",
            ),
            (None, None) => {
                let near = nearest(name, people.users.iter().map(|user| user.name.as_str()));
                let help = near.map_or_else(
                    || format!("add the line `{name}:chap:SECRET` to {}", people.name),
                    |near| format!("write {}, or add the user to {}", quoted(near), people.name),
                );
                journal.mistake(span, format!("user {shown} is not in {}", people.name), help);
            }
        }
        name.to_owned()
    }

    /// What the keys together ask of an initiator. Without any of them, nothing.
    pub(crate) fn authentication(self, line: &Line, journal: &mut Journal<'_>) -> Authentication {
        match (self.auth, self.users) {
            (Some((false, _)), Some((_, span))) => {
                journal.mistake(
                    span,
                    "`users=` has no meaning with `auth=none`, which lets everyone in",
                    "write `auth=chap`, or leave `users=` out",
                );
                Authentication::None
            }
            (Some((true, _)) | None, Some((users, _))) => Authentication::Chap { users },
            (Some((true, span)), None) => {
                Authentication::Chap { users: all_users(self.people, span, line, journal) }
            }
            (Some((false, _)) | None, None) => Authentication::None,
        }
    }
}

const NO_AUTHS_FILE: &str = "name a file of lines `user:chap:secret` with `--auths FILE`";

fn all_users(
    people: Option<&People>,
    span: Range<usize>,
    line: &Line,
    journal: &mut Journal<'_>,
) -> Vec<String> {
    let users: Vec<String> = people.iter().flat_map(|p| &p.users).map(|user| user.name.clone()).collect();
    if users.is_empty() && !people.is_some_and(People::in_doubt) && !line.spoiled {
        let (message, help) = match people {
            None => ("`auth=chap` needs users, and there is no auths file".to_owned(), NO_AUTHS_FILE),
            Some(people) => (
                format!("`auth=chap` needs users, and {} has none with a secret", people.name),
                "add a line `user:chap:secret` to it",
            ),
        };
        journal.mistake(span, message, help);
    }
    users
}
