//! A1 to A11: the `auths` file, in both readings.

use super::{compatible, read_as};
use crate::{Authentication, Outcome, Reading, netbsd};

/// What the strict reader makes of a file.
#[derive(Debug, PartialEq)]
enum Strict {
    /// The same secret, or none.
    Same,
    Refused,
}
use Strict::{Refused, Same};

/// A number, the file, a user, the secret in NetBSD's reading, the strict reader's view.
const USERS: [(&str, &str, &str, Option<&str>, Strict); 20] = [
    ("A1", "alice:chap:alicePass", "alice", Some("alicePass"), Same),
    ("A1", "alice:chap:alicePass", "ALICE", Some("alicePass"), Same),
    ("A1", "alice:chap:alicePass", "alic", None, Same),
    ("A2", "chaptest2:CHAP:bannister", "chaptest2", Some("bannister"), Same),
    ("A3", "chaptest3:chap:Rhode Island Red", "chaptest3", Some("Rhode Island Red"), Same),
    ("A3", "Dave:Chap:  sp ace ", "dave", Some("  sp ace "), Same),
    (
        "A4",
        "iqn.1991-05.com.microsoft\\:ws2:CHAP:1234567890123456",
        "iqn.1991-05.com.microsoft:ws2",
        Some("1234567890123456"),
        Same,
    ),
    ("A5", "bob:CHAP:", "bob", None, Refused),
    ("A5", "bob:CHAP:\nbob:chap:later", "bob", None, Refused),
    ("A6", "carol:chap:se:cret", "carol", None, Refused),
    ("A6", "carol:chap:se\\:cret", "carol", Some("se:cret"), Same),
    ("A7", "nulltest:none:", "nulltest", None, Same),
    ("A7", "nulltest:none:secret", "nulltest", None, Same),
    ("A8", "dave", "dave", None, Refused),
    ("A9", "bob::secret", "bob", None, Refused),
    ("A9", "bob::chap:secret", "bob", Some("secret"), Refused),
    ("A10", "u:none:\nu:chap:pw", "u", Some("pw"), Same),
    ("A10", "u:chapter:x\nu:chap:pw", "u", Some("pw"), Refused),
    ("A11", "u:chap:a\nu:chap:b", "u", Some("a"), Refused),
    ("A11", "u:chap:a\nU:chap:b", "u", Some("a"), Refused),
];

fn read(reading: Reading, auths: &str) -> Outcome {
    read_as(reading, "extent0 /x 0 1MB\ntarget0 rw extent0 all\n", Some(auths))
}

#[test]
fn users_have_the_secrets_that_netbsd_finds() {
    for (number, auths, user, secret, strict) in USERS {
        let secret_of = |outcome: Outcome| -> Option<Option<String>> {
            let configuration = outcome.configuration?;
            let bytes = configuration.user(user).map(|user| user.secret.bytes().to_vec());
            Some(bytes.map(|bytes| String::from_utf8(bytes).unwrap()))
        };
        let expected = Some(secret.map(str::to_owned));
        for auths in [auths.to_owned(), format!("# c\n\n  {auths}\n")] {
            assert_eq!(secret_of(read(Reading::NetBsd, &auths)), expected, "{number} {auths:?}");
            let strictly = secret_of(read(Reading::Strict, &auths));
            match strict {
                Same => assert_eq!(strictly, expected, "{number} {auths:?}"),
                Refused => assert_eq!(strictly, None, "{number} {auths:?}"),
            }
        }
    }
}

#[test]
fn a_carriage_return_is_part_of_a_secret_in_netbsds_reading() {
    let configuration = read(Reading::NetBsd, "alice:chap:alicePass\r\n").configuration.unwrap();
    assert_eq!(configuration.user("alice").unwrap().secret.bytes(), b"alicePass\r", "A3");
}

#[test]
fn a_user_that_is_not_found_is_said_as_netbsd_says_it() {
    assert_eq!(
        netbsd::unknown_user("eve", "/etc/iscsi/auths"),
        "No matching user configuration entry for `eve' was found\n\
         Please add an entry for `eve' to `/etc/iscsi/auths'\n"
    );
}

#[test]
fn a_backslash_at_the_end_of_the_users_is_refused_without_showing_it() {
    let outcome = read(Reading::NetBsd, "alice:chap:sEcReT\\");
    assert_eq!(outcome.mistakes.len(), 1);
    assert!(!format!("{outcome:?}").contains("sEcReT"));
}

const AUTHS: &str = "alice:chap:alicePass\nbob:chap:bobsPass\nserver:chap:serverPass\n";

#[test]
fn our_own_fields_are_honoured_and_a_mistake_in_one_refuses_the_files() {
    let read = |line: &str| {
        let targets = format!("extent0 /x 0 1MB block=4096 serial=S\nextent1 /y 0 1MB\n{line}\n");
        read_as(Reading::NetBsd, &targets, Some(AUTHS))
    };
    let outcome = read(
        "target0=iqn.2001-04.com.example rw extent0 all extra users=ALICE lun=7 mutual=server # c\n\
                        target1=iqn.2001-04.com.example rw extent1 all lun=8\ndiscovery hello auth=chap",
    );
    let configuration = outcome.configuration.unwrap();
    let [one, two] = configuration.targets.as_slice() else { panic!() };
    assert_eq!(one.authentication, Authentication::Chap { users: vec!["alice".to_owned()] });
    assert_eq!((one.mutual.as_deref(), one.lun, one.block_length), (Some("server"), 7, 4096));
    assert_eq!(one.serial.as_deref(), Some("S"));
    assert_eq!((&two.authentication, two.lun, two.block_length), (&one.authentication, 8, 512));
    let all = vec!["alice".to_owned(), "bob".to_owned()];
    assert_eq!(configuration.discovery.authentication, Authentication::Chap { users: all });
    for wrong in [
        "target0 rw extent0 all auth=maybe",
        "target0 rw extent0 all users=eve",
        "target0 rw extent0 all lun=x",
        "target0 rw extent0 all block=1",
        "target0 rw extent0 all mutual=alice users=alice",
        "target0 rw extent0 all auth=chap auth=chap",
        "extent2 /z 0 1MB serial=",
        "device0 RAID0 extent1 block=8",
        "discovery auth=never",
        "discovery auth=chap\ndiscovery auth=chap",
        "target0=iqn.2001-04.com.example rw extent0 all lun=1\n\
         target1=iqn.2001-04.com.example rw extent1 all",
        "target0=iqn.2001-04.com.example rw extent0 all lun=1\n\
         target1=iqn.2001-04.com.example rw extent1 all lun=1",
        "target0 rw extent1 all serial=S\ntarget1 rw extent0 all",
    ] {
        assert_eq!(read(wrong).mistakes.len(), 1, "{wrong}: {:#?}", read(wrong).mistakes);
    }
}

#[test]
fn a_line_that_netbsd_leaves_out_still_protects_the_others_of_its_target() {
    for lines in [
        "target0=iqn.2001-04.com.example rw extent9 all auth=chap lun=0\n\
         target1=iqn.2001-04.com.example rw extent0 all lun=1\n",
        "target1 rw extent0 all\ntarget1 rw extent0 all auth=chap\n",
    ] {
        let outcome = read_as(Reading::NetBsd, &format!("extent0 /x 0 1MB\n{lines}"), Some(AUTHS));
        let targets = outcome.configuration.unwrap().targets;
        assert_eq!((targets.len(), targets[0].name.as_str()), (1, "target1"));
        assert!(targets[0].authentication != Authentication::None, "{lines}");
    }
}

#[test]
fn a_field_that_is_nearly_ours_is_passed_over_and_named() {
    let outcome = read_as(Reading::NetBsd, "extent0 /x 0 1MB\ntarget0 rw extent0 all auht=chap a=b\n", None);
    assert_eq!(outcome.configuration.unwrap().targets[0].authentication, Authentication::None);
    let said: Vec<_> = outcome.notices.iter().map(|n| n.help.as_deref().unwrap()).collect();
    assert_eq!(said, ["write `auth=` if that is meant"]);
}

#[test]
fn a_key_is_ours_only_after_netbsds_last_field() {
    let target = compatible("extent0 /x 0 1MB\ntarget0 rw extent0 auth=chap\n").targets.remove(0);
    assert_eq!(target.authentication, Authentication::None);
    assert!(!target.access.allows("10.0.0.1".parse().unwrap()), "it is the mask, and lets nobody in");
}
