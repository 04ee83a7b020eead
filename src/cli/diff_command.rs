//! `mp diff`: what differs between two runs.

use clap::Args;
use serde_json::{Value, json};

use super::global::Global;
use super::output;
use super::project::Project;
use super::runs_command::tell_skipped;
use super::show_command::plain;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::{Change, Difference, Kind, find};

/// So many inputs of a task are shown to people; `--json` has all.
const SHOWN_INPUTS: usize = 10;
/// So many digits of a hash tell two apart.
const HASH_DIGITS: usize = 12;

/// Arguments of `mp diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The first run: an id, the beginning of one, `latest`, `latest~1`
    #[arg(value_name = "RUN_A", default_value = "latest~1")]
    old: String,
    /// The second run
    #[arg(value_name = "RUN_B", default_value = "latest")]
    new: String,
    /// Exit 1 if anything differs
    #[arg(long)]
    exit_code: bool,
}

/// Compares two runs.
pub(super) fn diff(global: &Global, args: &DiffArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let history = project.store.history();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let old = find(&history, &args.old, &mut before);
    let new = find(&history, &args.new, &mut after);
    // Whoever looks further back skips what the other one skips.
    let skipped = if before.len() > after.len() { before } else { after };
    tell_skipped(global, &project, &skipped);
    let (old, new) = (old?, new?);
    let difference = Difference::of(&old, &new);
    let same = difference.is_empty();
    if global.json {
        let facts = json!({
            "old": old.run,
            "new": new.run,
            "same": same,
            "run": difference.run,
            "tasks": difference.tasks,
        });
        output::document("diff", facts)?;
    } else {
        let mut text = format!("{} → {}\n", old.run, new.run);
        if same {
            text.push_str("no difference\n");
        }
        text.push_str(&group("run", &difference.run));
        for task in &difference.tasks {
            text.push_str(&group(&task.task, &task.changes));
        }
        output::text(&text)?;
    }
    Ok(if args.exit_code && !same { ExitCode::Failure } else { ExitCode::Success })
}

/// A heading and a line for each change.
fn group(heading: &str, changes: &[Change]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut inputs = 0_usize;
    let shown = |change: &&Change| {
        inputs += usize::from(change.kind == Kind::Input);
        change.kind != Kind::Input || inputs <= SHOWN_INPUTS
    };
    let shown: Vec<&Change> = changes.iter().filter(shown).collect();
    let hidden = changes.len() - shown.len();
    let width = shown.iter().map(|change| change.name.chars().count()).max().unwrap_or(0);
    let mut text = format!("\n{heading}\n");
    for change in shown {
        let kind = plain(&json!(change.kind));
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        // What differs further down than people read is shown to the end.
        let (old, new) = match (side(old), side(new)) {
            (before, now) if before == now => (json!(old).to_string(), json!(new).to_string()),
            sides => sides,
        };
        let origins = change.origins.as_ref();
        let origins = origins.map(|(old, new)| format!("  ({old} → {new})")).unwrap_or_default();
        let name = &change.name;
        text.push_str(&format!("  {kind:8} {name:width$}  {old} → {new}{origins}\n"));
    }
    if hidden > 0 {
        text.push_str(&format!("  input    and {hidden} more\n"));
    }
    text
}

/// A hash is cut; what is not there is a dash.
fn side(value: Option<&Value>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let text = plain(value);
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { text[..HASH_DIGITS].to_owned() } else { text }
}
