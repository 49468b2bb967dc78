//! The kinds of service managers, and what each is told.

use clap::ValueEnum;

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
    pub(super) template: &'static str,
    /// A script is executable.
    pub(super) mode: u32,
    /// How an argument is quoted.
    pub(super) quote: fn(&str) -> String,
    /// What to type next, as words.
    pub(super) next: &'static [&'static [&'static str]],
    /// What to type before it is removed.
    pub(super) before_removal: &'static str,
}

impl Kind {
    pub(super) fn file(self) -> File {
        match self {
            Kind::Systemd => File {
                path: "/etc/systemd/system/timedisk.service",
                template: include_str!("templates/timedisk.service"),
                mode: 0o644,
                quote: quoted_for_systemd,
                next: &[&["systemctl", "daemon-reload"], &["systemctl", "enable", "--now", "timedisk"]],
                before_removal: "systemctl disable --now timedisk",
            },
            Kind::SystemdSocket => File {
                path: "/etc/systemd/system/timedisk.socket",
                template: include_str!("templates/timedisk.socket"),
                mode: 0o644,
                quote: quoted_for_systemd,
                next: &[
                    &["systemctl", "daemon-reload"],
                    &["systemctl", "enable", "--now", "timedisk.socket"],
                ],
                before_removal: "systemctl disable --now timedisk.socket",
            },
            Kind::Netbsd => File {
                path: "/etc/rc.d/timedisk",
                template: include_str!("templates/netbsd"),
                mode: 0o755,
                quote: quoted_for_shell,
                next: &[&["sh", "-c", "echo timedisk=YES >> /etc/rc.conf"], &["/etc/rc.d/timedisk", "start"]],
                before_removal: "/etc/rc.d/timedisk stop",
            },
            Kind::Freebsd => File {
                path: "/usr/local/etc/rc.d/timedisk",
                template: include_str!("templates/freebsd"),
                mode: 0o755,
                quote: quoted_for_shell,
                next: &[&["sysrc", "timedisk_enable=YES"], &["service", "timedisk", "start"]],
                before_removal: "service timedisk stop",
            },
            Kind::Launchd => File {
                path: "/Library/LaunchDaemons/org.timedisk.timedisk.plist",
                template: include_str!("templates/launchd.plist"),
                mode: 0o644,
                quote: quoted_for_xml,
                next: &[&[
                    "launchctl",
                    "bootstrap",
                    "system",
                    "/Library/LaunchDaemons/org.timedisk.timedisk.plist",
                ]],
                before_removal: "launchctl bootout system/org.timedisk.timedisk",
            },
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
        let values = [
            ("@COMMAND@", command.join(" ")),
            ("@ARGUMENTS@", arguments.join("\n")),
            ("@PROGRAM@", quoted(&unit.program)),
            ("@TARGETS@", quoted(&unit.targets)),
            ("@STATE_NAME@", unit.state_name()),
            ("@STATE@", quoted(&unit.state)),
            ("@WRITABLE@", unit.writable()),
            ("@DEVICES@", unit.devices()),
            ("@PROTECT_HOME@", unit.protect_home().to_owned()),
            ("@PRIVATE_TMP@", unit.private_tmp().to_owned()),
        ];
        values.iter().fold(file.template.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

/// systemd.service(5), "Command lines": quotes, and `%` and `$` doubled.
pub(super) fn quoted_for_systemd(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:=@_+-[]%$".contains(c);
    if !escaped.is_empty() && escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
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
        assert_eq!(quoted_for_systemd("/usr/bin/timedisk"), "/usr/bin/timedisk");
        assert_eq!(quoted_for_systemd("a b\"%$c"), "\"a b\\\"%%$$c\"");
        assert_eq!(quoted_for_shell("it's"), "'it'\\''s'");
        assert_eq!(quoted_for_xml("a<b&c"), "a&lt;b&amp;c");
    }
}
