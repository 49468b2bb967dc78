//! What to type next on the client.

use std::net::SocketAddr;

/// A disk as a client sees it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The target's iSCSI name.
    pub(crate) iqn: String,
    pub(crate) lun: u16,
    /// Whether an initiator has to prove who it is.
    pub(crate) chap: bool,
    /// The portal groups that serve it; none for all.
    pub(crate) portals: Vec<u16>,
}

/// The name by which libiscsi, QEMU and fio call a disk.
pub(crate) fn url(address: SocketAddr, shown: &Shown) -> String {
    format!("iscsi://{address}/{}/{}", shown.iqn, shown.lun)
}

/// What to type next, for each kind of client.
pub(crate) fn next_steps(address: SocketAddr, shown: &Shown) -> String {
    let (ip, port, iqn) = (address.ip(), address.port(), &shown.iqn);
    let portal = address.to_string();
    let chap_linux = if shown.chap {
        format!(
            "    iscsiadm -m node -T {iqn} -p {portal} -o update -n node.session.auth.authmethod -v CHAP\n    \
             ... and the same for node.session.auth.username and node.session.auth.password\n"
        )
    } else {
        String::new()
    };
    let chap_windows =
        if shown.chap { " -AuthenticationType ONEWAYCHAP -ChapUsername USER -ChapSecret SECRET" } else { "" };
    let only_here = if ip.is_loopback() {
        "Only this machine can connect. For others: timedisk --listen 0.0.0.0, and mind who can reach it.\n"
    } else {
        ""
    };
    format!(
        "{only_here}\
         On Linux, as root (package open-iscsi):\n    \
             iscsiadm -m discovery -t sendtargets -p {portal}\n\
         {chap_linux}    \
             iscsiadm -m node -T {iqn} -p {portal} --login\n\
         On Windows, in an administrator's PowerShell:\n    \
             Start-Service MSiSCSI\n    \
             New-IscsiTargetPortal -TargetPortalAddress {ip} -TargetPortalPortNumber {port}\n    \
             Connect-IscsiTarget -NodeAddress {iqn}{chap_windows}\n\
         On macOS: it has no iSCSI initiator of its own. Commercial ones exist (ATTO Xtend SAN,\n    \
             globalSAN), as kernel extensions that need lowered security on today's Macs; check that\n    \
             yours supports your macOS first.\n\
         Anywhere with QEMU or libiscsi: give them the URL above, as in  qemu-img info URL\n\
         Stop with Ctrl-C.\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_what_other_programs_take() {
        let shown = Shown {
            iqn: "iqn.1994-04.org.netbsd.iscsi-target:target0".into(),
            lun: 0,
            chap: false,
            portals: Vec::new(),
        };
        let four = url("127.0.0.1:3260".parse().unwrap(), &shown);
        assert_eq!(four, "iscsi://127.0.0.1:3260/iqn.1994-04.org.netbsd.iscsi-target:target0/0");
        let six = url("[::1]:99".parse().unwrap(), &shown);
        assert_eq!(six, "iscsi://[::1]:99/iqn.1994-04.org.netbsd.iscsi-target:target0/0");
    }

    #[test]
    fn the_steps_name_the_target_and_say_when_nobody_else_can_connect() {
        let shown = Shown { iqn: "iqn.x:y".into(), lun: 0, chap: true, portals: Vec::new() };
        let here = next_steps("127.0.0.1:3260".parse().unwrap(), &shown);
        assert!(here.contains("Only this machine") && here.contains("iqn.x:y") && here.contains("CHAP"));
        let there = next_steps("10.0.0.1:3260".parse().unwrap(), &shown);
        assert!(!there.contains("Only this machine"));
    }
}
