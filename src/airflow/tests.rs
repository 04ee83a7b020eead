//! The DAG file of the built-in graph and of others.

use super::*;
use crate::dag::{Spec, StageForm};

const SOURCES: [&str; 3] = ["prints", "taps", "payments"];

fn file(text: &str, operator: Operator) -> Result<String, AirflowError> {
    let spec = Spec::parse(text, "x.yaml").unwrap();
    let graph = Graph::from_spec(&spec, &StageForm::as_in(&spec), &SOURCES).unwrap();
    dag_file(&graph, &spec.airflow, operator)
}

fn with(airflow: &str) -> String {
    let text = format!("version: 1\nname: x\nstages: {{a: {{}}}}\nairflow: {{{airflow}}}\n");
    file(&text, Operator::Bash).unwrap()
}

#[test]
fn each_task_and_each_edge_of_the_graph_is_there_and_no_name_is_left() {
    let spec = Spec::built_in().unwrap();
    let graph = Graph::from_spec(&spec, &StageForm::as_in(&spec), &SOURCES).unwrap();
    for operator in [Operator::Bash, Operator::Kubernetes] {
        let text = dag_file(&graph, &spec.airflow, operator).unwrap();
        assert!(!text.replace("@classmethod", "").contains('@'), "{text}");
        for task in graph.tasks() {
            let variable = task.as_str().replace('.', "_");
            assert!(text.contains(&format!("{variable} = mp(\"")), "{task}: {text}");
        }
        assert!(text.contains("    extract_taps >> preprocess_taps\n"), "{text}");
        let three = "    [preprocess_payments, preprocess_prints, preprocess_taps] >> features\n";
        assert!(text.contains(three), "{text}");
        assert_eq!(text.matches("outlets=[GOLD]").count(), 1);
        assert!(text.contains("quality = mp(\"quality\", \"quality\", outlets=[GOLD])"), "{text}");
    }
}

#[test]
fn settings_are_in_the_file() {
    let found =
        with("retries: 7, owner: \"a\\\"b\", tags: [x, y], pool: big, start_date: 2021-02-03");
    for word in [
        "\"retries\": 7,",
        "\"owner\": \"a\\\"b\",",
        "\"pool\": \"big\",",
        "tags=[\"x\", \"y\"],",
        "start_date=datetime(2021, 2, 3, tzinfo=timezone.utc)",
        "schedule=None",
    ] {
        assert!(found.contains(word), "{word}: {found}");
    }
    assert!(!with("").contains("\"pool\""));
}

#[test]
fn each_timetable_is_imported_and_used() {
    for (timetable, class) in [
        ("cron", "CronTriggerTimetable"),
        ("interval", "CronDataIntervalTimetable"),
        ("partition", "CronPartitionTimetable"),
    ] {
        let found = with(&format!("schedule: \"@daily\", timetable: {timetable}"));
        assert!(found.contains(&format!("    {class},\n")), "{found}");
        let flat: String = found.split_whitespace().collect();
        assert!(flat.contains(&format!("schedule={class}(\"@daily\",timezone=\"UTC\"")), "{found}");
    }
}

#[test]
fn the_page_says_how_to_run_the_same_days_with_each_timetable() {
    for (timetable, days) in [
        ("cron", "--from-date 2020-11-29 --to-date 2020-12-01T23:59"),
        ("interval", "--from-date 2020-11-28 --to-date 2020-11-30T23:59"),
        ("partition", "--from-date 2020-11-28 --to-date 2020-11-30T23:59"),
    ] {
        let found = with(&format!("schedule: \"@daily\", timetable: {timetable}"));
        let command = format!("backfill create --dag-id mp_x_bash {days} --max-active-runs 1`");
        assert!(found.contains(&command), "{found}");
    }
    assert!(!with("").contains("backfill create"));
}

#[test]
fn a_graph_with_several_ends_publishes_nothing() {
    let text = "version: 1\nname: x\nstages: {a: {each: sources}}\n";
    let found = file(text, Operator::Bash).unwrap();
    assert!(!found.contains("Asset") && !found.contains("GOLD"), "{found}");
}

#[test]
fn a_name_that_airflow_would_refuse_is_refused_here() {
    for name in ["a b", "\"\\\"\\\"\\\"\"", "ä", "-x-", "x_", "\"\"", &"x".repeat(64)] {
        let text = format!("version: 1\nname: {name}\nstages: {{a: {{}}}}\n");
        assert!(matches!(file(&text, Operator::Bash), Err(AirflowError::Name(_))), "{name}");
    }
    let text = format!("version: 1\nname: {}\nstages: {{a: {{}}}}\n", "x".repeat(63));
    file(&text, Operator::Bash).unwrap();
}
