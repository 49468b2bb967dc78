//! What the files for service managers say of what is to be served.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::kinds::Kind;
use super::unit::{Typed, Unit};

/// A directory with a file of targets in it.
struct Place(tempfile::TempDir);

impl Place {
    fn with(targets: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::write(place.path("targets"), targets).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn unit(&self) -> Unit {
        unit(&self.path("targets"), "/var/lib/timedisk", &[])
    }
}

fn unit(targets: &Path, state: &str, listen: &[(IpAddr, Option<u16>)]) -> Unit {
    let (program, state) = (Path::new("/usr/bin/timedisk"), Path::new(state));
    Unit::new(&Typed { program, targets, auths: None, netbsd_compat: false, state, listen }).unwrap()
}

fn has(unit: &Unit, line: &str) -> bool {
    let text = Kind::Systemd.text(unit);
    let found = text.lines().any(|there| there == line);
    if !found {
        println!("no line {line:?} in\n{text}");
    }
    found
}

/// A unit of nothing that is there.
fn bare(state: &str, listen: &[(IpAddr, Option<u16>)]) -> Unit {
    unit(Path::new("/etc/no-such-directory/targets"), state, listen)
}

#[test]
fn a_target_that_asks_for_chap_has_its_directory_as_well() {
    let place = Place::with("extent0 /srv/a/x.img 0 8MB\ntarget0 rw extent0 any auth=chap users=anna\n");
    std::fs::write(place.path("auths"), "anna:chap:tell-nobody-99\n").unwrap();
    let unit = place.unit();
    assert_eq!(unit.remarks, [""; 0]);
    assert!(has(&unit, "ReadWritePaths=-/srv/a"));
    assert!(
        has(&unit, "RequiresMountsFor=/srv/a"),
        "no image is made where its file system is not mounted yet"
    );
}

#[test]
fn a_relative_image_is_below_the_root_directory() {
    let unit = Place::with("extent0 a/x.img 0 8MB\ntarget0 rw extent0 any\n").unit();
    assert!(has(&unit, "ReadWritePaths=-/a"));
}

#[test]
fn a_linked_image_is_writable_where_it_is() {
    let place = Place::with("");
    for name in ["link", "real"] {
        std::fs::create_dir(place.path(name)).unwrap();
    }
    std::fs::write(place.path("real/x.img"), "").unwrap();
    symlink(place.path("real/x.img"), place.path("link/x.img")).unwrap();
    let link = place.path("link/x.img");
    std::fs::write(
        place.path("targets"),
        format!("extent0 {} 0 8MB\ntarget0 rw extent0 any\n", link.display()),
    )
    .unwrap();
    let folders = [place.path("link"), place.path("real")].map(|folder| format!("-{}", folder.display()));
    assert!(has(&place.unit(), &format!("ReadWritePaths={}", folders.join(" "))));
}

#[test]
fn an_image_that_the_service_could_not_open_is_remarked() {
    let place = Place::with("");
    let image = place.path("x.img");
    std::fs::write(&image, "").unwrap();
    // A test that does not run as root makes files that are not root's anyway.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&image, Some(65534), None).unwrap();
    }
    let targets = format!("extent0 {} 0 8MB\ntarget0 rw extent0 any\n", image.display());
    std::fs::write(place.path("targets"), targets).unwrap();
    let remarks = place.unit().remarks;
    assert!(remarks.iter().any(|remark| remark.contains("x.img is not root's")), "{remarks:?}");
}

#[test]
fn a_disk_in_memory_needs_no_directory() {
    let unit = Place::with("extent0 memory:/a 0 8MB\ntarget0 rw extent0 any\n").unit();
    assert!(has(&unit, "#ReadWritePaths=/srv"));
    assert!(!Kind::Systemd.text(&unit).contains("memory:"));
}

#[test]
fn a_block_device_is_waited_for_and_allowed() {
    let unit = Place::with("extent0 /dev/no-such/a\\ b%c 0 8MB\ntarget0 rw extent0 any\n").unit();
    assert!(has(&unit, "DeviceAllow=\"/dev/no-such/a b%%c\" rw"));
    assert!(has(&unit, "After=dev-no\\x2dsuch-a\\x20b\\x25c.device"));
    assert!(!Kind::Systemd.text(&unit).contains("PrivateDevices"));
    let shared = Place::with("extent0 /dev/shm/no-such.img 0 8MB\ntarget0 rw extent0 any\n").unit();
    assert!(has(&shared, "PrivateDevices=yes") && has(&shared, "ReadWritePaths=-/dev/shm"));
}

#[test]
fn what_is_in_a_home_can_be_seen() {
    for home in ["/root", "/home", "/run/user"] {
        let state = format!("{home}/anna/state");
        assert!(has(&bare(&state, &[]), "ProtectHome=read-only"), "{state}");
    }
    assert!(has(&bare("/var/lib/timedisk", &[]), "ProtectHome=yes"));
    assert!(has(&bare("/tmp/state", &[]), "PrivateTmp=no"));
    assert!(has(&bare("/var/lib/timedisk", &[]), "PrivateTmp=yes"));
}

#[test]
fn a_state_directory_elsewhere_is_writable() {
    assert!(has(&bare("/var/lib/disks/one", &[]), "StateDirectory=disks/one"));
    assert!(has(&bare("/srv/state", &[]), "ReadWritePaths=-/srv/state"));
    for state in ["/var/lib/../x", "/var/lib", "/var/libs/x", "/srv/state"] {
        assert!(!Kind::Systemd.text(&bare(state, &[])).contains("\nStateDirectory"), "{state}");
    }
}

#[test]
fn addresses_are_where_the_unit_or_the_socket_listens() {
    let listen = [("10.0.0.1".parse().unwrap(), None), ("fd00::5".parse().unwrap(), Some(860))];
    let unit = bare("/var/lib/timedisk", &listen);
    assert_eq!(unit.command()[6..], ["--listen", "10.0.0.1", "--listen", "[fd00::5]:860"]);
    assert!(has(&unit, "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"));
    assert!(
        Kind::SystemdSocket
            .text(&unit)
            .contains("\nListenStream=10.0.0.1:3260\nListenStream=[fd00::5]:860\n")
    );
    let all = bare("/var/lib/timedisk", &[]);
    assert!(has(&all, "CapabilityBoundingSet="));
    assert!(Kind::SystemdSocket.text(&all).contains("\nListenStream=3260\n"));
}

#[test]
fn a_file_of_targets_that_cannot_be_read_is_remarked() {
    let missing = bare("/var/lib/timedisk", &[]);
    assert!(missing.remarks.iter().any(|remark| remark.contains("/etc/no-such-directory/targets")));
    let broken = Place::with("extent0 /srv/x.img 0 8XB\n").unit();
    assert!(broken.remarks.iter().any(|remark| remark.contains("timedisk check -f")), "{:?}", broken.remarks);
}

#[test]
fn what_only_netbsd_accepts_is_read_as_it_reads_it() {
    let place = Place::with("extent0 /srv/a/x.img 0 100XB\ntarget0 rw extent0\n");
    let (program, state) = (Path::new("/usr/bin/timedisk"), Path::new("/var/lib/timedisk"));
    let read = |netbsd_compat| {
        let (targets, listen) = (&*place.path("targets"), &[]);
        Unit::new(&Typed { program, targets, auths: None, netbsd_compat, state, listen }).unwrap()
    };
    assert!(has(&read(true), "ReadWritePaths=-/srv/a"));
    assert!(read(true).command().contains(&"--netbsd-compat".to_owned()));
    assert!(
        !read(false).remarks.is_empty() && !read(false).command().contains(&"--netbsd-compat".to_owned())
    );
}

#[test]
fn a_path_that_would_break_a_line_is_refused() {
    let (program, targets) = (Path::new("/usr/bin/timedisk"), Path::new("/etc/a\nUser=anna"));
    let state = Path::new("/x");
    let typed = Typed { program, targets, auths: None, netbsd_compat: false, state, listen: &[] };
    assert!(Unit::new(&typed).unwrap_err().to_string().contains("control character"));
}

#[test]
fn no_name_of_a_value_is_left_in_any_file() {
    let unit = bare("/var/lib/timedisk", &[]);
    for kind in Kind::value_variants() {
        let text = kind.text(&unit);
        let shouted =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        assert!(!text.split('@').skip(1).any(shouted), "{text}");
    }
}
