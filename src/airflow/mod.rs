//! The graph as a DAG file for Airflow 3.3: one Airflow task for each task, the same edges.
//!
//! Text in, text out: settings and graph are filled into templates, whose Python is the real text
//! of the file. Knows no file and no stage.

mod operator;
mod python;
mod tasks;
mod template;

pub use operator::Operator;

use crate::dag::{AirflowSettings, Graph, Timetable};
use operator::{BASH, KUBERNETES};
use template::Values;

const DAG: &str = include_str!("templates/dag.py");
/// A pod is killed so long after Airflow has given the task up.
const DEADLINE_SLACK_SECONDS: u64 = 300;

/// Why there can be no DAG file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AirflowError {
    /// Airflow takes the name as part of an id, Kubernetes as a label.
    #[error(
        "`{0}` cannot be part of the id of a DAG and a label of pods: it may be 1 to 63 letters, \
         digits, inner `_` and `-`"
    )]
    Name(String),
}

/// The id of the DAG.
pub fn dag_id(graph: &Graph, operator: Operator) -> String {
    format!("mp_{}_{operator}", graph.name())
}

/// The whole DAG file.
pub fn dag_file(
    graph: &Graph,
    settings: &AirflowSettings,
    operator: Operator,
) -> Result<String, AirflowError> {
    let name = graph.name();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let outer = |c: char| c.is_ascii_alphanumeric();
    let ends = name.starts_with(outer) && name.ends_with(outer);
    if !ends || name.len() > 63 || !name.chars().all(plain) {
        return Err(AirflowError::Name(name.chars().take(100).collect()));
    }
    let text = |text: &str| python::literal(text);
    let (timetable, schedule) = schedule(settings);
    let asset = tasks::last(graph).is_some();
    let mut values = Values::default();
    values.set("name", name);
    values.set("dag_id", dag_id(graph, operator));
    values.set("operator", operator.to_string());
    values
        .set("description", text(&format!("mp: the graph {name}, one task for each of its tasks")));
    values.set("sdk_names", sdk_names(graph, timetable, asset));
    values.set("schedule", schedule);
    values.set("many_days", many_days(settings, &dag_id(graph, operator)));
    let day = settings.start_date;
    values.set("start_date", format!("{}, {}, {}", day.year, day.month, day.day));
    let tags: Vec<String> = settings.tags.iter().map(|tag| text(tag.as_str())).collect();
    values.set("tags", format!("[{}]", tags.join(", ")));
    values.set("owner", text(settings.owner.as_str()));
    let pool = settings.pool.as_ref().map(|pool| text(pool.as_str()));
    values.set("pool", pool.map_or(String::new(), |pool| format!("\n        \"pool\": {pool},")));
    values.set("retries", settings.retries.0.to_string());
    values.set("retry_delay_minutes", settings.retry_delay_minutes.0.to_string());
    values.set("late_input_delay_minutes", settings.late_input_delay_minutes.0.to_string());
    values.set("timeout_minutes", settings.timeout_minutes.0.to_string());
    let timeout_seconds = u64::from(settings.timeout_minutes.0) * 60;
    values.set("deadline_seconds", (timeout_seconds + DEADLINE_SLACK_SECONDS).to_string());
    values.set("config", settings.config.as_str());
    values.set("config_literal", text(settings.config.as_str()));
    values.set("project", text(settings.project.as_str()));
    values.set("image", text(settings.image.as_str()));
    values.set("namespace", text(settings.namespace.as_str()));
    values.set("service_account", text(settings.service_account.as_str()));
    values.set("volume_claim", text(settings.volume_claim.as_str()));
    values.set("cpu", text(settings.cpu.as_str()));
    values.set("memory", text(settings.memory.as_str()));
    values.set("tasks", tasks::tasks(graph));
    values.set("edges", tasks::edges(graph));
    let (helpers, import_json, module, class, where_it_is) = match operator {
        Operator::Bash => (
            BASH,
            "import json\n",
            "airflow.providers.standard.operators.bash",
            "BashOperator",
            "`MP_PROJECT` of the worker, else the `project` of `dags/carousel.yaml`",
        ),
        Operator::Kubernetes => (
            KUBERNETES,
            "",
            "airflow.providers.cncf.kubernetes.operators.pod",
            "KubernetesPodOperator",
            "the volume of the pod, `project` of `dags/carousel.yaml`",
        ),
    };
    values.set("import_json", import_json);
    values.set("operator_module", module);
    values.set("operator_class", class);
    values.set("where", where_it_is);
    let mut helpers = template::fill(helpers, &values).trim_end().to_owned();
    if asset {
        helpers.insert_str(0, &tasks::asset(name));
    }
    values.set("helpers", helpers);
    Ok(template::fill(DAG, &values))
}

/// The name of the timetable's class, and how it is made.
fn schedule(settings: &AirflowSettings) -> (Option<&'static str>, String) {
    let Some(cron) = &settings.schedule else { return (None, "None".to_owned()) };
    let (class, more) = match settings.timetable {
        Timetable::Cron => ("CronTriggerTimetable", ""),
        Timetable::Interval => ("CronDataIntervalTimetable", ""),
        Timetable::Partition => {
            ("CronPartitionTimetable", ", key_format=\"%Y-%m-%d\", run_offset=-1")
        }
    };
    let arguments = format!("{}, timezone=\"UTC\"{more}", python::literal(cron.as_str()));
    if more.is_empty() {
        (Some(class), format!("{class}({arguments})"))
    } else {
        // As ruff would format it: the line is too long for one.
        (Some(class), format!("{class}(\n        {arguments}\n    )"))
    }
}

/// How to run many days, for those who read the DAG's page.
fn many_days(settings: &AirflowSettings, dag_id: &str) -> String {
    if settings.schedule.is_none() {
        return "- **Many days**: trigger it for each; without a schedule there is no backfill."
            .to_owned();
    }
    // Airflow goes by logical date: when the run is due, or where its interval or partition begins.
    let (from, to, which) = match settings.timetable {
        Timetable::Cron => ("2020-11-29", "2020-12-01", "for the run of the day after D is for D"),
        Timetable::Interval | Timetable::Partition => {
            ("2020-11-28", "2020-11-30", "both days and all between")
        }
    };
    format!(
        "\
- **Many days**, here 28, 29 and 30 November ({which}), one after the other:
  `airflow backfill create --dag-id {dag_id} --from-date {from} --to-date {to}T23:59 --max-active-runs 1`.
  Airflow does not apply the DAG's `max_active_runs` to a backfill, and never counts its runs with
  the others. Without that last option up to ten runs overlap: that costs memory and disk.
  Days that have a run already are left out; `--reprocess-behavior completed` runs them too."
    )
}

/// What is imported from Airflow's SDK, a line each.
fn sdk_names(graph: &Graph, timetable: Option<&str>, asset: bool) -> String {
    let grouped = graph.tasks().iter().any(|task| task.source().is_some());
    let names = [
        Some("DAG"),
        asset.then_some("Asset"),
        timetable,
        Some("Param"),
        Some("RetryDecision"),
        Some("RetryPolicy"),
        grouped.then_some("TaskGroup"),
    ];
    let lines: Vec<String> = names.iter().flatten().map(|name| format!("    {name},")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
