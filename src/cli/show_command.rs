//! `mp show`: all that is recorded of one run.

use clap::Args;
use serde_json::{Value, json};

use super::global::Global;
use super::output;
use super::project::Project;
use super::runs_command::{tell_skipped, typed, what_came, word};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::{find, flat};
use crate::store::{Output, RunRecord, RunStatus, TaskRecord};

/// Where lines are broken.
const WIDTH: usize = 100;

/// Arguments of `mp show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The id of a run, the beginning of one, `latest`, or `latest~1` for the run before
    #[arg(value_name = "RUN", default_value = "latest")]
    run: String,
}

/// Shows one run.
pub(super) fn show(global: &Global, args: &ShowArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let mut skipped = Vec::new();
    let record = find(&project.store.history(), &args.run, &mut skipped);
    tell_skipped(global, &project, &skipped);
    let record = record?;
    if global.json {
        output::document("show", json!(record))?;
    } else {
        output::text(&words(&record))?;
    }
    Ok(ExitCode::Success)
}

fn words(record: &RunRecord) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| text.push_str(&format!("{label:9} {value}\n"));
    line("run", &record.run);
    line("command", &typed(&record.asked));
    if let Some(run) = &record.asked.retry_of {
        line("retry of", run);
    }
    line("as_of", &format!("{} ({})", record.as_of_given, record.as_of));
    let RunRecord { host, pid, mp_version, started_at, .. } = record;
    line("began", &format!("{started_at} on {host}, process {pid}, mp {mp_version}"));
    let ended = match record.status {
        RunStatus::Running => "not yet".to_owned(),
        RunStatus::Killed => "killed; what it had not finished, `mp retry` does".to_owned(),
        RunStatus::Ended => {
            let at = record.ended_at.as_deref().unwrap_or_default();
            let exit = record.exit_code.unwrap_or_default();
            let (seconds, came) = (record.seconds, what_came(record));
            format!("{at} after {seconds:.2}s with exit {exit}: {came}")
        }
    };
    line("ended", &ended);
    for (name, id) in &record.airflow {
        line("airflow", &format!("{name}: {id}"));
    }
    for (key, fact) in &record.settings {
        if let Some(origin) = &fact.origin {
            line("setting", &format!("{key}: {} (from {origin})", plain(&fact.value)));
        }
    }
    text + &record.tasks.iter().map(task).collect::<String>()
}

fn task(task: &TaskRecord) -> String {
    let mut text = format!("\n{}: {} in {:.2}s\n", task.task, word(task.end), task.seconds);
    let mut line = |label: &str, value: &str| text.push_str(&format!("  {label:9} {value}\n"));
    if let Some(error) = &task.error {
        line("error", &error.message);
        error.hint.iter().for_each(|hint| line("hint", hint));
    }
    if task.retries > 0 {
        let why = task.first_error.as_deref().unwrap_or_default();
        line("retries", &format!("{}; the first try failed: {why}", task.retries));
    }
    task.blocked_by.iter().for_each(|by| line("by", by));
    task.reasons.iter().for_each(|reason| line("why", reason));
    if task.more_reasons > 0 {
        line("why", &format!("and {} more", task.more_reasons));
    }
    task.made_by.iter().for_each(|run| line("made by", run));
    task.warnings.iter().for_each(|warning| line("warning", warning));
    let (mut counts, mut rejects) = (Vec::new(), Vec::new());
    for (name, value) in flat(&task.counts) {
        match name.strip_prefix("rejects_by_code.") {
            Some(code) => rejects.push(format!("{code} {}", plain(&value))),
            None => counts.push(format!("{name} {}", plain(&value))),
        }
    }
    for (label, items) in [("counts", counts), ("rejects", rejects)] {
        for (at, items) in wrapped(&items).iter().enumerate() {
            line(if at == 0 { label } else { "" }, items);
        }
    }
    task.outputs.iter().for_each(|file| line("output", &output_words(file)));
    text
}

fn output_words(file: &Output) -> String {
    let rows = file.rows.map(|rows| format!("{rows} rows, ")).unwrap_or_default();
    format!("{}: {rows}{} bytes, sha256 {}", file.place, file.bytes, file.sha256)
}

/// Items with commas between them, in lines that are not too long.
fn wrapped(items: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if line.len() + item.len() < WIDTH => line.push_str(&format!(", {item}")),
            _ => lines.push(item.clone()),
        }
    }
    lines
}

/// Text without its quotes, a fraction not longer than people read it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let rounded = (number.as_f64().unwrap_or_default() * 1e6).round() / 1e6;
            rounded.to_string()
        }
        other => other.to_string(),
    }
}
