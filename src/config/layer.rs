//! Reads one layer after the other: files, environment, `--set`, flags.
//!
//! Finds the key of everything that was written; does not know what a valid value is.

use std::collections::BTreeMap;
use std::path::Path;

use super::keys::{self, KEYS, Key};
use super::kind::Kind;
use super::merge::Merged;
use super::origin::Origin;
use super::yaml::{self, Body, Entry, Number};

/// A configuration file; `shown` is its name in messages.
pub fn file(merged: &mut Merged, path: &Path, shown: &str) {
    let text = match fs_err::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let origin = Origin::File { file: shown.to_owned(), line };
            return merged.problem(&origin, None, "not UTF-8".to_owned());
        }
        Err(error) => {
            return merged.general_problem(format!(
                "configuration file `{shown}` cannot be read: {}",
                plain(path, &error)
            ));
        }
    };
    let origin = |line| Origin::File { file: shown.to_owned(), line };
    match yaml::read(&text) {
        Ok(node) => walk(merged, "", &node.body, &origin(node.line)),
        Err(wrong) => {
            let text = format!("not valid YAML: {}{}", wrong.message, star_hint(&wrong.message));
            merged.problem(&origin(wrong.line.unwrap_or(1)), None, text);
        }
    }
}

/// The reason without the path, which the message has already.
fn plain(path: &Path, error: &std::io::Error) -> String {
    let text = error.to_string();
    let reason = text.split_once(&format!("`{}`: ", path.display()));
    reason.map_or_else(|| text.clone(), |(_, reason)| reason.to_owned())
}

/// A bare `*.json` is an alias to YAML.
fn star_hint(message: &str) -> &'static str {
    let about_alias = message.contains("anchor") || message.contains("alias");
    if about_alias { "; a glob that begins with `*` needs quotes" } else { "" }
}

/// The named variables, then `MP__SECTION__KEY`, so that the latter win.
pub fn environment(merged: &mut Merged, env: &BTreeMap<String, String>) {
    for key in KEYS {
        if let Some((name, text)) = key.env.and_then(|name| env.get_key_value(name)) {
            inline(merged, key.name, text, &Origin::Env(name.clone()));
        }
    }
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, text) in env {
        let Some(path) = name.strip_prefix("MP__") else { continue };
        let path = path.to_lowercase().replace("__", ".");
        let origin = Origin::Env(name.clone());
        match seen.get(&path) {
            Some(other) => {
                let problem = format!("`{path}` is given by `{other}` too");
                merged.problem(&origin, Some(&path), problem);
            }
            None => inline(merged, &path, text, &origin),
        }
        seen.insert(path, name);
    }
}

/// Each `--set key=value`.
pub fn sets(merged: &mut Merged, sets: &[String]) {
    for given in sets {
        let origin = Origin::Set(given.clone());
        match given.split_once('=') {
            Some((path, text)) => inline(merged, path.trim(), text, &origin),
            None => merged.problem(&origin, None, "must be written as key=value".to_owned()),
        }
    }
}

/// `--as-of` and `--jobs`.
pub fn flags(merged: &mut Merged, as_of: Option<&str>, jobs: Option<u64>) {
    if let (Some(text), Some(key)) = (as_of, keys::find("validation.as_of")) {
        merged.put(key, &Body::Text(text.to_owned()), &Origin::AsOf);
    }
    if let (Some(jobs), Some(key)) = (jobs, keys::find("processing.n_workers")) {
        let integer = Some(i128::from(jobs));
        let number = Number { written: jobs.to_string(), integer, float: jobs as f64 };
        merged.put(key, &Body::Number(number), &Origin::Jobs);
    }
}

/// A value outside a file: text as it stands where the key is one of text, else YAML.
fn inline(merged: &mut Merged, path: &str, text: &str, origin: &Origin) {
    if path.is_empty() || (keys::find(path).is_none() && !keys::is_section(path)) {
        return unknown(merged, path, origin);
    }
    match inline_body(keys::find(path), text.trim()) {
        Ok(body) => walk(merged, path, &body, origin),
        Err(wrong) => merged.problem(origin, Some(path), format!("`{path}` {wrong}")),
    }
}

fn inline_body(key: Option<&Key>, text: &str) -> Result<Body, String> {
    if text.is_empty() {
        return Err("has no value".to_owned());
    }
    let is_list = key.is_some_and(|key| key.kind == Kind::Globs) && text.starts_with('[');
    let is_quoted = text.starts_with(['"', '\'']);
    if key.is_some_and(|key| key.kind.is_text()) && !is_list && !is_quoted {
        let is_null = matches!(text, "~" | "null" | "Null" | "NULL");
        return Ok(if is_null { Body::Null } else { Body::Text(text.to_owned()) });
    }
    match yaml::read(text) {
        Ok(node) => Ok(node.body),
        Err(wrong) => {
            let hint = star_hint(&wrong.message);
            Err(format!("is given `{}`, not valid YAML{hint}", text.escape_debug()))
        }
    }
}

/// Everything below a path of the tree.
fn walk(merged: &mut Merged, path: &str, body: &Body, origin: &Origin) {
    if let Some(key) = keys::find(path) {
        return merged.put(key, body, origin);
    }
    match body {
        // A section with nothing in it: all its lines are comments.
        Body::Null => {}
        Body::Map(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                walk_entry(merged, path, entry, &entries[..index], origin);
            }
        }
        other => {
            let subject = if path.is_empty() { "the document".to_owned() } else { code(path) };
            let text = format!("{subject} must be a map of keys, not {}", other.shown());
            merged.problem(origin, (!path.is_empty()).then_some(path), text);
        }
    }
}

fn walk_entry(
    merged: &mut Merged,
    section: &str,
    entry: &Entry,
    before: &[Entry],
    origin: &Origin,
) {
    let path = match section {
        "" => entry.key.clone(),
        section => format!("{section}.{}", entry.key),
    };
    let origin = match origin {
        Origin::File { file, .. } => Origin::File { file: file.clone(), line: entry.line },
        other => other.clone(),
    };
    if let Some(first) = before.iter().find(|other| other.key == entry.key) {
        let line = if matches!(origin, Origin::File { .. }) {
            format!(", first on line {}", first.line)
        } else {
            String::new()
        };
        merged.problem(&origin, Some(&path), format!("{} is given twice{line}", code(&path)));
    } else if entry.key.contains('.') && keys::find(&path).is_some() {
        let text = format!("{} must be written as nested keys, without dots", code(&path));
        merged.problem(&origin, Some(&path), text);
    } else if path.is_empty() || (keys::find(&path).is_none() && !keys::is_section(&path)) {
        unknown(merged, &path, &origin);
    } else {
        walk(merged, &path, &entry.value.body, &origin);
    }
}

fn unknown(merged: &mut Merged, path: &str, origin: &Origin) {
    let suggestion = keys::did_you_mean(path).map_or_else(String::new, |name| {
        let name = match origin {
            Origin::Env(_) => format!("MP__{}", name.to_uppercase().replace('.', "__")),
            _ => name.to_owned(),
        };
        format!("; did you mean `{name}`?")
    });
    merged.problem(origin, Some(path), format!("unknown key {}{suggestion}", code(path)));
}

fn code(path: &str) -> String {
    format!("`{}`", path.escape_debug())
}
