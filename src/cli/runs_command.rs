//! `mp runs`: the runs that did something, newest first.

use clap::Args;
use serde_json::{Value, json};

use super::global::Global;
use super::output;
use super::project::Project;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::store::{Asked, RunRecord, RunStatus, Skipped, TaskEnd};

/// How a task may end, in the order in which people want to know, and in words.
const ENDS: [(TaskEnd, &str); 7] = [
    (TaskEnd::Failed, "failed"),
    (TaskEnd::Blocked, "blocked"),
    (TaskEnd::NotBegun, "not begun"),
    (TaskEnd::Cancelled, "stopped"),
    (TaskEnd::Done, "done"),
    (TaskEnd::Restored, "restored"),
    (TaskEnd::UpToDate, "up to date"),
];

/// Arguments of `mp runs`.
#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    /// How many to show
    #[arg(short, value_name = "RUNS", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
    /// Only runs that did not end well
    #[arg(long)]
    failed: bool,
}

/// Lists the history.
pub(super) fn runs(global: &Global, args: &RunsArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let _log = project.start_log(global, false);
    let mut skipped = Vec::new();
    let records = readable(&project, &mut skipped)?;
    let wanted = |record: &RunRecord| !args.failed || is_bad(record);
    let records: Vec<RunRecord> = records.filter(wanted).take(args.n as usize).collect();
    warnings(&skipped).iter().for_each(|warning| tracing::warn!("{warning}"));
    if global.json {
        let runs: Vec<Value> = records.iter().map(facts).collect();
        let skipped: Vec<String> = skipped.iter().map(ToString::to_string).collect();
        output::document("runs", json!({ "runs": runs, "skipped": skipped }))?;
    } else if records.is_empty() {
        let which =
            if args.failed { "no run that failed is recorded" } else { "no run is recorded yet" };
        output::text(&format!("{which}\n"))?;
    } else {
        output::text(&table(&records))?;
    }
    Ok(ExitCode::Success)
}

/// The records that can be read, newest first; why the others cannot be is collected.
pub(super) fn readable<'p>(
    project: &'p Project,
    skipped: &'p mut Vec<Skipped>,
) -> Result<impl Iterator<Item = RunRecord> + 'p, Error> {
    let records = project.store.history().newest_first()?;
    Ok(records.filter_map(|record| match record {
        Ok(record) => Some(record),
        Err(error) => {
            skipped.push(error);
            None
        }
    }))
}

/// A warning for each record that is skipped.
pub(super) fn warnings(skipped: &[Skipped]) -> Vec<String> {
    skipped.iter().map(|error| format!("skipped: {error}")).collect()
}

/// Warns of the records that were skipped, where there is no log yet.
pub(super) fn tell_skipped(global: &Global, project: &Project, skipped: &[Skipped]) {
    if !skipped.is_empty() {
        let _log = project.start_log(global, false);
        warnings(skipped).iter().for_each(|warning| tracing::warn!("{warning}"));
    }
}

fn is_bad(record: &RunRecord) -> bool {
    match record.status {
        RunStatus::Running => false,
        RunStatus::Killed => true,
        // That there was nothing to do may have a code of its own.
        RunStatus::Ended => {
            let good = [ExitCode::Success, ExitCode::NothingToDo].map(ExitCode::code);
            record.exit_code.is_none_or(|code| !good.contains(&code))
        }
    }
}

fn facts(record: &RunRecord) -> Value {
    let count = |(end, _): (TaskEnd, &str)| (json!(end), record.count(end));
    let tasks: serde_json::Map<String, Value> = ENDS
        .into_iter()
        .map(count)
        .filter_map(|(end, count)| Some((end.as_str()?.to_owned(), count.into())))
        .collect();
    json!({
        "run": record.run,
        "status": record.status,
        "command": typed(&record.asked),
        "as_of": record.as_of,
        "started_at": record.started_at,
        "seconds": (record.status == RunStatus::Ended).then_some(record.seconds),
        "exit_code": record.exit_code,
        "tasks": tasks,
        "retry_of": record.asked.retry_of,
        "airflow": record.airflow,
    })
}

fn table(records: &[RunRecord]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["run", "seconds", "as_of", "command", "tasks", "exit"]);
    for record in records {
        let ended = record.status == RunStatus::Ended;
        table.add_row([
            record.run.clone(),
            if ended { format!("{:.2}", record.seconds) } else { String::new() },
            record.as_of_given.clone(),
            typed(&record.asked),
            what_came(record),
            record.exit_code.map(|code| code.to_string()).unwrap_or_default(),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

/// `1 failed, 2 blocked, 5 done`.
pub(super) fn what_came(record: &RunRecord) -> String {
    match record.status {
        RunStatus::Running => "running".to_owned(),
        RunStatus::Killed => "killed".to_owned(),
        RunStatus::Ended => {
            let counts = ENDS.map(|(end, word)| (record.count(end), word));
            let counts = counts.into_iter().filter(|(count, _)| *count > 0);
            counts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The command as somebody may have typed it.
pub(super) fn typed(asked: &Asked) -> String {
    let mut text = format!("mp {}", asked.command);
    for selector in &asked.selectors {
        match selector.strip_prefix(asked.command.as_str()) {
            Some("") => {}
            Some(source) if source.starts_with('.') => {
                text.push_str(&format!(" --source {}", &source[1..]));
            }
            _ => text.push_str(&format!(" {selector}")),
        }
    }
    for (given, flag) in [(asked.force, " --force"), (asked.allow_stale, " --allow-stale")] {
        if given {
            text.push_str(flag);
        }
    }
    text
}

/// How a task ended, in a word.
pub(super) fn word(end: TaskEnd) -> &'static str {
    ENDS.into_iter().find(|(other, _)| *other == end).map_or("", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let asked = |command: &str, selectors: &[&str], force| Asked {
            command: command.to_owned(),
            selectors: selectors.iter().map(|text| (*text).to_owned()).collect(),
            force,
            ..Asked::default()
        };
        assert_eq!(typed(&asked("run", &[], false)), "mp run");
        assert_eq!(
            typed(&asked("run", &["+features", "quality"], true)),
            "mp run +features quality --force"
        );
        assert_eq!(typed(&asked("extract", &["extract"], false)), "mp extract");
        assert_eq!(typed(&asked("extract", &["extract.taps"], false)), "mp extract --source taps");
    }
}
