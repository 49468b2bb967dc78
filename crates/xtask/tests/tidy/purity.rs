//! The rule that keeps protocol, SCSI and configuration free of input and output: bytes and times come in as
//! arguments, so that every behaviour can be tested without sockets, files and clocks.

use crate::rust_text::{paths, without_comments_and_strings};

/// The crates that the rule is for, and whether addresses may be named in it.
const PURE: [(&str, bool); 3] = [("crates/iscsi/", false), ("crates/scsi/", false), ("crates/config/", true)];

/// Modules of the standard library that reach outside.
const OUTSIDE: [&str; 6] = ["net", "fs", "thread", "env", "process", "os"];
/// Types that are only numbers, though they live in `std::net`.
const ADDRESSES: [&str; 7] =
    ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];
/// Crates that reach outside.
const OUTSIDE_CRATES: [&str; 10] = [
    "getrandom",
    "rand",
    "libc",
    "nix",
    "rustix",
    "socket2",
    "mio",
    "tokio",
    "signal-hook",
    "timedisk-target",
];

fn is_pure(path: &str) -> Option<bool> {
    PURE.iter().find(|(directory, _)| path.starts_with(directory)).map(|(_, addresses)| *addresses)
}

pub(crate) fn sources(path: &str, text: &str) -> Vec<String> {
    let Some(addresses) = is_pure(path).filter(|_| path.ends_with(".rs")) else {
        return Vec::new();
    };
    paths(&without_comments_and_strings(text))
        .into_iter()
        .filter(|(_, used)| reaches_outside(used, addresses))
        .map(|(line, used)| format!("{path}:{line}: {used} reaches outside"))
        .collect()
}

fn reaches_outside(used: &str, addresses: bool) -> bool {
    let (used, renamed) = used.strip_suffix(" as").map_or((used, false), |used| (used, true));
    let parts: Vec<_> = used.split("::").collect();
    let has = |words: &[&str]| parts.windows(words.len()).any(|window| window == words);
    if has(&["SystemTime"])
        || has(&["Instant", "now"])
        || parts.contains(&"getrandom")
        || parts.contains(&"rand")
    {
        return true;
    }
    match parts.as_slice() {
        // under another name, or with everything in it, it could no longer be told
        ["std" | "core"] => renamed,
        ["std" | "core", "*"] | ["std", "time", "*"] => true,
        ["std", "time", "Instant"] => renamed,
        ["std" | "core", "net", name, ..] => !(addresses && ADDRESSES.contains(name)),
        ["std", module, ..] => OUTSIDE.contains(module),
        _ => false,
    }
}

pub(crate) fn manifests(path: &str, text: &str) -> Vec<String> {
    if is_pure(path).is_none() || !path.ends_with("/Cargo.toml") {
        return Vec::new();
    }
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
            OUTSIDE_CRATES.contains(&name)
        })
        .map(|(number, line)| format!("{path}:{number}: {line}"))
        .collect()
}
