//! Just enough of Rust's grammar to tell code from comments and strings, and to read paths.

/// The text with comments and the insides of string and character literals replaced by blanks. Lines stay lines.
pub(crate) fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, code.chars().next_back());
        let taken = if length == 0 { first.len_utf8() } else { length };
        let (piece, after) = rest.split_at(taken);
        if length == 0 {
            code.push_str(piece);
        } else {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// The length of the comment or literal that `text` begins with, 0 if it begins with code.
fn blank_length(text: &str, previous: Option<char>) -> usize {
    let in_word = previous.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        block_comment(text)
    } else if let Some(inside) = text.strip_prefix('"') {
        1 + quoted(inside, '"')
    } else if !in_word && (text.starts_with("r\"") || text.starts_with("r#")) {
        raw_string(text)
    } else if !in_word && (text.starts_with("br\"") || text.starts_with("br#")) {
        1 + raw_string(&text[1..])
    } else if text.starts_with('\'') {
        character(text)
    } else {
        0
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length up to and with the closing `mark`.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#` and so on; 0 for a raw name such as `r#type`.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let begin = 1 + hashes;
    if !text[begin..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[begin + 1..].find(&end).map_or(text.len(), |at| begin + 1 + at + end.len())
}

/// A character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text[1..].chars();
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => 1 + quoted(&text[1..], '\''),
        (Some(c), Some('\'')) => 1 + c.len_utf8() + 1,
        _ => 0,
    }
}

const KEYWORDS: [&str; 12] =
    ["as", "dyn", "else", "for", "if", "impl", "in", "match", "mut", "return", "use", "while"];

/// Every path in `code` with the number of its line, `a::{b, c::d}` taken apart into `a::b` and `a::c::d`.
pub(crate) fn paths(code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // a keyword is no part of the path that may follow it, as in `use ::std::fs`
        let keyword = KEYWORDS.contains(&tokens[at].1);
        at = if keyword { at + 1 } else { path(&tokens, at, "", &mut found).max(at + 1) };
    }
    found
}

fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (number, mut line) in (1..).zip(code.lines()) {
        while let Some(first) = line.chars().next() {
            let word = line.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(line.len());
            let length = match first {
                _ if word > 0 => word,
                _ if line.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                tokens.push((number, &line[..length]));
            }
            line = &line[length..];
        }
    }
    tokens
}

/// Reads one path from token `at` on, with `prefix` before it; gives the token after it.
fn path(tokens: &[(usize, &str)], mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|(_, token)| *token == text);
    let is_word = |at: usize| {
        tokens.get(at).is_some_and(|(_, token)| token.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let mut whole = prefix.to_owned();
    if is(at, "::") {
        at += 1; // a path from the root, as in `use ::std::fs`
    }
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    while is_word(at) || is(at, "*") && !whole.is_empty() {
        if !whole.is_empty() {
            whole.push_str("::");
        }
        whole.push_str(tokens[at].1);
        at += 1;
        if !is(at, "::") {
            if is(at, "as") {
                whole.push_str(" as");
            }
            found.push((line, whole));
            return at;
        }
        at += 1;
        if is(at, "{") {
            at += 1;
            while at < tokens.len() && !is(at, "}") {
                at = path(tokens, at, &whole, found).max(at + 1);
            }
            return at + 1;
        }
    }
    if !whole.is_empty() && whole != prefix {
        found.push((line, whole)); // as in `Vec::<u8>::new`
    }
    at
}
