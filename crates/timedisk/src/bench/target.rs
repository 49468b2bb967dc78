//! Which disk is meant, and how to log in to it.

use anyhow::{Context, bail};
use timedisk_initiator::connection::{Error, discover};
use timedisk_initiator::scsi::Capacity;
use timedisk_initiator::url::user_and_portal;
use timedisk_initiator::{Connection, Settings, Url};
use timedisk_iscsi::parameters::Parameters;

use super::options::BenchOptions;

/// Targets that are asked for their disks, where there are several.
const MOST_ASKED: usize = 50;

/// The settings of a new session.
pub(super) fn settings(options: &BenchOptions) -> anyhow::Result<Settings> {
    let mut identity = [0; 3];
    getrandom::fill(&mut identity)?;
    let settings = Settings::new(identity).with_digests(options.digest.header(), options.digest.data());
    Ok(Settings { connections: options.connections, ..settings })
}

/// Opens a session with all its connections, and asks how large the disk is. The commands that may be under
/// way at once are shared out among the connections.
pub(super) fn lead(options: &BenchOptions, place: &Url) -> anyhow::Result<(Vec<Connection>, Capacity)> {
    let settings = settings(options)?;
    let depth = |cid: u16| {
        usize::from(options.qd / options.connections) + usize::from(cid < options.qd % options.connections)
    };
    let mut first = Connection::open(place, &settings, depth(0))?;
    check_terms(options, first.session().parameters())?;
    let (_, capacity) = first.greet(place.lun)?;
    let mut connections = vec![first];
    for cid in 1..options.connections {
        if let Some(first) = connections.first() {
            let next = first.join(place, &settings, cid, depth(cid));
            let next = next.with_context(|| format!("connection {} of {}", cid + 1, options.connections))?;
            check_digests(options, next.session().parameters())?;
            connections.push(next);
        }
    }
    Ok((connections, capacity))
}

/// Refuses a session that is not what was asked for.
fn check_terms(options: &BenchOptions, parameters: &Parameters) -> anyhow::Result<()> {
    let (wanted, granted) = (options.connections, parameters.max_connections);
    if granted < u32::from(wanted) {
        bail!(
            "--connections {wanted}: the target grants {granted} in each session (MaxConnections): \
             use --sessions instead"
        );
    }
    check_digests(options, parameters)
}

fn check_digests(options: &BenchOptions, parameters: &Parameters) -> anyhow::Result<()> {
    let digests = [
        (options.digest.header(), parameters.header_digest, "headers"),
        (options.digest.data(), parameters.data_digest, "data"),
    ];
    for (wanted, granted, what) in digests {
        if wanted && !granted {
            bail!("the target has no digests of {what}: choose another --digest");
        }
    }
    Ok(())
}

/// The disk that was typed, or the only target's first one. `None` after the disks to choose from were
/// listed.
pub(super) fn find(options: &BenchOptions) -> anyhow::Result<Option<Url>> {
    let place = &options.place;
    if place.contains("://") {
        return Ok(Some(place.parse::<Url>()?));
    }
    let (user, portal) =
        user_and_portal(place).context("the place to measure is no URL and no HOST[:PORT]")?;
    let settings = Settings { user: user.clone(), ..settings(options)? };
    let found = discover(&portal, &settings).with_context(|| format!("{portal}: discovery"))?;
    let mut urls = found.into_iter().map(|found| {
        let (portal, target, user) = (portal.clone(), found.name, user.clone());
        Url { portal, target, lun: 0, user, peer: None }
    });
    match (urls.next(), urls.len()) {
        (None, _) => bail!("{portal} has no target for us: it may show its targets to others only"),
        (Some(only), 0) => match disks(&only, options) {
            Ok(disks) => match disks.into_iter().next() {
                Some(first) => Ok(Some(first)),
                None => bail!("{portal}: the target {} has no disk", only.target),
            },
            Err(error) => Err(error.context(only)),
        },
        (Some(first), others) => {
            eprintln!("timedisk: {portal} has {} targets: choose a disk", others + 1);
            list(&[first].into_iter().chain(urls).collect::<Vec<_>>(), options);
            Ok(None)
        }
    }
}

/// The disks of a target. They are where we found it: what it calls its address may not be reachable from
/// here.
fn disks(target: &Url, options: &BenchOptions) -> anyhow::Result<Vec<Url>> {
    let settings = Settings { connections: 1, ..settings(options)? };
    let mut connection = Connection::open(target, &settings, 1)?;
    let mut disks = Vec::new();
    for lun in connection.luns()? {
        match connection.greet(lun) {
            Ok(_) => disks.push(Url { lun, ..target.clone() }),
            Err(Error::NoDisk { .. } | Error::Command { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Its answer changes nothing.
    let _ = connection.close();
    Ok(disks)
}

fn list(targets: &[Url], options: &BenchOptions) {
    for target in targets.iter().take(MOST_ASKED) {
        match disks(target, options) {
            Ok(disks) => disks.iter().for_each(|disk| eprintln!("  timedisk bench {disk}")),
            Err(error) => eprintln!("  {target}: {error:#}"),
        }
    }
    if targets.len() > MOST_ASKED {
        eprintln!("  and {} more", targets.len() - MOST_ASKED);
    }
}
