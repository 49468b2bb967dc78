//! Portal groups as the configuration names them, for the server and for the disks.

use anyhow::bail;
use timedisk_config as config;
use timedisk_scsi::AccessState;
use timedisk_target::PortalGroup;

use crate::addresses::wants;
use crate::command_line::ServeOptions;
use crate::control::{self, Access};

/// Where each group listens. None where they are not named.
///
/// # Errors
/// The command line says otherwise.
pub(crate) fn listening(
    groups: &[config::PortalGroup],
    options: &ServeOptions,
) -> anyhow::Result<Vec<PortalGroup>> {
    if !groups.is_empty() && !options.listen.is_empty() {
        bail!("the file has portal groups, which say where to listen; leave --listen out");
    }
    let mut all = Vec::new();
    for group in groups {
        let wanted = group.addresses.iter().filter(|(ip, _)| wants(options, ip));
        let addresses: Vec<_> = wanted.map(|(ip, port)| (*ip, port.unwrap_or(options.port)).into()).collect();
        if addresses.is_empty() {
            let family = if options.ipv4_only { 4 } else { 6 };
            bail!("-{family} leaves out every address of portal{}", group.tag);
        }
        all.push(PortalGroup { tag: group.tag, addresses });
    }
    Ok(all)
}

/// How disks are used through each group.
pub(crate) fn access(groups: &[config::PortalGroup]) -> Vec<timedisk_scsi::PortGroup> {
    let group = |group: &config::PortalGroup| timedisk_scsi::PortGroup {
        tag: group.tag,
        state: state(group.state),
        is_preferred: group.preferred,
    };
    groups.iter().map(group).collect()
}

fn state(state: config::AccessState) -> AccessState {
    match state {
        config::AccessState::ActiveOptimized => AccessState::ActiveOptimized,
        config::AccessState::ActiveNonOptimized => AccessState::ActiveNonOptimized,
        config::AccessState::Standby => AccessState::Standby,
        config::AccessState::Unavailable => AccessState::Unavailable,
        config::AccessState::Offline => AccessState::Offline,
    }
}

/// The groups of those that serve a target, none meaning all, for people.
pub(crate) fn shown(groups: &[timedisk_scsi::PortGroup], serving: &[u16]) -> Vec<Access> {
    let groups = groups.iter().filter(|group| serving.is_empty() || serving.contains(&group.tag));
    let access = |group: &timedisk_scsi::PortGroup| Access {
        group: group.tag,
        state: match group.state {
            AccessState::ActiveOptimized => control::AccessState::Optimized,
            AccessState::ActiveNonOptimized => control::AccessState::NonOptimized,
            AccessState::Standby => control::AccessState::Standby,
            AccessState::Unavailable => control::AccessState::Unavailable,
            AccessState::Offline => control::AccessState::Offline,
        },
        preferred: group.is_preferred,
    };
    groups.map(access).collect()
}

/// The state that somebody asks for.
pub(crate) fn state_of(state: control::AccessState) -> AccessState {
    match state {
        control::AccessState::Optimized => AccessState::ActiveOptimized,
        control::AccessState::NonOptimized => AccessState::ActiveNonOptimized,
        control::AccessState::Standby => AccessState::Standby,
        control::AccessState::Unavailable => AccessState::Unavailable,
        control::AccessState::Offline => AccessState::Offline,
    }
}

/// Whether these are the same groups at the same addresses, in whichever order they are written.
pub(crate) fn are_same(groups: &[PortalGroup], others: &[PortalGroup]) -> bool {
    let sorted = |groups: &[PortalGroup]| {
        let portals = groups.iter().flat_map(|group| group.addresses.iter().map(|at| (group.tag, *at)));
        let mut portals: Vec<_> = portals.collect();
        portals.sort_unstable();
        portals
    };
    sorted(groups) == sorted(others)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn group(tag: u16, addresses: &[(&str, Option<u16>)]) -> config::PortalGroup {
        let addresses = addresses.iter().map(|(ip, port)| (ip.parse().unwrap(), *port)).collect();
        let state = config::AccessState::Standby;
        config::PortalGroup { tag, addresses, state, preferred: true, span: 0..0 }
    }

    fn options() -> ServeOptions {
        ServeOptions { port: 3260, ..ServeOptions::default() }
    }

    #[test]
    fn a_portal_without_a_port_has_that_of_the_command_line() {
        let groups = [group(2, &[("10.0.0.1", None), ("fd00::1", Some(99))])];
        let expected = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            vec![PortalGroup { tag: 2, addresses }]
        };
        assert_eq!(listening(&groups, &options()).unwrap(), expected(&["10.0.0.1:3260", "[fd00::1]:99"]));
        let four = ServeOptions { ipv4_only: true, ..options() };
        assert_eq!(listening(&groups, &four).unwrap(), expected(&["10.0.0.1:3260"]));
        assert_eq!(listening(&[], &options()).unwrap(), []);
    }

    #[test]
    fn the_command_line_may_not_contradict_them() {
        let listen = vec![("10.0.0.1".parse().unwrap(), None)];
        let typed = ServeOptions { listen, ..options() };
        assert!(listening(&[group(2, &[("10.0.0.1", None)])], &typed).is_err());
        assert!(listening(&[], &typed).is_ok());
        let six = ServeOptions { ipv6_only: true, ..options() };
        let error = listening(&[group(2, &[("10.0.0.1", None)])], &six).unwrap_err().to_string();
        assert_eq!(error, "-6 leaves out every address of portal2");
    }

    #[test]
    fn the_order_in_which_they_are_written_means_nothing() {
        let of = |groups: &[config::PortalGroup]| listening(groups, &options()).unwrap();
        let (one, two) =
            (group(1, &[("10.0.0.1", None), ("10.0.0.2", None)]), group(2, &[("10.0.0.3", None)]));
        let turned = group(1, &[("10.0.0.2", None), ("10.0.0.1", Some(3260))]);
        assert!(are_same(&of(&[one.clone(), two.clone()]), &of(&[two.clone(), turned])));
        assert!(!are_same(&of(&[one.clone(), two]), &of(&[one.clone(), group(3, &[("10.0.0.3", None)])])));
        assert!(!are_same(&of(&[one]), &[]));
    }
}
