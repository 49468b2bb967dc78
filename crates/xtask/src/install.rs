//! The stage `install`: what the tests need from Debian and from rustup is there, or is put there.

use crate::counts::Verdict;
use crate::process::Ended;
use crate::stages::Context;
use anyhow::{Context as _, Result, bail};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15 * 60);
const LIST: &str = "tests/packages.txt";
/// Asked by Debian's packages before they start a service; status 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Provides the package name that the guest's kernel is found by. It is downloaded, never installed.
const KERNEL: &str = "linux-image-amd64";

pub(crate) fn stage(context: &mut Context<'_>) -> Result<()> {
    packages(context)?;
    for component in ["fmt", "clippy"] {
        rust_component(context, component)?;
    }
    Ok(())
}

fn packages(context: &mut Context<'_>) -> Result<()> {
    let path = context.workspace.root.join(LIST);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let missing = missing(&parse(&text));
    let kernel_known = text_of("apt-cache", &["show", KERNEL]).is_some();
    if missing.is_empty() && kernel_known {
        context.record("install/packages", Verdict::Passed);
        return Ok(());
    }
    let names = missing.join(" ");
    if text_of("id", &["-u"]).as_deref() != Some("0") || text_of("apt-get", &["--version"]).is_none() {
        let command = format!("apt-get update && apt-get install --no-install-recommends {names}");
        context.say(&format!("As root on Debian, type:\n    {command}"))?;
        context.record("install/packages", Verdict::Failed(format!("as root, type: {command}")));
        return Ok(());
    }
    context.say(&format!("installing: {names}"))?;
    apt(context, &["update", "-qq"])?;
    let arguments = with_fitting_qemu(missing);
    let policy = NoServices::declare()?;
    let mut installed = arguments.is_empty() || apt_install(context, &arguments)?;
    if !installed && arguments.len() > 1 {
        // a conflict in one package must not keep the others away: its own message is then the last one shown
        installed = arguments
            .iter()
            .try_fold(true, |all, one| anyhow::Ok(apt_install(context, std::slice::from_ref(one))? && all))?;
    }
    drop(policy);
    let still = self::missing(&parse(&text));
    match still.is_empty() {
        true => context.record("install/packages", Verdict::Passed),
        false => context
            .record("install/packages", Verdict::Failed(format!("could not install {}", still.join(" ")))),
    }
    if !installed && still.is_empty() {
        context.say("apt-get complained, but every package is there")?;
    }
    Ok(())
}

/// The names in `tests/packages.txt`.
fn parse(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn missing(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !is_installed(name)).cloned().collect()
}

fn is_installed(package: &str) -> bool {
    text_of("dpkg-query", &["-W", "-f=${Status}", package])
        .is_some_and(|status| status.ends_with("ok installed"))
}

/// The packages that are built from QEMU's source refer to each other by exact version. Where one of them came from
/// backports and apt would now take another from the stable release, all are brought to one version.
fn with_fitting_qemu(mut packages: Vec<String>) -> Vec<String> {
    const OF_QEMU: [&str; 5] =
        ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "qemu-utils", "qemu-block-extra"];
    if !packages.iter().any(|package| OF_QEMU.contains(&package.as_str())) {
        return packages;
    }
    let installed = OF_QEMU.iter().find_map(|package| {
        is_installed(package).then(|| text_of("dpkg-query", &["-W", "-f=${Version}", package])).flatten()
    });
    let candidate = text_of("apt-cache", &["policy", "qemu-system-x86"])
        .and_then(|text| Some(text.split_once("Candidate:")?.1.split_whitespace().next()?.to_owned()));
    let (Some(installed), Some(candidate)) = (installed, candidate) else {
        return packages;
    };
    // binary rebuilds (+b3) differ between architecture-dependent and -independent packages
    let source = |version: &str| version.split("+b").next().unwrap_or(version).to_owned();
    if source(&installed) == source(&candidate) {
        return packages;
    }
    let offered = |package: &str, version: &str| {
        text_of("apt-cache", &["madison", package]).and_then(|text| {
            text.lines()
                .filter_map(|line| line.split('|').nth(1))
                .map(str::trim)
                .find(|offer| source(offer) == source(version))
                .map(str::to_owned)
        })
    };
    let version = if offered("qemu-system-x86", &installed).is_some() { installed } else { candidate };
    packages.retain(|package| !OF_QEMU.contains(&package.as_str()));
    packages.extend(
        OF_QEMU.iter().filter_map(|package| Some(format!("{package}={}", offered(package, &version)?))),
    );
    packages
}

fn apt_install(context: &mut Context<'_>, packages: &[String]) -> Result<bool> {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--allow-downgrades"];
    arguments.extend(packages.iter().map(String::as_str));
    apt(context, &arguments)
}

fn apt(context: &mut Context<'_>, arguments: &[&str]) -> Result<bool> {
    let mut command = context.command("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    Ok(context.run(command, LIMIT, |_| {})? == Ended::Well)
}

/// While it lives, packages that are installed start no service: iscsid has no business on this machine.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn declare() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { made: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        let declared = Self { made: true };
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(declared)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

fn rust_component(context: &mut Context<'_>, subcommand: &str) -> Result<()> {
    let component = if subcommand == "fmt" { "rustfmt" } else { subcommand };
    let there = || text_of("cargo", &[subcommand, "--version"]).is_some();
    if !there() {
        let mut add = context.command("rustup");
        add.args(["component", "add", component]);
        if let Err(error) = context.run(add, LIMIT, |_| {}) {
            bail!("cargo {subcommand} is missing, and rustup cannot be asked for it: {error:#}");
        }
    }
    let verdict = match there() {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("type: rustup component add {component}")),
    };
    context.record(&format!("install/{component}"), verdict);
    Ok(())
}

/// What a command prints, if it can be run and succeeds.
fn text_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::{is_installed, parse};

    #[test]
    fn the_package_list_is_read_without_its_comments() {
        assert_eq!(parse("# why\n\nfile\nfio # to write\n"), ["file", "fio"]);
    }

    #[test]
    fn the_real_package_list_names_each_package_once() {
        let names = parse(include_str!("../../../tests/packages.txt"));
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(names.len() > 10);
    }

    #[test]
    fn a_package_that_does_not_exist_is_not_installed() {
        assert!(!is_installed("timedisk-no-such-package"));
    }
}
