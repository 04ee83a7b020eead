//! The configuration in force, for people and for programs.
//!
//! The YAML can be given to `--config` again. Does not know how the values came about, only from
//! where.

use serde_json::{Map, Value, json};

use super::Loaded;
use super::keys::{KEYS, Key};
use super::kind::Kind;
use super::model::nested;
use super::origin::Origin;

/// YAML of every key; with `origin`, each with a comment that says where its value comes from.
pub fn show(loaded: &Loaded, origin: bool) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for key in KEYS {
        let mut sections: Vec<&str> = key.name.split('.').collect();
        let Some(last) = sections.pop() else { continue };
        let shared = open.iter().zip(&sections).take_while(|(a, b)| a == b).count();
        for (depth, section) in sections.iter().enumerate().skip(shared) {
            text.push_str(&format!("{}{section}:\n", "  ".repeat(depth)));
        }
        let value = loaded.values.get(key.name).unwrap_or(&Value::Null);
        let comment = if origin { comment(loaded, key, value) } else { String::new() };
        let indent = "  ".repeat(sections.len());
        text.push_str(&format!("{indent}{last}: {}{comment}\n", scalar(key, value)));
        open = sections;
    }
    text
}

/// The same as JSON: the nested values, the origin of each key, and what follows from them.
pub fn show_json(loaded: &Loaded) -> Value {
    let origins: Map<String, Value> = loaded
        .origins
        .iter()
        .map(|(key, origin)| ((*key).to_owned(), json!(origin.to_string())))
        .collect();
    let paths = loaded.config.paths();
    json!({
        "project": loaded.config.project(),
        "as_of": loaded.config.as_of().to_string(),
        "layers": loaded.layers,
        "config": nested(&loaded.values),
        "origins": origins,
        "paths": {
            "raw": paths.raw,
            "processed": paths.processed,
            "output": paths.output,
            "reports": paths.reports,
            "store": paths.store,
            "logs": paths.logs,
        },
    })
}

fn comment(loaded: &Loaded, key: &Key, value: &Value) -> String {
    let today = match value {
        Value::Null => format!(", which is the current date, {}", loaded.config.as_of().as_given()),
        _ => String::new(),
    };
    match loaded.origins.get(key.name) {
        None | Some(Origin::Default) => format!("  # default{today}"),
        Some(origin) => format!("  # from {origin}{today}"),
    }
}

/// A value on one line. JSON text and lists are YAML too.
fn scalar(key: &Key, value: &Value) -> String {
    match value {
        Value::String(text) if key.kind == Kind::Amount || is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether YAML reads the bare text as this very text.
fn is_plain(text: &str) -> bool {
    let usual = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.chars().all(usual)
        && text.starts_with(|c: char| c.is_alphanumeric() || c == '/')
        && serde_yaml::from_str::<serde_yaml::Value>(text)
            .is_ok_and(|value| value.as_str() == Some(text))
}
