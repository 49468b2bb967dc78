//! The kinds of service managers, and what each is told.

use clap::ValueEnum;

use super::systemd;
use super::unit::Unit;

/// A service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A unit for systemd.
    Systemd,
    /// A socket unit beside it, for systemd to listen and to start timedisk when the first client comes.
    SystemdSocket,
    /// An rc.d script for NetBSD.
    Netbsd,
    /// An rc.d script for FreeBSD.
    Freebsd,
    /// A property list for macOS's launchd.
    Launchd,
}

/// What a kind's file is, and where.
pub(super) struct File {
    /// Where it goes.
    pub(super) path: &'static str,
    template: &'static str,
    /// A script is executable.
    pub(super) mode: u32,
    /// How a word of the command is quoted.
    quote: fn(&str) -> String,
    /// What to type once it is there.
    pub(super) next: &'static [&'static str],
    /// What to type once it is gone. It needs the file no more.
    pub(super) after_removal: &'static [&'static str],
}

/// One row for each kind, in their order.
static FILES: [File; 5] = [
    File {
        path: "/etc/systemd/system/timedisk.service",
        template: include_str!("templates/timedisk.service"),
        mode: 0o644,
        quote: systemd::quoted_in_command,
        next: &["systemctl daemon-reload", "systemctl enable --now timedisk"],
        after_removal: &[
            "systemctl stop timedisk",
            "rm -f /etc/systemd/system/multi-user.target.wants/timedisk.service",
            "systemctl daemon-reload",
        ],
    },
    File {
        path: "/etc/systemd/system/timedisk.socket",
        template: include_str!("templates/timedisk.socket"),
        mode: 0o644,
        quote: systemd::quoted_in_command,
        next: &["systemctl daemon-reload", "systemctl enable --now timedisk.socket"],
        after_removal: &[
            "systemctl stop timedisk.socket",
            "rm -f /etc/systemd/system/sockets.target.wants/timedisk.socket",
            "systemctl daemon-reload",
        ],
    },
    File {
        path: "/etc/rc.d/timedisk",
        template: include_str!("templates/netbsd"),
        mode: 0o755,
        quote: quoted_for_shell,
        next: &[
            "grep -q '^timedisk=YES' /etc/rc.conf || echo timedisk=YES >> /etc/rc.conf",
            "/etc/rc.d/timedisk start",
        ],
        after_removal: &["kill $(cat /var/run/timedisk.pid)"],
    },
    File {
        path: "/usr/local/etc/rc.d/timedisk",
        template: include_str!("templates/freebsd"),
        mode: 0o755,
        quote: quoted_for_shell,
        next: &["sysrc timedisk_enable=YES", "service timedisk start"],
        after_removal: &["kill $(cat /var/run/timedisk.pid)", "sysrc -x timedisk_enable"],
    },
    File {
        path: "/Library/LaunchDaemons/org.timedisk.timedisk.plist",
        template: include_str!("templates/launchd.plist"),
        mode: 0o644,
        quote: quoted_for_xml,
        next: &["launchctl bootstrap system /Library/LaunchDaemons/org.timedisk.timedisk.plist"],
        after_removal: &["launchctl bootout system/org.timedisk.timedisk"],
    },
];

impl Kind {
    pub(super) fn file(self) -> &'static File {
        let [systemd, socket, netbsd, freebsd, launchd] = &FILES;
        match self {
            Kind::Systemd => systemd,
            Kind::SystemdSocket => socket,
            Kind::Netbsd => netbsd,
            Kind::Freebsd => freebsd,
            Kind::Launchd => launchd,
        }
    }

    /// What has to be installed for this kind: a socket unit is nothing without the service that it starts.
    pub(super) fn with_what_it_needs(self) -> &'static [Kind] {
        match self {
            Kind::Systemd => &[Kind::Systemd],
            Kind::SystemdSocket => &[Kind::Systemd, Kind::SystemdSocket],
            Kind::Netbsd => &[Kind::Netbsd],
            Kind::Freebsd => &[Kind::Freebsd],
            Kind::Launchd => &[Kind::Launchd],
        }
    }

    /// The kind of this machine.
    pub(super) fn of_this_machine() -> Option<Kind> {
        match std::env::consts::OS {
            "netbsd" => Some(Kind::Netbsd),
            "freebsd" => Some(Kind::Freebsd),
            "macos" => Some(Kind::Launchd),
            "linux" => std::path::Path::new("/run/systemd/system").is_dir().then_some(Kind::Systemd),
            _ => None,
        }
    }

    /// The file's text for a unit.
    pub(super) fn text(self, unit: &Unit) -> String {
        let file = self.file();
        let command: Vec<String> = unit.command().iter().map(|word| (file.quote)(word)).collect();
        let arguments: Vec<String> =
            command.iter().map(|word| format!("\t\t<string>{word}</string>")).collect();
        let quoted = |word: &str| (file.quote)(word);
        let command = command.join(" ");
        let own = [
            ("@ARGUMENTS@", arguments.join("\n")),
            ("@COMMAND_AS_ONE_WORD@", quoted_for_shell(&command)),
            ("@COMMAND@", command),
            ("@PROGRAM@", quoted(&unit.program)),
            ("@TARGETS@", quoted(&unit.targets)),
            ("@STATE@", quoted(&unit.state)),
            ("@PORTS@", ports(unit)),
        ];
        fill(file.template, &own.into_iter().chain(systemd::settings(unit)).collect::<Vec<_>>())
    }
}

/// Puts the values in the places of their names, each once: a value that looks like a name stays what it is.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    let first = |rest: &str| {
        values
            .iter()
            .filter_map(|(name, value)| Some((rest.find(name)?, *name, value)))
            .min_by_key(|found| found.0)
    };
    while let Some((at, name, value)) = first(rest) {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        text.push_str(value);
        rest = after.strip_prefix(name).unwrap_or_default();
    }
    text + rest
}

/// Where a socket unit listens: without an address, on all of IPv4 and IPv6, as far as the machine speaks
/// them.
fn ports(unit: &Unit) -> String {
    const PORT: u16 = 3260;
    let lines = unit.listen.iter().map(|(ip, port)| {
        let address = std::net::SocketAddr::new(*ip, port.unwrap_or(PORT));
        format!("ListenStream={address}")
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { format!("ListenStream={PORT}") } else { lines.join("\n") }
}

fn quoted_for_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:=@_+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn quoted_for_xml(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_each_reader_has_it() {
        assert_eq!(systemd::quoted("/usr/bin/timedisk"), "/usr/bin/timedisk");
        assert_eq!(systemd::quoted("a b\"%$c\\"), "\"a b\\\"%%$c\\\\\"");
        assert_eq!(systemd::quoted_in_command("a b\"%$c"), "\"a b\\\"%%$$c\"");
        assert_eq!(quoted_for_shell("it's"), "'it'\\''s'");
        assert_eq!(quoted_for_xml("a<b&c"), "a&lt;b&amp;c");
    }

    #[test]
    fn a_value_that_looks_like_a_name_stays_what_it_is() {
        let values = [("@A@", "/srv/@B@".to_owned()), ("@B@", "b".to_owned())];
        assert_eq!(fill("x @A@ @B@ @A@ @C@", &values), "x /srv/@B@ b /srv/@B@ @C@");
    }
}
