//! Settings: precedence, unknown keys, values out of range, and how they are shown.

use serde_json::{Value, json};

use crate::project::Project;

/// The configuration in force, as JSON.
#[track_caller]
fn shown(project: &Project, args: &[&str]) -> Value {
    let outcome = project.mp(&[&["config", "show", "--json"], args].concat()).success();
    outcome.json("config-show")["config"].clone()
}

#[track_caller]
fn chunk_size(project: &Project, args: &[&str]) -> u64 {
    shown(project, args)["processing"]["chunk_size"].as_u64().expect("a number")
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let project = Project::empty();
    std::fs::remove_file(project.path("config/params.yaml")).expect("removed");
    let config = shown(&project, &[]);
    let want = json!({
        "data_paths": {"raw": "data/raw", "processed": "data/processed", "output": "data/output"},
        "sources": {
            "prints": {"files": ["prints.json"]},
            "taps": {"files": ["taps.json"]},
            "payments": {"files": ["pays.csv"]},
            "allow_outside": false
        },
        "preprocess": {"dedupe": {"prints": "drop", "taps": "drop", "payments": "keep"}},
        "store": {"path": "data/.mp", "keep": 3}
    });
    for (section, value) in want.as_object().expect("sections") {
        assert_eq!(&config[section], value, "{section}");
    }
    for (key, value) in [
        ("/processing/chunk_size", json!(10_000)),
        ("/processing/max_memory_mb", json!(1024)),
        ("/processing/target_window_days", json!(7)),
        ("/processing/lookback_window_days", json!(21)),
        ("/processing/encoding", json!("utf-8")),
        ("/processing/validate_schema", json!(true)),
        ("/processing/parallel_processing", json!(true)),
        ("/processing/n_workers", json!(0)),
        ("/processing/max_reject_rate", json!(0.02)),
        ("/quality/min_data_quality_score", json!(0.8)),
        ("/quality/max_null_percentage", json!(0.1)),
        ("/quality/max_duplicate_percentage", json!(0.1)),
        ("/quality/enable_quality_checks", json!(true)),
        ("/quality/quality_report_path", json!("data/quality_reports")),
        ("/logging/level", json!("INFO")),
        ("/logging/format", json!("text")),
        ("/logging/log_dir", json!("logs")),
        ("/logging/log_file", json!("pipeline.log")),
        ("/logging/max_file_size_mb", json!(10)),
        ("/logging/backup_count", json!(5)),
        ("/logging/enable_console", json!(true)),
        ("/validation/as_of", Value::Null),
        ("/validation/business_rules/min_timestamp_days_ago", json!(1825)),
        ("/validation/thresholds/min_records_per_user", json!(1)),
        ("/validation/thresholds/max_records_per_user", json!(10_000)),
    ] {
        assert_eq!(config.pointer(key), Some(&value), "{key}");
    }
}

#[test]
fn the_later_layer_wins() {
    let mut project = Project::empty();
    assert_eq!(chunk_size(&project, &[]), 10_000, "default");
    project.set("processing.chunk_size", json!(1));
    assert_eq!(chunk_size(&project, &[]), 1, "params.yaml");
    project.write("a.yaml", "processing: {chunk_size: 2}");
    project.write("b.yaml", "processing:\n  chunk_size: 3\n");
    assert_eq!(chunk_size(&project, &["--config", "a.yaml"]), 2, "--config");
    assert_eq!(
        chunk_size(&project, &["--config", "a.yaml", "--config", "b.yaml"]),
        3,
        "later file"
    );
    assert_eq!(
        chunk_size(&project, &["--config", "b.yaml", "--config", "a.yaml"]),
        2,
        "later file"
    );
    let project = project.with_env("MP_CHUNK_SIZE", "4");
    assert_eq!(chunk_size(&project, &["--config", "a.yaml"]), 4, "environment");
    let set = ["--config", "a.yaml", "--set", "processing.chunk_size=5"];
    assert_eq!(chunk_size(&project, &set), 5, "--set");
}

#[test]
fn every_environment_name_sets_its_key() {
    for (name, value, key, want) in [
        ("MP_RAW_DATA_PATH", "in", "/data_paths/raw", json!("in")),
        ("MP_PROCESSED_DATA_PATH", "mid", "/data_paths/processed", json!("mid")),
        ("MP_OUTPUT_DATA_PATH", "out", "/data_paths/output", json!("out")),
        ("MP_CHUNK_SIZE", "77", "/processing/chunk_size", json!(77)),
        ("MP_MAX_MEMORY_MB", "256", "/processing/max_memory_mb", json!(256)),
        ("MP_TARGET_WINDOW_DAYS", "3", "/processing/target_window_days", json!(3)),
        ("MP_LOOKBACK_WINDOW_DAYS", "9", "/processing/lookback_window_days", json!(9)),
        ("MP_VALIDATE_SCHEMA", "false", "/processing/validate_schema", json!(false)),
        ("MP_MIN_QUALITY_SCORE", "0.5", "/quality/min_data_quality_score", json!(0.5)),
        ("MP_MAX_NULL_PCT", "0.25", "/quality/max_null_percentage", json!(0.25)),
        ("MP_LOG_LEVEL", "DEBUG", "/logging/level", json!("DEBUG")),
        ("MP_LOG_DIR", "log", "/logging/log_dir", json!("log")),
        ("MP__PREPROCESS__DEDUPE__TAPS", "keep", "/preprocess/dedupe/taps", json!("keep")),
        ("MP__STORE__KEEP", "9", "/store/keep", json!(9)),
    ] {
        let project = Project::empty().with_env(name, value);
        assert_eq!(shown(&project, &[]).pointer(key), Some(&want), "{name}");
    }
    let project = Project::empty().with_env("MP_AS_OF", "2020-11-05");
    project.mp(&["config", "show"]).success().prints(&["2020-11-05"]);
    let project = Project::empty().with_env("MP_AS_OF", "2020-11-05");
    let flag = project.mp(&["config", "show", "--as-of", "2020-11-06"]).success();
    assert!(flag.stdout.contains("2020-11-06") && !flag.stdout.contains("2020-11-05"), "{flag}");
}

#[test]
fn an_environment_value_that_does_not_parse_names_its_variable() {
    for (name, value) in [
        ("MP_CHUNK_SIZE", "many"),
        ("MP_MAX_MEMORY_MB", "64"),
        ("MP_VALIDATE_SCHEMA", "perhaps"),
        ("MP_AS_OF", "2020-11-31"),
        ("MP__PROCESSING__CHUNK_SIZE", "1.5"),
        ("MP__PROCESSING__CHUNK_SISE", "1"),
    ] {
        let project = Project::empty().with_env(name, value);
        project.mp(&["config", "check"]).fails(2).says(&[name]);
    }
}

#[test]
fn an_unknown_key_names_file_line_and_what_was_meant() {
    for (text, line, wrong, meant) in [
        ("processing:\n  n_workers: 1\n  chunk_sise: 5\n", 3, "chunk_sise", "chunk_size"),
        ("\n# a comment\nprocesing: {}\n", 3, "procesing", "processing"),
        ("preprocess:\n  dedupe:\n    print: drop\n", 3, "print", "prints"),
        ("quality:\n  rules:\n    rejetcs: {severity: warn}\n", 3, "rejetcs", "rejects"),
    ] {
        let project = Project::empty();
        project.write("config/params.yaml", text);
        for command in [["config", "check"].as_slice(), &["run", "--all"], &["status"]] {
            let outcome = project.mp(command).fails(2);
            outcome.says(&[&format!("config/params.yaml:{line}"), wrong, meant, "did you mean"]);
        }
    }
    let project = Project::empty();
    let outcome = project.mp(&["config", "check", "--set", "processing.chunk_sise=5"]).fails(2);
    outcome.says(&["chunk_sise", "chunk_size", "did you mean"]);
}

#[test]
fn a_value_out_of_range_or_of_the_wrong_type_names_file_line_and_key() {
    for (key, value) in [
        ("processing.chunk_size", json!(0)),
        ("processing.chunk_size", json!("ten")),
        ("processing.max_memory_mb", json!(127)),
        ("processing.encoding", json!("latin-1")),
        ("processing.max_reject_rate", json!(1.5)),
        ("processing.n_workers", json!(-1)),
        ("processing.target_window_days", json!(0)),
        ("processing.lookback_window_days", json!(-3)),
        ("processing.validate_schema", json!("maybe")),
        ("quality.max_null_percentage", json!(-0.1)),
        ("logging.level", json!("LOUD")),
        ("logging.format", json!("xml")),
        ("validation.as_of", json!("30.11.2020")),
        ("validation.business_rules.max_payment_amount", json!(1_000_000_000_001_u64)),
        ("validation.business_rules.min_timestamp_days_ago", json!(0)),
        ("validation.business_rules.min_timestamp_days_ago", json!(36_501)),
        ("preprocess.dedupe.taps", json!("delete")),
        ("sources.taps.files", json!([])),
        ("quality.rules", json!({"rejects": {"severity": "loud"}})),
    ] {
        let project = Project::empty().with(key, value.clone());
        let last = key.rsplit('.').next().expect("a name");
        println!("{key}: {value}");
        let outcome = project.mp(&["config", "check"]).fails(2);
        assert!(outcome.stderr.contains("config/params.yaml:"), "{key}={value}: {outcome}");
        assert!(outcome.stderr.contains(last), "{key}={value}: {outcome}");
    }
}

#[test]
fn an_as_of_always_has_a_year_of_four_digits() {
    let project = Project::empty();
    for given in ["0001-01-01", "9999-12-30", "9999-12-31T23:59:59.999999Z"] {
        project.mp(&["config", "check", "--as-of", given]).success();
    }
    for given in ["0000-01-01", "9999-12-31", "9999-12-31T23:59:59-00:01"] {
        let outcome = project.mp(&["config", "check", "--as-of", given]).fails(2);
        outcome.says(&["--as-of", given, "from 0001-01-01 to 9999-12-30"]);
    }
}

#[test]
fn all_problems_are_told_together() {
    let project = Project::empty()
        .with("processing.chunk_size", json!(0))
        .with("logging.level", json!("LOUD"))
        .with("sources.prnits.files", json!(["x"]));
    project.mp(&["config", "check"]).fails(2).says(&["chunk_size", "level", "prnits"]);
}

#[test]
fn a_file_that_is_no_yaml_or_is_missing_is_a_configuration_error() {
    let project = Project::empty();
    project.write("config/params.yaml", "processing:\n  chunk_size: [1\nlogging: {}\n");
    project.mp(&["config", "check"]).fails(2).says(&["config/params.yaml"]);
    project.write("config/params.yaml", "store: {keep: 2}\nstore: {keep: 3}\n");
    project.mp(&["config", "check"]).fails(2).says(&["config/params.yaml", "store"]);
    project.write("config/params.yaml", "");
    project.mp(&["config", "check"]).success();
    project.mp(&["config", "check", "--config", "gone.yaml"]).fails(2).says(&["gone.yaml"]);
}

#[test]
fn config_show_tells_where_each_value_comes_from() {
    let project = Project::empty().with_env("MP_CHUNK_SIZE", "5");
    project.write("config/params.yaml", "store:\n  keep: 2\n");
    let args = ["config", "show", "--origin", "--set", "logging.level=DEBUG"];
    let outcome = project.mp(&args).success();
    let line = |key: &str| {
        let line = outcome.stdout.lines().find(|line| line.trim_start().starts_with(key));
        line.unwrap_or_else(|| panic!("no {key} in {outcome}"))
    };
    assert!(line("chunk_size:").contains("MP_CHUNK_SIZE"), "{outcome}");
    assert!(line("keep:").contains("config/params.yaml:2"), "{outcome}");
    assert!(line("level:").contains("--set"), "{outcome}");
    assert!(line("max_memory_mb:").contains("default"), "{outcome}");
}

#[test]
fn what_config_show_prints_may_be_given_as_a_config_file() {
    let project = Project::empty().with("processing.chunk_size", json!(123));
    let text = project.mp(&["config", "show"]).success().stdout;
    let other = Project::empty();
    other.write("all.yaml", &text);
    let again = other.mp(&["config", "show", "--config", "all.yaml"]).success().stdout;
    assert_eq!(text, again);
}

#[test]
fn paths_are_relative_to_the_project_folder_wherever_one_stands() {
    let project = Project::november();
    let root = project.root().to_str().expect("UTF-8").to_owned();
    let elsewhere = Project::empty();
    elsewhere.mp(&["run", "--all", "--project", &root]).success();
    assert!(project.view().gold_path().exists());
    assert!(!elsewhere.path("data").exists());
    let before = project.view().runs();
    elsewhere.mp_env(&["run", "--all"], "MP_PROJECT", &root).success();
    assert_eq!(project.view().ran_since(&before), Vec::<&str>::new());
}

#[test]
fn the_bundled_params_file_is_valid_and_says_nothing_but_the_defaults() {
    let bundled = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/params.yaml");
    let text = std::fs::read(&bundled).expect("config/params.yaml");
    let project = Project::empty();
    std::fs::remove_file(project.path("config/params.yaml")).expect("removed");
    let defaults = shown(&project, &[]);
    project.write("config/params.yaml", text);
    project.mp(&["config", "check"]).success();
    assert_eq!(shown(&project, &[]), defaults);
}
