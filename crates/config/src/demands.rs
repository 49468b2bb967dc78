//! Who has to prove what: what each line says about it, and what all lines together come to.

use crate::auths::People;
use crate::configuration::{Authentication, Configuration, Discovery};
use crate::journal::Journal;
use crate::keys::{Keys, NO_AUTHS_FILE, Said};
use crate::value::quoted;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Whose login a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Party {
    /// That of the target with this iSCSI name.
    Target(String),
    /// Discovery.
    Discovery,
    /// That of a target whose line has a mistake.
    Nobody,
}

/// What one line says about logins.
pub(crate) struct Demand {
    party: Party,
    auth: Said<bool>,
    users: Said<Vec<String>>,
    mutual: Said<String>,
}

/// What all lines about one login come to.
#[derive(Debug, Clone)]
struct Settled {
    authentication: Authentication,
    mutual: Option<String>,
    line: usize,
}

impl Demand {
    pub(crate) fn new(party: Party, keys: Keys<'_>) -> Self {
        Self { party, auth: keys.auth, users: keys.users, mutual: keys.mutual }
    }

    pub(crate) fn is_of_discovery(&self) -> bool {
        self.party == Party::Discovery
    }

    /// Where the line says anything.
    fn span(&self) -> Option<&Range<usize>> {
        let auth = self.auth.as_ref().map(|said| &said.1);
        auth.or(self.users.as_ref().map(|said| &said.1)).or(self.mutual.as_ref().map(|said| &said.1))
    }

    /// What the line asks for; `None` where it says nothing.
    fn authentication(&self, judge: &mut Judge<'_, '_, '_>) -> Option<Authentication> {
        let asks = self.auth.as_ref().map(|said| said.0);
        let meaningless = match (asks, &self.users, &self.mutual) {
            (Some(false), Some((_, span)), _) => Some(("`users=`", span)),
            (Some(false), _, Some((_, span))) => Some(("`mutual=`", span)),
            _ => None,
        };
        if let Some((key, span)) = meaningless {
            judge.journal.mistake(
                span.clone(),
                format!("{key} has no meaning with `auth=none`, which lets everyone in"),
                format!("write `auth=chap`, or leave {key} out"),
            );
        }
        let span = self.span()?;
        Some(match (asks, &self.users) {
            (Some(false), _) => Authentication::None,
            (_, Some((users, _))) => {
                judge.refuse_own_records(users, span);
                Authentication::Chap { users: users.clone() }
            }
            (_, None) => Authentication::Chap { users: judge.all_users(span) },
        })
    }
}

/// Settles what each target and discovery ask for. The lines of one target mean the same: a line that says
/// nothing follows the one that does.
pub(crate) fn settle(
    demands: &[Demand],
    people: Option<&People>,
    configuration: &mut Configuration,
    journal: &mut Journal<'_>,
) {
    let own = demands.iter().filter_map(|demand| demand.mutual.as_ref());
    let own: HashSet<String> = own.map(|(name, _)| name.to_ascii_lowercase()).collect();
    let mut judge = Judge { people, own, journal };
    let mut targets: HashMap<&str, Settled> = HashMap::new();
    for demand in demands {
        let Some(authentication) = demand.authentication(&mut judge) else {
            continue;
        };
        let span = demand.span().cloned().unwrap_or_default();
        let mutual = demand.mutual.as_ref().map(|(name, span)| {
            judge.check_own_secret(name, span);
            name.clone()
        });
        let line = judge.journal.line_of(span.start);
        let settled = Settled { authentication, mutual, line };
        match &demand.party {
            Party::Nobody => {}
            Party::Discovery => {
                let Settled { authentication, mutual, .. } = settled;
                configuration.discovery = Discovery { authentication, mutual, span: Some(span) };
            }
            Party::Target(iqn) => match targets.get(iqn.as_str()) {
                Some(first) if !first.agrees(&settled) => judge.disagreement(first.line, &span),
                Some(_) => {}
                None => {
                    targets.insert(iqn, settled);
                }
            },
        }
    }
    for target in &mut configuration.targets {
        if let Some(settled) = targets.get(target.iqn.as_str()) {
            target.authentication = settled.authentication.clone();
            target.mutual.clone_from(&settled.mutual);
        }
    }
    note_unused_users(demands, people, configuration, judge.journal);
}

/// Users in the file are no protection where nothing asks for them.
fn note_unused_users(
    demands: &[Demand],
    people: Option<&People>,
    configuration: &Configuration,
    journal: &mut Journal<'_>,
) {
    let Some(people) = people.filter(|people| !people.users.is_empty()) else {
        return;
    };
    let asks = configuration.targets.iter().any(|target| target.authentication != Authentication::None);
    let silent = |iqn: &str| !demands.iter().any(|d| d.party.is(iqn) && d.span().is_some());
    let open = configuration.targets.iter().find(|target| silent(&target.iqn));
    if let (Some(open), false) = (open, asks) {
        journal.notice(
            open.span.clone(),
            format!("no target asks for a user of {}: everyone may log in without a secret", people.name),
            "write `auth=chap` after the netmask of each target that is for those users",
        );
    }
}

impl Party {
    fn is(&self, iqn: &str) -> bool {
        matches!(self, Self::Target(own) if own == iqn)
    }
}

impl Settled {
    fn agrees(&self, other: &Self) -> bool {
        let sorted = |authentication: &Authentication| match authentication {
            Authentication::None => None,
            Authentication::Chap { users } => {
                let mut users = users.clone();
                users.sort();
                Some(users)
            }
        };
        self.mutual == other.mutual && sorted(&self.authentication) == sorted(&other.authentication)
    }
}

/// Looks a line's users up.
struct Judge<'a, 'j, 't> {
    people: Option<&'a People>,
    /// The records by which targets prove themselves, in lower case. Nobody logs in with one.
    own: HashSet<String>,
    journal: &'j mut Journal<'t>,
}

impl Judge<'_, '_, '_> {
    fn is_own(&self, name: &str) -> bool {
        self.own.contains(&name.to_ascii_lowercase())
    }

    /// Every user who can log in.
    fn all_users(&mut self, span: &Range<usize>) -> Vec<String> {
        let users = self.people.iter().flat_map(|people| &people.users);
        let users: Vec<String> =
            users.map(|user| user.name.clone()).filter(|name| !self.is_own(name)).collect();
        if users.is_empty() && !self.people.is_some_and(People::in_doubt) {
            let (message, help) = match self.people {
                None => ("`auth=chap` needs users, and there is no auths file".to_owned(), NO_AUTHS_FILE),
                Some(people) => (
                    format!("`auth=chap` needs users, and {} has none with a secret", people.name),
                    "add a line `user:chap:secret` to it",
                ),
            };
            self.journal.mistake(span.clone(), message, help);
        }
        users
    }

    /// A record that proves a target is no user's.
    fn refuse_own_records(&mut self, users: &[String], span: &Range<usize>) {
        let own: Vec<&String> = users.iter().filter(|user| self.is_own(user)).collect();
        for user in own {
            self.journal.mistake(
                span.clone(),
                format!("{} is a record of `mutual=`, so nobody logs in with it", quoted(user)),
                "name a user of its own for the initiator",
            );
        }
    }

    /// The secret that proves a target is no user's: who knows that one could pass for the target (RFC 7143
    /// §9.2.1).
    fn check_own_secret(&mut self, name: &str, span: &Range<usize>) {
        let Some((people, own)) = self.people.and_then(|people| Some((people, people.user(name)?))) else {
            return;
        };
        let same = people
            .users
            .iter()
            .find(|user| !self.is_own(&user.name) && user.secret.bytes() == own.secret.bytes());
        if let Some(user) = same {
            self.journal.mistake(
                span.clone(),
                format!("{} has the same secret as user {}", quoted(name), quoted(&user.name)),
                format!("give {} another secret in {}", quoted(name), people.name),
            );
        }
    }

    fn disagreement(&mut self, line: usize, span: &Range<usize>) {
        self.journal.mistake(
            span.clone(),
            format!("this is not what line {line} asks for, which is a disk of the same target"),
            "a login is to the whole target: write the same `auth=`, `users=` and `mutual=`, or none of them",
        );
    }
}
