//! Users, secrets, and which target asks for them.

use super::{only_mistake, read_both};
use crate::{Authentication, Configuration, Outcome, redacted};

const DISK: &str = "extent0 /x 0 1MB\n";

fn with(target_keys: &str, auths: &str) -> Outcome {
    read_both(&format!("{DISK}target0 rw extent0 all {target_keys}\n"), Some(auths))
}

fn secret_of<'a>(configuration: &'a Configuration, name: &str) -> Option<&'a [u8]> {
    configuration.user(name).map(|user| user.secret.bytes())
}

#[test]
fn users_and_secrets_are_read_as_netbsd_reads_them() {
    let auths = "# users\nalice:chap:alicePass\nchaptest2:CHAP:bannister\n  chaptest3:chap:Rhode Island Red\n\
                 Dave:Chap:  sp ace \niqn.1991-05.com.microsoft\\:ws2:CHAP:1234567890123456\nnulltest:none:\n\
                 carol:chap:se\\:cret\nu:none:\nu:chap:pw#1\n";
    let configuration = with("", auths).configuration.unwrap();
    for (user, secret) in [
        ("alice", "alicePass"),
        ("ALICE", "alicePass"),
        ("chaptest2", "bannister"),
        ("chaptest3", "Rhode Island Red"),
        ("dave", "  sp ace "),
        ("iqn.1991-05.com.microsoft:ws2", "1234567890123456"),
        ("carol", "se:cret"),
        ("u", "pw#1"),
    ] {
        assert_eq!(secret_of(&configuration, user), Some(secret.as_bytes()), "{user}");
    }
    assert!(configuration.user("nulltest").is_none());
    assert_eq!(configuration.users.len(), 7);
}

#[test]
fn a_line_without_a_usable_secret_is_a_mistake_in_its_place() {
    for (line, column, help) in [
        ("bob:CHAP:", 10, "after the second `:`"),
        ("bob:chap", 5, "`:` and the secret"),
        ("carol:chap:se:cret", 12, "`\\:`"),
        ("dave", 1, "user:chap:secret"),
        ("bob::secret", 5, "user:chap:secret"),
        (":chap:secret", 1, "user:chap:secret"),
        ("bob:chpa:secret", 5, "`chap`"),
        ("bob:kerberos:x", 5, "user:chap:secret"),
        ("bob:chap:012345678\u{7}9ab", 19, "leave it out"),
        ("bob:chap:0123456789ab\\", 22, "backslash"),
    ] {
        let outcome = with("", line);
        assert!(only_mistake(&outcome).contains(help), "{line}: {}", only_mistake(&outcome));
        assert_eq!(outcome.mistakes[0].column, column, "{line}");
    }
    assert!(only_mistake(&with("", "u:chap:0123456789ab\nU:chap:ba9876543210\n")).contains("line 1"));
}

#[test]
fn a_carriage_return_is_not_part_of_a_secret() {
    let outcome = with("auth=chap", "alice:chap:0123456789ab\r\nbob:chap:ba9876543210\r\n");
    assert_eq!(outcome.notices.len(), 1);
    let configuration = outcome.configuration.unwrap();
    assert_eq!(secret_of(&configuration, "alice"), Some(&b"0123456789ab"[..]));
    assert_eq!(secret_of(&configuration, "bob"), Some(&b"ba9876543210"[..]));
}

#[test]
fn weak_and_doubtful_secrets_are_taken_and_named() {
    let notices = |auths| with("auth=chap", auths).notices.into_iter().map(|n| n.message).collect::<Vec<_>>();
    assert!(notices("a:chap:0123456789ab").is_empty());
    assert!(notices("a:chap:0123456789a")[0].contains("shorter than 12 bytes"));
    assert!(notices("a:chap:0123456789ab ")[0].contains("blank"));
    assert!(notices("a:chap:0123456789ab\nb:none:x")[0].contains("`none`"));
}

#[test]
fn a_target_asks_for_the_users_it_names_or_for_any_user() {
    let auths = "alice:chap:0123456789ab\nbob:chap:ba9876543210\nnobody:none:\n";
    let asks = |keys: &str| {
        let outcome = with(keys, auths);
        let configuration = outcome.configuration;
        let mut configuration = configuration.unwrap_or_else(|| panic!("{keys}: {:#?}", outcome.mistakes));
        configuration.targets.remove(0).authentication
    };
    let chap =
        |users: &[&str]| Authentication::Chap { users: users.iter().map(|u| (*u).to_owned()).collect() };
    assert_eq!(asks(""), Authentication::None);
    assert_eq!(asks("auth=none"), Authentication::None);
    assert_eq!(asks("auth=chap"), chap(&["alice", "bob"]));
    assert_eq!(asks("users=bob"), chap(&["bob"]));
    assert_eq!(asks("users=BOB,alice auth=chap"), chap(&["bob", "alice"]));
}

#[test]
fn a_target_that_asks_for_nobody_who_exists_is_refused() {
    let auths = "alice:chap:0123456789ab\nnobody:none:\n";
    for (keys, auths, message) in [
        ("users=alcie", Some(auths), "`alice`"),
        ("users=zoe", Some(auths), "zoe:chap:SECRET"),
        ("users=nobody", Some(auths), "no secret in auths"),
        ("users=alice,", Some(auths), "missing"),
        ("users=alice,Alice", Some(auths), "twice"),
        ("users=alice auth=none", Some(auths), "no meaning"),
        ("auth=chap", Some("nobody:none:\n"), "none with a secret"),
        ("auth=chap", Some(""), "none with a secret"),
        ("auth=chap", None, "--auths FILE"),
        ("users=alice", None, "--auths FILE"),
    ] {
        let outcome = read_both(&format!("{DISK}target0 rw extent0 all {keys}\n"), auths);
        assert!(only_mistake(&outcome).contains(message), "{keys}: {}", only_mistake(&outcome));
    }
    // The mistake in the auths file is enough to say.
    for keys in ["auth=chap", "users=bob"] {
        assert!(only_mistake(&with(keys, "bob:chap:\n")).contains("empty"));
    }
}

#[test]
fn users_that_no_target_asks_for_are_said_to_be_no_protection() {
    let auths = "alice:chap:0123456789ab\n";
    assert!(with("", auths).notices[0].message.contains("everyone may log in"));
    assert!(with("auth=none", auths).notices.is_empty(), "it says what it means");
    assert!(with("auth=chap", auths).notices.is_empty());
    assert!(with("", "nulltest:none:\n").notices.is_empty());
}

#[test]
fn no_secret_is_shown() {
    let auths = "#old:chap:S3CRET\nalice:chap:S3CRET \nbob:S3CRET\ncarol:chap:S3\\\nCRET:S3CRET\nS3CRET\n\
                 dave::S3CRET\neve:chpa:S3CRET\nfrank:none:S3CRET\nalice:chap:S3CRET\n\
                     zo\u{eb}:chap:\u{eb}S3CRET\n";
    let outcome = with("auth=chap", auths);
    let shown = format!("{outcome:?}{}", redacted(auths));
    assert!(!shown.contains("S3") && !shown.contains("CRET"), "{shown}");
    assert!(shown.contains("carol:chap:***\n*****"));
    assert!(redacted(auths).contains("zo\u{eb}:chap:********\n"));
    let good = with("auth=chap", "alice:chap:S3CRETS3CRETS3CRET\n").configuration.unwrap();
    assert!(format!("{good:?}").contains("[redacted]") && !format!("{good:?}").contains("S3CRET"));
}
