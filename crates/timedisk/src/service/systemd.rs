//! What systemd is told of a unit: the settings that depend on what it serves (systemd.exec(5),
//! systemd.unit(5)).

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Component, Path};

use super::unit::Unit;

/// Where systemd keeps the state of services.
const STATES: &str = "/var/lib";
/// What `ProtectHome=` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What `PrivateTmp=` replaces.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// Ports below are for those with a capability.
const FIRST_FREE_PORT: u16 = 1024;

/// The settings that stand in place of each name in the templates.
pub(super) fn settings(unit: &Unit) -> [(&'static str, String); 7] {
    [
        ("@MOUNTS@", mounts(unit)),
        ("@STATE_DIRECTORY@", state_directory(unit)),
        ("@WRITABLE@", writable(unit)),
        ("@DEVICES@", devices(unit)),
        ("@CAPABILITIES@", capabilities(unit)),
        ("@PROTECT_HOME@", if any_below(unit, &HOMES) { "read-only" } else { "yes" }.to_owned()),
        ("@PRIVATE_TMP@", if any_below(unit, &TEMPORARY) { "no" } else { "yes" }.to_owned()),
    ]
}

/// The directories that images are made and kept in.
fn folders(unit: &Unit) -> BTreeSet<&Path> {
    unit.storage.files.iter().filter_map(|file| Path::new(file).parent()).collect()
}

/// What has to be mounted, or there, first: else an image would be made anew below the place where its file
/// system will be mounted.
fn mounts(unit: &Unit) -> String {
    let folders: Vec<String> = folders(unit).iter().map(|folder| quoted(&folder.to_string_lossy())).collect();
    let mut lines = match folders.is_empty() {
        true => vec!["#RequiresMountsFor=/srv".to_owned()],
        false => vec![format!("RequiresMountsFor={}", folders.join(" "))],
    };
    for device in &unit.storage.devices {
        let name = device_unit(device);
        lines.push(format!("Wants={name}\nAfter={name}"));
    }
    lines.join("\n")
}

/// `StateDirectory=`, where the directory is one that systemd can look after.
fn state_directory(unit: &Unit) -> String {
    match state_name(unit) {
        Some(name) => format!("StateDirectory={}\nStateDirectoryMode=0700", quoted(name)),
        None => format!("#StateDirectory= is below {STATES} only; this one has to be there"),
    }
}

fn state_name(unit: &Unit) -> Option<&str> {
    let name = Path::new(&unit.state).strip_prefix(STATES).ok()?;
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    name.to_str().filter(|name| plain && !name.is_empty())
}

/// One that is missing must not keep the service from its start.
fn writable(unit: &Unit) -> String {
    let outside = state_name(unit).is_none().then_some(Path::new(&unit.state));
    let folders = folders(unit).into_iter().chain(outside);
    let folders: Vec<String> = folders.map(|folder| quoted(&format!("-{}", folder.display()))).collect();
    match folders.is_empty() {
        true => "#ReadWritePaths=/srv".to_owned(),
        false => format!("ReadWritePaths={}", folders.join(" ")),
    }
}

/// No devices at all, or those that are disks.
fn devices(unit: &Unit) -> String {
    if unit.storage.devices.is_empty() {
        return "PrivateDevices=yes".to_owned();
    }
    let allowed = unit.storage.devices.iter().map(|device| format!("DeviceAllow={} rw", quoted(device)));
    std::iter::once("DevicePolicy=closed".to_owned()).chain(allowed).collect::<Vec<String>>().join("\n")
}

fn capabilities(unit: &Unit) -> String {
    let low = unit.listen.iter().any(|(_, port)| port.is_some_and(|port| port < FIRST_FREE_PORT));
    format!("CapabilityBoundingSet={}", if low { "CAP_NET_BIND_SERVICE" } else { "" })
}

fn any_below(unit: &Unit, roots: &[&str]) -> bool {
    let mut paths = unit.paths();
    paths.any(|path| roots.iter().any(|root| path.starts_with(root)))
}

/// The name of a device's unit (systemd.unit(5), "String escaping for inclusion in unit names").
fn device_unit(path: &str) -> String {
    let mut name = String::new();
    for byte in path.trim_matches('/').bytes() {
        match byte {
            b'/' => name.push('-'),
            b'.' | b':' | b'_' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => {
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    name + ".device"
}

/// A word of a setting (systemd.syntax(7), "Quoting"); `%` begins a specifier.
pub(super) fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:=@_+-[]%$".contains(c);
    if !escaped.is_empty() && escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

/// A word of a command, where `$` begins a variable as well (systemd.service(5), "Command lines").
pub(super) fn quoted_in_command(word: &str) -> String {
    quoted(&word.replace('$', "$$"))
}
