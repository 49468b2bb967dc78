//! What is written down about a mirror beside each member: who belongs to it, and who is to be believed.

use std::str::FromStr;

/// What a member is to its mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has all that was written.
    In,
    /// It gets what it does not have yet; it is written, and not read.
    Syncing,
    /// It misses what was written since it left, and is neither written nor read.
    Out,
}

/// A member as its mirror knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Given by chance when it became a member.
    pub id: u64,
    /// Where it is configured to be: a checksum of its first path and start.
    pub place: u64,
    /// What it is.
    pub role: Role,
    /// The generation that it had at least when it last was as the others. Its own record is not older.
    pub floor: u64,
    /// The mirror's generation when it left. If it was settled as a member later than that, it was written alone.
    pub left: u64,
}

/// A mirror at one time. The one that was settled last counts, and of those the one of the highest generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Given by chance when the mirror was made.
    pub mirror: u64,
    /// Counts changes of who is what, and starts.
    pub generation: u64,
    /// All that are not out have written down at least this generation.
    pub settled: u64,
    /// Bytes of the mirror.
    pub capacity: u64,
    /// Bytes of a region, a power of two.
    pub region: u64,
    /// It was closed in order: members that are in are alike.
    pub clean: bool,
    /// The id of the member that this copy lies beside.
    pub own: u64,
    /// What tells that member's file from one that was made anew.
    pub born: String,
    /// All members.
    pub members: Vec<Listed>,
}

impl Header {
    /// How many regions there are.
    #[must_use]
    pub fn regions(&self) -> u64 {
        self.capacity.div_ceil(self.region.max(1))
    }

    /// The member of that id.
    #[must_use]
    pub fn member(&self, id: u64) -> Option<&Listed> {
        self.members.iter().find(|member| member.id == id)
    }

    /// In one line of text.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { mirror, generation, settled, capacity, region, own, born, .. } = self;
        let clean = if self.clean { "clean" } else { "open" };
        let mut text =
            format!("{mirror:016x} {generation} {settled} {capacity} {region} {clean} {own:016x} {born}");
        for Listed { id, place, role, floor, left } in &self.members {
            let role = match role {
                Role::In => "in",
                Role::Syncing => "syncing",
                Role::Out => "out",
            };
            text.push_str(&format!(" {id:016x}/{place:016x}/{role}/{floor}/{left}"));
        }
        text
    }

    /// Reads what [`render`](Self::render) wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let header = Self {
            mirror: hexadecimal(words.next()?)?,
            generation: number(words.next()?)?,
            settled: number(words.next()?)?,
            capacity: number(words.next()?)?,
            region: number(words.next()?).filter(|region| u64::is_power_of_two(*region))?,
            clean: match words.next()? {
                "clean" => true,
                "open" => false,
                _ => return None,
            },
            own: hexadecimal(words.next()?)?,
            born: words.next()?.to_owned(),
            members: words.map(listed).collect::<Option<Vec<_>>>()?,
        };
        let is_whole = !header.members.is_empty() && header.settled <= header.generation;
        // So many bytes of bits can be kept in mind.
        (is_whole && header.regions() <= super::MOST_REGIONS).then_some(header)
    }
}

fn listed(word: &str) -> Option<Listed> {
    let mut parts = word.split('/');
    let listed = Listed {
        id: hexadecimal(parts.next()?)?,
        place: hexadecimal(parts.next()?)?,
        role: match parts.next()? {
            "in" => Role::In,
            "syncing" => Role::Syncing,
            "out" => Role::Out,
            _ => return None,
        },
        floor: number(parts.next()?)?,
        left: number(parts.next()?)?,
    };
    parts.next().is_none().then_some(listed)
}

fn number(word: &str) -> Option<u64> {
    u64::from_str(word).ok().filter(|_| !word.starts_with('+'))
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok().filter(|_| word.len() == 16 && !word.starts_with('+'))
}
