//! Each rule catches what it is there for, and leaves alone what it is not.

use crate::{dependencies, named_tests, purity, rust_text, shape};

#[test]
fn a_file_one_line_too_long_is_caught() {
    let most = "\n".repeat(shape::MOST_LINES);
    assert_eq!(shape::file_length("crates/a/src/b.rs", &most), [""; 0]);
    assert_eq!(shape::file_length("crates/a/src/b.rs", &format!("{most}\n")).len(), 1);
    assert_eq!(shape::file_length("crates/a/src/b/tests.rs", &format!("{most}\n")), [""; 0]);
    assert_eq!(shape::file_length("README.md", &format!("{most}\n")), [""; 0]);
}

#[test]
fn a_line_one_character_too_long_is_caught() {
    let most = "ä".repeat(120);
    assert_eq!(shape::line_length("a.rs", &format!("\n{most}\n")), [""; 0]);
    assert_eq!(shape::line_length("a.rs", &format!("\n{most}ä\n")), ["a.rs:2: 121 characters"]);
}

#[test]
fn work_left_undone_is_caught_in_code_only() {
    for code in [concat!("todo", "!()"), concat!("unimplemented", "!()"), concat!("#[", "ignore = \"slow\"]")]
    {
        assert_eq!(shape::left_undone("a.rs", &format!("fn f() {{}}\n{code}\n")).len(), 1, "{code}");
        assert_eq!(shape::left_undone("a.rs", &format!("// {code}\nlet s = r#\"{code}\"#;")), [""; 0]);
    }
}

#[test]
fn a_place_on_one_machine_is_caught() {
    for place in
        [concat!("/wo", "rk/x"), concat!("/fa", "rm/x"), concat!("/ro", "ot/.cargo"), concat!("/home", "/me")]
    {
        for line in [format!("cd {place}"), format!("'{place}'"), place.to_owned(), format!("(see {place})")]
        {
            assert_eq!(shape::machine_paths("README.md", &line).len(), 1, "{line}");
        }
        assert_eq!(shape::machine_paths("a.sh", &format!("target{place} $dir{place} ..{place}")), [""; 0]);
    }
}

fn caught(path: &str, text: &str) -> bool {
    !purity::sources(path, text).is_empty()
}

#[test]
fn input_and_output_in_a_pure_crate_is_caught() {
    for code in [
        "use std::net::TcpStream;",
        "use std::{io, net};",
        "use std::{\n    collections::HashMap,\n    fs::{self, File},\n};",
        "use ::std::fs;",
        "use std :: thread;",
        "fn f() { std::thread::spawn(|| ()); }",
        "let t = Instant::now();",
        "let t = std::time::Instant::now();",
        "use std::time::{Duration, SystemTime};",
        "use std::time::Instant as Clock;",
        "use std::time::*;",
        "use std as s;",
        "let h = std::env::var(\"HOME\");",
        "getrandom::fill(&mut bytes)",
        "use std::process::Command;",
        "use std::os::fd::AsRawFd;",
        "let a: std::net::IpAddr = x;",
        "use core::net::Ipv4Addr;",
    ] {
        for path in ["crates/iscsi/src/lib.rs", "crates/scsi/tests/all.rs"] {
            assert!(caught(path, code), "{path}: {code}");
        }
        assert!(!caught("crates/target/src/lib.rs", code), "{code}");
    }
}

#[test]
fn what_is_pure_is_left_alone() {
    for code in [
        "use std::time::{Duration, Instant};",
        "use std::{fmt, io::Read, collections::BTreeMap};",
        "// std::fs is not used\nlet net = fs;",
        "let text = \"std::net\"; /* std::thread /* std::env */ Instant::now() */",
        "let c = '\"'; let s = \"std::fs\"; fn f<'a>(x: &'a str) {}",
        "let now = clock.now(); let instant = Instant::from(now);",
        "struct Env; mod net {} use crate::net::Thing; use self::fs::x;",
    ] {
        assert!(!caught("crates/iscsi/src/lib.rs", code), "{code}");
    }
}

#[test]
fn only_configuration_may_name_addresses() {
    for code in [
        "use std::net::{IpAddr, Ipv4Addr};",
        "std::net::Ipv6Addr::LOCALHOST",
        "use std::net::AddrParseError;",
    ] {
        assert!(!caught("crates/config/src/lib.rs", code), "{code}");
        assert!(caught("crates/iscsi/src/lib.rs", code), "{code}");
    }
    for code in ["use std::net::{IpAddr, TcpListener};", "use std::net;", "use std::net::*;", "use std::fs;"]
    {
        assert!(caught("crates/config/src/lib.rs", code), "{code}");
    }
}

#[test]
fn a_dependency_that_reaches_outside_is_caught() {
    for line in ["getrandom.workspace = true", "rustix = \"1\"", "socket2 = { version = \"0.6\" }"] {
        assert_eq!(
            purity::manifests("crates/iscsi/Cargo.toml", &format!("[dependencies]\n{line}\n")).len(),
            1
        );
        assert_eq!(purity::manifests("crates/target/Cargo.toml", line), [""; 0]);
    }
    assert_eq!(purity::manifests("crates/iscsi/Cargo.toml", "subtle.workspace = true\n"), [""; 0]);
}

#[test]
fn a_dependency_without_an_explanation_is_caught() {
    let manifest = "[workspace.dependencies]\nours = { path = \"x\" }\na = \"1\"\nb = \"1\"\n[x]\nc = \"1\"";
    assert_eq!(dependencies::unexplained(manifest, "| a | for | x |\nb"), ["b"]);
}

#[test]
fn a_test_that_is_named_and_not_there_is_caught() {
    let read = |path: &str| {
        let text = match path {
            "a/b.rs" => {
                "#[test]\nfn one() {}\nfn two() {}\n// #[test]\n// fn three() {}\n#[test]\nfn fourth() {}"
            }
            "tests/run" => "t_five() {\n}\n# t_six() {\n",
            "fuzz/a.rs" => "",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let of =
        |rows: &str| named_tests::missing(&format!("# A\n\n| a | b | c |\n|---|---|---|\n{rows}\n"), read);
    for good in [
        "| x | y | `a/b.rs`: `one`, `fourth`; `tests/run`: `five` |",
        "| x | y | `fuzz/a.rs` |",
        "| x | no test: there is nothing | – |",
    ] {
        assert_eq!(of(good), [""; 0], "{good}");
    }
    for bad in [
        "| x | y | `a/b.rs`: `two` |",
        "| x | y | `a/b.rs`: `three` |",
        "| x | y | `a/b.rs`: `four` |",
        "| x | y | `a/b.rs`: `one`; `tests/run`: `six` |",
        "| x | y | `tests/run`: `one` |",
        "| x | y | `a/c.rs`: `one` |",
        "| x | y | `one` |",
        "| x | y | `a/b.rs` |",
        "| x | y | none |",
        "| x | y |",
        "",
    ] {
        assert!(!of(bad).is_empty(), "{bad}");
    }
}

#[test]
fn paths_are_taken_apart() {
    let code = "use a::{b, c::{d, e as f}, self};\nx::y::<u8>::z();";
    let found: Vec<_> =
        rust_text::paths(code).into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    for expected in ["1 a::b", "1 a::c::d", "1 a::c::e as", "1 a::self", "2 x::y"] {
        assert!(found.iter().any(|path| path == expected), "{expected} is not in {found:?}");
    }
}

#[test]
fn comments_and_literals_become_blanks_and_lines_stay() {
    let text = "a // b\nc /* d\ne */ f \"g\\\"h\" i r\"j\" 'k' '\\'' &'l m";
    let code = rust_text::without_comments_and_strings(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "c", "f", "i", "&'l", "m"]);
}
