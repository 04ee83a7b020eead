//! stdout and the last words on stderr. A reader that went away is no error.

use std::io::{self, ErrorKind, Write};

use serde_json::{Value, json};

use crate::error::Error;
use crate::exit_code::ExitCode;

/// Prints a result.
pub(super) fn text(text: &str) -> Result<(), Error> {
    bytes(text.as_bytes())
}

/// Prints a result.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Stdout(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// An amount of bytes for people: `512 B`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}

/// Prints a JSON document with its schema as first key: `mp/<command>/1`.
pub(super) fn document(command: &str, value: Value) -> Result<(), Error> {
    let mut document = json!({ "schema": format!("mp/{command}/1") });
    if let (Value::Object(document), Value::Object(value)) = (&mut document, value) {
        document.extend(value);
    }
    text(&(serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"))
}

/// A document of arguments that make no sense; the words for people are on stderr already.
pub(super) fn usage_error(command: &str, message: &str) {
    let facts = json!({ "error": {
        "message": message.trim_end(),
        "hint": null,
        "exit_code": ExitCode::Usage.code(),
    }});
    // Nobody is left to be told.
    let _ = document(command, facts);
}

/// The error with its hint on stderr.
pub(super) fn error(error: &Error) {
    let mut message = format!("error: {error}\n");
    if let Some(hint) = error.hint() {
        message.push_str(&format!("hint: {hint}\n"));
    }
    // Nobody is left to be told.
    let _ = io::stderr().lock().write_all(message.as_bytes());
}

/// A document of the error on stdout, whose only member is `error`.
pub(super) fn error_document(command: &str, error: &Error) {
    let problems = match error {
        Error::Config(error) => Some(error.problems()),
        _ => None,
    };
    let facts = json!({ "error": {
        "message": error.to_string(),
        "hint": error.hint(),
        "exit_code": error.exit_code().code(),
        "problems": problems,
    }});
    // Nobody is left to be told.
    let _ = document(command, facts);
}
