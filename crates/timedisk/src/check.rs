//! Reading a configuration, and showing what is wrong with it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anyhow::{Context, anyhow};
use timedisk_config::{Configuration, File, Options, Outcome, Reading, Remark, Source};

use crate::command_line::CheckOptions;

/// A configuration's files, read.
#[derive(Debug)]
pub(crate) struct Files {
    targets: (String, String),
    auths: Option<(String, String)>,
}

impl Files {
    /// Reads them. Without a name, `auths` is looked for beside `targets`.
    /// Beside them, what is worth saying.
    pub(crate) fn read(targets: &Path, auths: Option<&PathBuf>) -> anyhow::Result<(Files, Option<String>)> {
        let auths = match auths {
            Some(path) => Some(path.clone()),
            None => Some(targets.with_file_name("auths")).filter(|path| path.exists()),
        };
        let files = Files {
            targets: (targets.display().to_string(), read_text(targets)?),
            auths: match &auths {
                Some(path) => Some((path.display().to_string(), read_text(path)?)),
                None => None,
            },
        };
        let notice = auths.filter(|path| is_open_to_others(path)).map(|path| {
            let path = path.display();
            format!("timedisk: {path} holds secrets and others can read it; write: chmod 600 {path}")
        });
        Ok((files, notice))
    }

    /// Makes sense of them.
    pub(crate) fn parse(&self, options: &Options) -> Outcome {
        let source = |(name, text): &(String, String)| -> (String, String) { (name.clone(), text.clone()) };
        let (targets, auths) = (source(&self.targets), self.auths.as_ref().map(source));
        let auths = auths.as_ref().map(|(name, text)| Source { name, text });
        let file_size = |path: &str| std::fs::metadata(path).ok().map(|metadata| metadata.len());
        Configuration::parse(Source { name: &targets.0, text: &targets.1 }, auths, options, &file_size)
    }

    /// Remarks as people read them, each with its place underlined. Secrets are not shown.
    pub(crate) fn render(&self, remarks: &[Remark], level: Level<'static>) -> Vec<String> {
        let hidden = self.auths.as_ref().map(|(name, text)| (name.as_str(), timedisk_config::redacted(text)));
        let one = |remark: &Remark| {
            let (name, text) = match (remark.file, &hidden) {
                (File::Auths, Some((name, text))) => (*name, text.as_str()),
                _ => (self.targets.0.as_str(), self.targets.1.as_str()),
            };
            format!("{}\n", rendered(remark, name, text, level.clone()))
        };
        remarks.iter().map(one).collect()
    }

    /// The name of the file of targets.
    pub(crate) fn targets_name(&self) -> &str {
        &self.targets.0
    }

    /// The line of the file of targets that a byte is in, from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.targets.1.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

fn rendered(remark: &Remark, name: &str, text: &str, level: Level<'static>) -> String {
    let annotation = AnnotationKind::Primary.span(remark.span.clone());
    let mut group = level
        .primary_title(remark.message.as_str())
        .element(Snippet::source(text).path(name).annotation(annotation));
    if let Some(help) = &remark.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not text (UTF-8)", path.display()))
}

fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// What was typed as options, for the configuration's reader.
pub(crate) fn options(iqn_base: &str, block_length: u32, netbsd_compat: bool) -> anyhow::Result<Options> {
    let iqn_base = timedisk_config::iscsi_name(iqn_base).context("the name given with -t")?;
    let reading = if netbsd_compat { Reading::NetBsd } else { Reading::Strict };
    Ok(Options { reading, iqn_base, block_length })
}

/// `timedisk check`: the tree on stdout, remarks on stderr, failure on a mistake.
pub(crate) fn run(typed: &CheckOptions) -> anyhow::Result<ExitCode> {
    let (files, notice) = Files::read(&typed.targets, typed.auths.as_ref())?;
    let options = options(&typed.iqn_base, typed.block_length, typed.netbsd_compat)?;
    let outcome = files.parse(&options);
    outcome.netbsd_messages.iter().for_each(|line| eprintln!("{line}"));
    let notices = files.render(&outcome.notices, Level::WARNING);
    let mistakes = files.render(&outcome.mistakes, Level::ERROR);
    notice.iter().chain(&notices).chain(&mistakes).for_each(|text| eprintln!("{text}"));
    match outcome.configuration {
        Some(configuration) if typed.print => {
            let printed = configuration.print(&options);
            printed.notices.iter().for_each(|notice| eprintln!("timedisk: {notice}"));
            out(&printed.text)
        }
        Some(configuration) => out(&configuration.tree().to_string()),
        None => {
            eprintln!("timedisk: {}", count(outcome.mistakes.len()));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Prints to stdout. A reader that has seen enough, such as head(1), is no fault.
fn out(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("can't write to stdout")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// How many mistakes there are, in words.
pub(crate) fn count(mistakes: usize) -> anyhow::Error {
    match mistakes {
        1 => anyhow!("1 mistake in the configuration; nothing of it is served"),
        _ => anyhow!("{mistakes} mistakes in the configuration; nothing of it is served"),
    }
}

impl Files {
    /// Reads users only.
    pub(crate) fn read_users(auths: &Path) -> anyhow::Result<Files> {
        let auths = (auths.display().to_string(), read_text(auths)?);
        // A target that asks nothing of anybody: the reader wants one.
        let targets = "extent0 /dev/null 0 512\ntarget0 ro extent0 none\n".to_string();
        Ok(Files { targets: (String::new(), targets), auths: Some(auths) })
    }

    /// The users of files that have no mistakes.
    pub(crate) fn users(&self, options: &Options) -> Vec<(String, Vec<u8>)> {
        let users =
            self.parse(options).configuration.map(|configuration| configuration.users).unwrap_or_default();
        users.iter().map(|user| (user.name.clone(), user.secret.bytes().to_vec())).collect()
    }
}
