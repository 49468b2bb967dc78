//! Portal groups: where they listen, how disks are used through them, and which targets they serve.

use super::vectors::read_as;
use super::{good, mistakes, only_mistake, read};
use crate::fuzzing::assert_equal;
use crate::{AccessState, Options, PortalGroup, Reading};

const EXTENTS: &str = "extent0 /a 0 1MB\nextent1 /b 0 1MB\n";

fn with(lines: &str) -> String {
    format!("{EXTENTS}{lines}")
}

/// Mistakes of lines that come after the two extents.
fn wrong(lines: &str) -> String {
    only_mistake(&read(&with(&format!("{lines}\ntarget9 rw extent0 any\n"))))
}

#[test]
fn a_portal_group_is_a_tag_with_addresses_and_a_state() {
    let text = with(
        "portal2 10.0.0.1,[fd00::1]:3261,fd00::2\nportal65535 10.0.1.1:99 state=standby preferred=yes\n\
         target0 rw extent0 any portals=65535,2 alua=explicit\ntarget1 rw extent1 any\n",
    );
    let configuration = good(&text);
    let PortalGroup { tag, addresses, state, preferred, .. } = &configuration.portals[0];
    assert_eq!((*tag, *state, *preferred), (2, AccessState::ActiveOptimized, false));
    let expected = [("10.0.0.1", None), ("fd00::1", Some(3261)), ("fd00::2", None)];
    assert_eq!(*addresses, expected.map(|(ip, port)| (ip.parse().unwrap(), port)));
    let PortalGroup { tag, addresses, state, preferred, .. } = &configuration.portals[1];
    assert_eq!((*tag, *state, *preferred), (65535, AccessState::Standby, true));
    assert_eq!(*addresses, [("10.0.1.1".parse().unwrap(), Some(99))]);
    let [first, second] = configuration.targets.as_slice() else { panic!() };
    assert_eq!((&first.portals, first.explicit), (&vec![2, 65535], true));
    assert_eq!((&second.portals, second.explicit), (&vec![], false));
    let printed = configuration.print(&Options::default());
    assert_equal(&configuration, &good(&printed.text));
    for line in [
        "portal2 10.0.0.1,[fd00::1]:3261,fd00::2\n",
        "portal65535 10.0.1.1:99 state=standby preferred=yes\n",
        "target0 rw extent0 any portals=2,65535 alua=explicit\n",
    ] {
        assert!(printed.text.contains(line), "{}", printed.text);
    }
}

#[test]
fn every_state_has_its_word() {
    let words = ["optimized", "non-optimized", "standby", "unavailable", "offline"];
    let states = words.map(|word| {
        good(&with(&format!("portal1 10.0.0.1 state={word}\ntarget0 rw extent0 any\n"))).portals[0].state
    });
    use AccessState::*;
    assert_eq!(states, [ActiveOptimized, ActiveNonOptimized, Standby, Unavailable, Offline]);
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    assert!(wrong("portal1").contains("has no address; write `portal1 10.0.0.1`"));
    for name in ["portal", "portal0", "portal01", "portal65536", "portalx"] {
        assert!(wrong(&format!("{name} 10.0.0.1")).contains("is not `portal` and a tag"), "{name}");
    }
    for address in ["10.0.0", "10.0.0.1:", "10.0.0.1:0", "[10.0.0.1]", "fd00::1:99999x", "host", "10.0.0.1,"]
    {
        assert!(wrong(&format!("portal1 {address}")).contains("is not an address"), "{address}");
    }
    for address in ["0.0.0.0", "[::]:3260", "224.0.0.1"] {
        assert!(wrong(&format!("portal1 {address}")).contains("could be told"), "{address}");
    }
    assert!(wrong("portal1 10.0.0.1,10.0.0.1").contains("in a portal group already"));
    assert!(wrong("portal1 10.0.0.1\nportal2 10.0.0.1").contains("in a portal group already"));
    assert!(wrong("portal1 10.0.0.1 10.0.0.2").contains("commas between"));
    assert!(wrong("portal1 10.0.0.1 state=stand-by").contains("is not an access state; write `standby`"));
    assert!(wrong("portal1 10.0.0.1 preferred=1").contains("neither `yes` nor `no`"));
    assert!(wrong("portal1 10.0.0.1 auth=chap").contains("is not a key of a portal group"));
    assert!(wrong("portal1 10.0.0.1\nportal1 10.0.0.2").contains("already defined"));
    let many: Vec<String> = (1..=65).map(|tag| format!("portal{tag} 10.0.0.{tag}")).collect();
    assert!(wrong(&many.join("\n")).contains("too many portal groups"));
}

#[test]
fn a_target_names_groups_that_there_are() {
    assert!(wrong("portal1 10.0.0.1\ntarget0 rw extent1 any portals=2").contains("there is no `portal2`"));
    assert!(wrong("target0 rw extent1 any portals=x").contains("does not name portal groups"));
    assert!(wrong("target0 rw extent1 any alua=explicit").contains("without portal groups"));
    assert!(wrong("portal1 10.0.0.1\ntarget0 rw extent1 any alua=both").contains("is not a kind of ALUA"));
    // A group with a mistake in its line is there all the same, and may come later.
    assert_eq!(mistakes(&with("target0 rw extent1 any portals=1\nportal1 x\n")), ["4:9 x"]);
}

#[test]
fn the_lines_of_one_target_are_served_by_the_same_groups() {
    let two = |first: &str, second: &str| {
        with(&format!(
            "portal1 10.0.0.1\nportal2 10.0.0.2\ntarget0=iqn.2001-04.com.example rw extent0 any lun=0{first}\n\
             target1=iqn.2001-04.com.example rw extent1 any lun=1{second}\n"
        ))
    };
    for text in [two(" portals=2", ""), two("", " portals=2"), two(" portals=2", " portals=2")] {
        assert!(good(&text).targets.iter().all(|target| target.portals == [2]), "{text}");
    }
    let mistake = only_mistake(&read(&two(" portals=1", " portals=1,2")));
    assert!(mistake.contains("not what line 5 has"), "{mistake}");
}

#[test]
fn netbsds_reading_passes_over_all_of_it() {
    let text =
        with("portal1 10.0.0.1 state=standby\ntarget0 rw extent0 any portals=1 alua=explicit portals=x\n");
    let outcome = read_as(Reading::NetBsd, &text, None);
    let configuration = outcome.configuration.unwrap();
    assert!(configuration.portals.is_empty() && outcome.netbsd_messages.is_empty());
    let target = &configuration.targets[0];
    assert!(target.portals.is_empty() && !target.explicit);
}
