//! What is said at each start of doors that stand open: nobody shall find out later that no secret was asked for.

use crate::plan::Plan;

/// A line for the disks that ask for no secret, and one for discovery if it asks for none.
pub(crate) fn notices(plan: &Plan) -> Vec<String> {
    let open = plan.disks.iter().filter(|disk| disk.chap.is_none());
    let open: Vec<&str> = open.map(|disk| disk.name.as_str()).collect();
    lines(&open, !plan.disks.is_empty() && plan.discovery.is_none())
}

fn lines(open: &[&str], discovery: bool) -> Vec<String> {
    let disks = (!open.is_empty()).then(|| {
        let names = open.join(", ");
        format!(
            "open: {names}: whoever reaches this server from an address let in needs no secret (auth=chap)"
        )
    });
    let discovery = discovery.then(|| {
        "open: discovery: whoever asks is shown the targets for his address (discovery auth=chap)".to_owned()
    });
    disks.into_iter().chain(discovery).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_door_is_named_and_no_other() {
        assert_eq!(lines(&[], false), [""; 0]);
        let both = lines(&["target0", "target2"], true);
        assert!(both[0].starts_with("open: target0, target2: ") && both[1].starts_with("open: discovery: "));
        assert_eq!(lines(&["target0"], false).len(), 1);
        assert_eq!(notices(&Plan::default()), [""; 0], "where nothing is served");
    }
}
