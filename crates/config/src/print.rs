//! A configuration as a `targets` text, for both readings.

use crate::configuration::{
    AccessState, Authentication, Configuration, Device, Extent, Length, Level, Options, PortalGroup, Scrub,
    Storage, Target,
};
use crate::keys::{BLOCK_LENGTHS, SCRUBS};
use crate::name::iscsi_name;
use crate::portals::{PORTAL, STATES};
use crate::reader::DISCOVERY;
use crate::size::format_size;
use crate::value::quoted;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// The longest line that NetBSD takes for one, in bytes.
const NETBSDS_LONGEST_LINE: usize = 1023;

/// A configuration as text, and what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Printed {
    /// The lines of a `targets` file: extents, then devices, portal groups and targets. What cannot be written so that
    /// it is read again, or cannot be served, is a comment.
    pub text: String,
    /// What either reading makes otherwise of the text, in sentences for people.
    pub notices: Vec<String>,
}

impl Configuration {
    /// Prints the configuration as a `targets` file. With the same `options` and the same `auths` file, the
    /// strict reader reads an equal configuration from it; NetBSD's reading gives the same disks, save for
    /// what the notices say, and never lets in more.
    #[must_use]
    pub fn print(&self, options: &Options) -> Printed {
        let mut printer = Printer { configuration: self, options, printed: Printed::default() };
        self.extents.iter().for_each(|extent| printer.extent(extent));
        self.devices.iter().for_each(|device| printer.device(device));
        self.portals.iter().for_each(|group| printer.portal(group));
        printer.discovery();
        let mut disks: HashMap<&str, usize> = HashMap::new();
        for target in &self.targets {
            *disks.entry(&target.iqn).or_default() += 1;
        }
        for target in &self.targets {
            printer.target(target, disks.get(target.iqn.as_str()).is_some_and(|count| *count > 1));
        }
        printer.printed
    }
}

struct Printer<'a> {
    configuration: &'a Configuration,
    options: &'a Options,
    printed: Printed,
}

impl Printer<'_> {
    fn note(&mut self, name: &str, what: &str) {
        self.printed.notices.push(format!("{} {what}", quoted(name)));
    }

    /// Adds a line. Fields that no escape can keep make it a comment.
    fn line(&mut self, name: &str, fields: &[String]) {
        let line = fields.iter().map(|field| escaped(field)).collect::<Vec<_>>().join(" ");
        if !fields.iter().all(|field| can_be_written(field)) {
            self.note(name, "has a field that cannot be written in this file, so its line is a comment");
            self.comment(&line);
            return;
        }
        if line.len() > NETBSDS_LONGEST_LINE {
            self.note(name, "has a line of more than 1023 bytes, which NetBSD cuts");
        }
        self.printed.text.push_str(&line);
        self.printed.text.push('\n');
    }

    fn comment(&mut self, line: &str) {
        let shown: String = line
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
            .collect();
        self.printed.text.push_str(&format!("# {shown}\n"));
    }

    fn extent(&mut self, extent: &Extent) {
        let length = match extent.length {
            Length::Bytes(bytes) => format_size(bytes),
            Length::WholeFile => "size".to_owned(),
        };
        if extent.length == Length::WholeFile && extent.start > 0 {
            self.note(&extent.name, "goes to the end of its file; NetBSD adds the start to that");
        }
        if extent.is_in_memory() {
            self.note(&extent.name, "is in memory, and NetBSD takes that for a path");
        }
        let mut fields = vec![extent.name.clone(), extent.path.clone(), extent.start.to_string(), length];
        fields.extend(extent.direct.then(|| "direct=yes".to_owned()));
        if extent.qcow2 {
            self.note(&extent.name, "is an image in QEMU's format, and NetBSD would serve its file as it is");
            fields.push("format=qcow2".to_owned());
        }
        fields.extend(extent.checksum.then(|| "checksum=yes".to_owned()));
        self.line(&extent.name, &fields);
    }

    fn device(&mut self, device: &Device) {
        let mut fields = vec![device.name.clone(), format!("RAID{}", device.level.number())];
        fields.extend(device.members.iter().map(|member| self.name_of(*member).to_owned()));
        if let Level::Other(level) = device.level {
            self.note(
                &device.name,
                &format!("is of level {level}, which nobody serves, so its line is a comment"),
            );
            self.comment(&fields.join(" "));
            return;
        }
        fields.extend(device.care.timeout.map(|seconds| format!("timeout={seconds}")));
        if device.care.scrub != Scrub::Never {
            let word = SCRUBS.iter().find(|row| row.1 == device.care.scrub).map_or("", |row| row.0);
            fields.push(format!("scrub={word}"));
        }
        self.line(&device.name, &fields);
    }

    fn portal(&mut self, group: &PortalGroup) {
        let name = format!("{PORTAL}{}", group.tag);
        let address = |(ip, port): &(IpAddr, Option<u16>)| match port {
            Some(port) => SocketAddr::new(*ip, *port).to_string(),
            None => ip.to_string(),
        };
        let addresses: Vec<String> = group.addresses.iter().map(address).collect();
        let mut fields = vec![name.clone(), addresses.join(",")];
        if group.state != AccessState::ActiveOptimized {
            let word = STATES.iter().find(|row| row.1 == group.state).map_or("", |row| row.0);
            fields.push(format!("state={word}"));
        }
        if group.preferred {
            fields.push("preferred=yes".to_owned());
        }
        self.note(&name, "is a portal group, which NetBSD does not know: it listens everywhere");
        self.line(&name, &fields);
    }

    fn name_of(&self, storage: Storage) -> &str {
        let extent = |index: usize| self.configuration.extents.get(index).map(|extent| extent.name.as_str());
        let device = |index: usize| self.configuration.devices.get(index).map(|device| device.name.as_str());
        match storage {
            Storage::Extent(index) => extent(index).unwrap_or(""),
            Storage::Device(index) => device(index).unwrap_or(""),
        }
    }

    fn discovery(&mut self) {
        let discovery = &self.configuration.discovery;
        let mut fields = vec![DISCOVERY.to_owned()];
        fields.extend(self.login(&discovery.authentication, discovery.mutual.as_deref()));
        if fields.len() > 1 {
            self.login_line(DISCOVERY, &fields, &discovery.authentication);
        }
    }

    fn target(&mut self, target: &Target, is_one_of_several: bool) {
        let derived = iscsi_name(&format!("{}:{}", self.options.iqn_base, target.name));
        let name = match derived.is_ok_and(|derived| derived == target.iqn) {
            true => target.name.clone(),
            false => format!("{}={}", target.name, target.iqn),
        };
        let flags = if target.read_only { "ro" } else { "rw" }.to_owned();
        let storage = self.name_of(target.storage).to_owned();
        let mut fields = vec![name, flags, storage, target.access.normal_form()];
        if is_one_of_several || target.lun > 0 {
            fields.push(format!("lun={}", target.lun));
        }
        if target.block_length != self.options.block_length {
            fields.push(format!("block={}", target.block_length));
            if !BLOCK_LENGTHS.iter().any(|row| row.1 == target.block_length) {
                self.note(&target.name, "has a block length that only an option can say");
            }
        }
        fields.extend(target.physical.map(|physical| format!("physical={physical}")));
        fields.extend(target.serial.iter().map(|serial| format!("serial={serial}")));
        fields.extend(self.login(&target.authentication, target.mutual.as_deref()));
        if !target.portals.is_empty() {
            let tags: Vec<String> = target.portals.iter().map(u16::to_string).collect();
            fields.push(format!("portals={}", tags.join(",")));
        }
        if target.explicit {
            fields.push("alua=explicit".to_owned());
        }
        if !target.access.is_netbsds() {
            self.note(&target.name, "has a netmask that NetBSD cannot read: it lets in fewer peers, or none");
        }
        if is_one_of_several {
            self.note(&target.name, "is one of a target's several disks, of which NetBSD serves the first");
        }
        match &target.unserved {
            None => self.login_line(&target.name, &fields, &target.authentication),
            Some(why) => {
                self.printed.notices.push(format!("{}; its line is a comment", why.message));
                self.comment(&fields.join(" "));
            }
        }
    }

    /// Adds a line that asks for users, by names that have no comma or by `auth=chap` alone.
    fn login_line(&mut self, name: &str, fields: &[String], authentication: &Authentication) {
        match authentication {
            Authentication::Chap { users }
                if *users != self.all_users() && users.iter().any(|user| user.contains(',')) =>
            {
                self.note(name, "asks for a user whose name has a comma, so its line is a comment");
                self.comment(&fields.join(" "));
            }
            _ => self.line(name, fields),
        }
    }

    /// The keys for who has to prove what.
    fn login(&self, authentication: &Authentication, mutual: Option<&str>) -> Vec<String> {
        let Authentication::Chap { users } = authentication else {
            return Vec::new();
        };
        let mut keys = vec!["auth=chap".to_owned()];
        if *users != self.all_users() {
            keys.push(format!("users={}", users.join(",")));
        }
        keys.extend(mutual.map(|name| format!("mutual={name}")));
        keys
    }

    /// The users that `auth=chap` alone means.
    fn all_users(&self) -> Vec<String> {
        let mutual = self.configuration.targets.iter().map(|target| &target.mutual);
        let own: Vec<&String> = mutual.chain([&self.configuration.discovery.mutual]).flatten().collect();
        let names = self.configuration.users.iter().map(|user| user.name.clone());
        names.filter(|name| !own.contains(&name)).collect()
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// A backslash before each blank.
fn escaped(field: &str) -> String {
    field.chars().flat_map(|c| [Some('\\').filter(|_| is_blank(c)), Some(c)]).flatten().collect()
}

/// Whether both readings read the escaped field as it is. A backslash takes the character after it with it,
/// so only pairs of them can stand before a blank or at the end.
fn can_be_written(field: &str) -> bool {
    let pairs_before = |end: usize| {
        let before = field.get(..end).unwrap_or("");
        (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2)
    };
    let forbidden = |c: char| (c.is_control() || c.is_whitespace() || c == '\u{feff}') && !is_blank(c);
    !field.is_empty()
        && !field.starts_with(['#', '"', '\''])
        && !field.contains(forbidden)
        && pairs_before(field.len())
        && field.match_indices(is_blank).all(|(at, _)| pairs_before(at))
}
