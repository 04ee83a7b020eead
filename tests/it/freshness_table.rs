//! What makes a task run again, as one table: each row changes one thing in a project that is done and
//! names every task that it restales, with the very ingredient; an empty row restales nothing.
//!
//! Each row is a test. The real program says so in `plan` and in `explain`, and a run agrees. A row that
//! changes a setting is also taken back, which restores and computes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::events::{Line, When, World};
use crate::project::Project;
use crate::snapshot::{Snapshot, sha256_hex};
use crate::view::json_file;

/// What a row does to a project.
#[derive(Default)]
struct Change {
    setting: Option<(&'static str, Value)>,
    env: Option<(&'static str, &'static str)>,
    flags: &'static [&'static str],
    disk: Option<fn(&Project)>,
}

fn set(key: &'static str, value: Value) -> Change {
    Change { setting: Some((key, value)), ..Change::default() }
}

fn env(name: &'static str, value: &'static str) -> Change {
    Change { env: Some((name, value)), ..Change::default() }
}

fn flags(flags: &'static [&'static str]) -> Change {
    Change { flags, ..Change::default() }
}

fn disk(change: fn(&Project)) -> Change {
    Change { disk: Some(change), ..Change::default() }
}

impl Change {
    /// The change on disk comes first.
    fn after(self, change: fn(&Project)) -> Change {
        Change { disk: Some(change), ..self }
    }

    fn with(self, flags: &'static [&'static str]) -> Change {
        Change { flags, ..self }
    }
}

/// Each row: what is changed, then the tasks that it restales, each with `=` and the ingredient; where
/// that is the setting of the row it need not be said.
macro_rules! table {
    ($($name:ident: $change:expr => $stale:expr;)*) => {
        $(#[test] fn $name() { check($change, $stale); })*

        /// The keys that the rows set.
        fn keys_of_the_rows() -> BTreeSet<&'static str> {
            let changes = [$($change),*];
            changes.into_iter().filter_map(|change| Some(change.setting?.0)).collect()
        }

        /// How many rows restale something, and how many nothing.
        fn rows() -> (usize, usize) {
            let stale: [&str; _] = [$($stale),*];
            let (nothing, something): (Vec<&str>, Vec<&str>) =
                stale.into_iter().partition(|stale| stale.is_empty());
            (something.len(), nothing.len())
        }
    };
}

const EXTRACT: &str = "extract.prints extract.taps extract.payments";

table! {
    // Folders: where things lie is no ingredient. What is not there is restored, not computed.
    data_paths_raw: set("data_paths.raw", json!("elsewhere")).after(|project| {
        std::fs::rename(project.path("data/raw"), project.path("elsewhere")).expect("moved");
    }) => "";
    data_paths_processed: set("data_paths.processed", json!("data/other")) =>
        "extract.prints=never_run extract.taps=never_run extract.payments=never_run \
         preprocess.prints=never_run preprocess.taps=never_run preprocess.payments=never_run";
    data_paths_output: set("data_paths.output", json!("data/other")) =>
        "features=never_run quality=_SUCCESS.json";
    quality_report_path: set("quality.quality_report_path", json!("data/other")) =>
        "quality=never_run";
    store_path: set("store.path", json!("data/.other")) => "";
    store_keep: set("store.keep", json!(7)) => "";

    // How the program works.
    chunk_size: set("processing.chunk_size", json!(17)) => "";
    max_memory_mb: set("processing.max_memory_mb", json!(256)) => "";
    encoding: set("processing.encoding", json!("utf-8")) => "";
    parallel_processing: set("processing.parallel_processing", json!(false)) => "";
    n_workers: set("processing.n_workers", json!(1)) => "";
    jobs: flags(&["--jobs", "1"]) => "";
    lock_timeout: flags(&["--lock-timeout", "1s"]) => "";
    verbosity: flags(&["-v"]) => "";
    no_cache: flags(&["--no-cache"]) => "";
    log_level: set("logging.level", json!("DEBUG")) => "";
    log_format: set("logging.format", json!("json")) => "";
    log_dir: set("logging.log_dir", json!("logs/more")) => "";
    log_file: set("logging.log_file", json!("other.log")) => "";
    log_size: set("logging.max_file_size_mb", json!(1)) => "";
    log_backups: set("logging.backup_count", json!(0)) => "";
    log_console: set("logging.enable_console", json!(false)) => "";

    // Settings of the stages.
    target_window_days: set("processing.target_window_days", json!(5)) => "features";
    lookback_window_days: set("processing.lookback_window_days", json!(14)) => "features";
    validate_schema: set("processing.validate_schema", json!(false)) =>
        "extract.prints extract.taps extract.payments \
         preprocess.prints preprocess.taps preprocess.payments features quality";
    max_reject_rate: set("processing.max_reject_rate", json!(0.03)) => EXTRACT;
    max_payment_amount: set("validation.business_rules.max_payment_amount", json!(999_999)) =>
        "extract.payments quality";
    min_timestamp_days_ago: set("validation.business_rules.min_timestamp_days_ago", json!(1000)) =>
        "extract.prints extract.taps extract.payments quality";
    files_of_prints: set("sources.prints.files", json!(["print*.json"])) => "extract.prints";
    files_of_taps: set("sources.taps.files", json!(["taps.json", "taps-*.json"])) => "extract.taps";
    files_of_payments: set("sources.payments.files", json!(["pay*.csv"])) => "extract.payments";
    allow_outside: set("sources.allow_outside", json!(true)) => EXTRACT;
    dedupe_of_prints: set("preprocess.dedupe.prints", json!("flag")) => "preprocess.prints";
    dedupe_of_taps: set("preprocess.dedupe.taps", json!("keep")) => "preprocess.taps";
    dedupe_of_payments: set("preprocess.dedupe.payments", json!("drop")) => "preprocess.payments";
    min_score: set("quality.min_data_quality_score", json!(0.7)) => "quality";
    max_nulls: set("quality.max_null_percentage", json!(0.2)) => "quality";
    max_duplicates: set("quality.max_duplicate_percentage", json!(0.2)) => "quality";
    quality_checks: set("quality.enable_quality_checks", json!(false)) => "quality";
    min_records: set("validation.thresholds.min_records_per_user", json!(2)) => "quality";
    max_records: set("validation.thresholds.max_records_per_user", json!(9_999)) => "quality";
    rule_1: set("quality.rules.taps_have_prints.severity", json!("off")) => "quality";
    rule_1_limit: set("quality.rules.taps_have_prints.threshold", json!(0.9)) => "quality";
    rule_2: set("quality.rules.payments_have_taps.severity", json!("warn")) => "quality";
    rule_2_limit: set("quality.rules.payments_have_taps.threshold", json!(0.1)) => "quality";
    rule_3: set("quality.rules.max_payment_amount.severity", json!("warn")) => "quality";
    rule_3_limit: set("quality.rules.max_payment_amount.threshold", json!(1)) => "quality";
    rule_4: set("quality.rules.timestamps_in_window.severity", json!("warn")) => "quality";
    rule_4_limit: set("quality.rules.timestamps_in_window.threshold", json!(1)) => "quality";
    rule_5: set("quality.rules.records_per_user.severity", json!("off")) => "quality";
    rule_5_limit: set("quality.rules.records_per_user.threshold", json!(1)) => "quality";
    rule_6: set("quality.rules.rows_after_as_of.severity", json!("off")) => "quality";
    rule_6_limit: set("quality.rules.rows_after_as_of.threshold", json!(0.02)) => "quality";
    rule_7: set("quality.rules.rejects.severity", json!("off")) => "quality";
    rule_7_limit: set("quality.rules.rejects.threshold", json!(0.006)) => "quality";
    rule_8: set("quality.rules.gold_not_empty.severity", json!("warn")) => "quality";
    rule_8_limit: set("quality.rules.gold_not_empty.threshold", json!(2)) => "quality";
    rule_9: set("quality.rules.gold_contract.severity", json!("warn")) => "quality";
    rule_9_limit: set("quality.rules.gold_contract.threshold", json!(1)) => "quality";

    // The logical time: no row is older than the bound, so extract does not mind.
    as_of: set("validation.as_of", json!("2020-12-02")) =>
        "preprocess.prints=as_of preprocess.taps=as_of preprocess.payments=as_of quality=as_of";
    as_of_in_other_words: set("validation.as_of", json!("2020-12-01T01:00:00+01:00")) => "";
    as_of_by_flag: flags(&["--as-of", "2020-11-30"]) => "";

    // The same value from elsewhere, another one from anywhere.
    env_same: env("MP_LOOKBACK_WINDOW_DAYS", "21") => "";
    env_other: env("MP_LOOKBACK_WINDOW_DAYS", "14") =>
        "features=processing.lookback_window_days";
    env_of_any_key: env("MP__PREPROCESS__DEDUPE__TAPS", "keep") =>
        "preprocess.taps=preprocess.dedupe.taps";
    set_same: flags(&["--set", "processing.lookback_window_days=21"]) => "";
    set_other: flags(&["--set", "processing.lookback_window_days=14"]) =>
        "features=processing.lookback_window_days";
    overlay_same: disk(|project| project.write("more.yaml", "processing: {max_reject_rate: 2e-2}\n"))
        .with(&["--config", "more.yaml"]) => "";
    overlay_other: disk(|project| project.write("more.yaml", "processing:\n  max_reject_rate: 0.5\n"))
        .with(&["--config", "more.yaml"]) =>
        "extract.prints=processing.max_reject_rate extract.taps=processing.max_reject_rate \
         extract.payments=processing.max_reject_rate";
    number_in_other_words: set("quality.max_null_percentage", json!(0.100)) => "";
    globs_in_another_order: flags(&["--set", "sources.payments.files=[pays.csv, pays.csv]"]) => "";
    comment_in_the_settings: disk(|project| {
        let text = project.text("config/params.yaml");
        project.write("config/params.yaml", format!("# a comment\n\n{text}"));
    }) => "";
    default_written_down: set("processing.target_window_days", json!(7)) => "";

    // Raw files.
    raw_touched: disk(|project| {
        for name in ["prints.json", "taps.json", "pays.csv"] {
            let raw = std::fs::File::options().append(true).open(project.path("data/raw").join(name));
            let later = SystemTime::now() + Duration::from_secs(60);
            raw.and_then(|raw| raw.set_modified(later)).expect("touched");
        }
    }) => "";
    raw_written_again: disk(|project| {
        let bytes = project.read("data/raw/pays.csv");
        std::fs::remove_file(project.path("data/raw/pays.csv")).expect("removed");
        project.write("data/raw/pays.csv", bytes);
    }) => "";
    raw_mode: disk(|project| mode(project, "data/raw/taps.json", 0o600)) => "";
    raw_that_no_glob_matches: disk(|project| project.write("data/raw/other.txt", "{}")) => "";
    raw_hidden: disk(|project| project.write("data/raw/.taps-2.json", "{}")) => "";
    raw_changed: disk(|project| append(project, "data/raw/taps.json", &tap(27))) =>
        "extract.taps=taps.json";
    raw_of_the_same_length: disk(|project| {
        let text = project.text("data/raw/prints.json");
        project.write("data/raw/prints.json", text.replacen("point", "paint", 1));
    }) => "extract.prints=prints.json";
    raw_blank_line: disk(|project| append(project, "data/raw/taps.json", "\n")) =>
        "extract.taps=taps.json";
    raw_added: disk(|project| project.write("data/raw/taps-2.json", tap(27))) =>
        "extract.taps=taps-2.json";
    raw_renamed: disk(|project| {
        let raw = |name| project.path("data/raw").join(name);
        std::fs::rename(raw("taps.json"), raw("taps-old.json")).expect("renamed");
    }) => "extract.taps=taps-old.json extract.taps=taps.json";
    raw_removed: disk(|project| {
        std::fs::remove_file(project.path("data/raw/taps-0.json")).expect("removed");
    }) => "extract.taps=taps-0.json";

    // What was made.
    gold_deleted: disk(|project| remove(project, "data/output/training_dataset.parquet")) =>
        "features=training_dataset.parquet";
    silver_edited: disk(|project| damage(project, "data/processed/taps.parquet")) =>
        "preprocess.taps=taps.parquet";
    rejects_edited: disk(|project| damage(project, "data/processed/_rejects/taps.csv")) =>
        "extract.taps=_rejects/taps.csv";
    report_deleted: disk(|project| remove(project, "data/quality_reports/quality_report.json")) =>
        "quality=quality_report.json";
    success_edited: disk(|project| damage(project, "data/output/_SUCCESS.json")) =>
        "quality=_SUCCESS.json";
    manifest_deleted: disk(|project| remove(project, "data/output/_manifests/features.json")) =>
        "features=never_run";
    outputs_touched: disk(|project| {
        let path = project.path("data/processed/taps.parquet");
        let bytes = std::fs::read(&path).expect("Silver");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, bytes).expect("the same bytes in another file");
    }) => "";
    stranger_beside_the_outputs: disk(|project| project.write("data/output/note.txt", "mine")) => "";
    stage_version: disk(|project| {
        edit_manifest(project, |manifest| {
            manifest["stage_version"] = json!(manifest["stage_version"].as_u64().expect("one") - 1);
        });
    }) => "features=stage_version";
    mp_rebuilt: disk(|project| {
        edit_manifest(project, |manifest| {
            manifest["run"]["mp_version"] = json!("0.0.1");
            manifest["run"]["host"] = json!("another");
        });
    }) => "";

    // The store and the rest of the project.
    memo_deleted: disk(|project| remove(project, "data/.mp/memo.json")) => "";
    memo_damaged: disk(|project| project.write("data/.mp/memo.json", "{ damaged")) => "";
    store_deleted: disk(|project| {
        std::fs::remove_dir_all(project.path("data/.mp")).expect("removed");
    }) => "";
    logs_deleted: disk(|project| {
        std::fs::remove_dir_all(project.path("logs")).expect("removed");
    }) => "";
    project_elsewhere: disk(|project| {
        std::fs::create_dir(project.path("moved")).expect("a folder");
        for part in ["config", "data"] {
            let to = project.path("moved").join(part);
            let copied = Command::new("cp").arg("-a").arg(project.path(part)).arg(to).status();
            assert!(copied.expect("cp runs").success());
        }
    }).with(&["--project", "moved"]) => "";
}

/// A print and a tap of that day in November, as lines of a raw file.
fn tap(day: i64) -> String {
    Line::shown(&When::november(day), Some(0), "point", "1").text + "\n"
}

fn append(project: &Project, path: &str, text: &str) {
    project.write(path, project.text(path) + text);
}

fn remove(project: &Project, path: &str) {
    std::fs::remove_file(project.path(path)).unwrap_or_default();
}

fn mode(project: &Project, path: &str, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(project.path(path), mode).expect("its mode");
}

/// Writes other bytes into a published file, as an editor would that replaces it.
fn damage(project: &Project, path: &str) {
    std::fs::remove_file(project.path(path)).expect("it is there");
    project.write(path, "something else");
}

/// Edits the manifest of features and gives it the fingerprint of its ingredients.
fn edit_manifest(project: &Project, edit: impl Fn(&mut Value)) {
    let path = project.path("data/output/_manifests/features.json");
    let mut manifest = json_file(&path);
    edit(&mut manifest);
    let inputs = manifest["inputs"].as_object().expect("inputs").iter();
    let inputs: BTreeMap<_, _> = inputs.map(|(name, fact)| (name, &fact["sha256"])).collect();
    let canonical = json!({
        "as_of": manifest["as_of"],
        "inputs": inputs,
        "settings": manifest["settings"],
        "source": manifest["source"],
        "stage": manifest["stage"],
        "stage_version": manifest["stage_version"],
    });
    manifest["fingerprint"] = sha256_hex(canonical.to_string().as_bytes()).into();
    std::fs::write(path, manifest.to_string()).expect("written");
}

/// A project of some rows that has been run. The taps lie in two files.
fn done() -> Project {
    let line = |day, prop: &str, user: &str| Line::shown(&When::november(day), Some(0), prop, user);
    let prints = vec![line(28, "point", "1"), line(29, "point", "2"), line(30, "prepaid", "2")];
    let payments = vec![
        Line::paid(&When::november(20), 1250, "point", "1"),
        Line::paid(&When::november(25), 99, "point", "2"),
    ];
    let mut project = Project::empty();
    project.write_world(&World::of(prints, vec![line(28, "point", "1")], payments));
    project.write("data/raw/taps-0.json", tap(26));
    project.set("sources.taps.files", json!(["taps*.json"]));
    project.mp(&["run", "--all"]).success();
    project
}

/// The ingredients that differ, by task.
type Stale = BTreeMap<String, BTreeSet<String>>;

fn expected(change: &Change, stale: &str) -> Stale {
    let mut expected = Stale::new();
    for word in stale.split_whitespace() {
        let (task, what) = match (word.split_once('='), &change.setting) {
            (Some(given), _) => given,
            (None, Some((key, _))) => (word, *key),
            (None, None) => panic!("what of {word}?"),
        };
        expected.entry(task.to_owned()).or_default().insert(what.to_owned());
    }
    expected
}

/// What a reason is about: the key of a setting, the path of a file, or its own name.
fn about(reason: &Value) -> String {
    let names = ["key", "path", "reason"].into_iter();
    let found = names.filter_map(|name| reason[name].as_str()).next();
    found.expect("a reason has a name").to_owned()
}

fn own_reasons(planned: &Value) -> BTreeSet<String> {
    let reasons = planned["reasons"].as_array().expect("reasons").iter();
    reasons.filter(|reason| reason["reason"] != "upstream").map(about).collect()
}

fn with<'a>(args: &[&'a str], flags: &[&'a str]) -> Vec<&'a str> {
    [args, flags].concat()
}

/// Everything but logs and what is kept beside the artifacts.
fn artifacts(project: &Project) -> Snapshot {
    project.snapshot().without("data/.mp/").without("config/").without("moved/logs/")
}

#[track_caller]
fn check(change: Change, stale: &str) {
    let expected = expected(&change, stale);
    let mut project = done();
    let before = artifacts(&project);
    if let Some(disk) = change.disk {
        disk(&project);
    }
    if let Some((name, value)) = change.env {
        project = project.with_env(name, value);
    }
    let old = change.setting.as_ref().map(|(key, _)| (*key, project.setting(key).cloned()));
    if let Some((key, value)) = change.setting {
        project.set(key, value);
    }

    let outcome = project.mp(&with(&["plan", "--json"], change.flags)).success();
    let plan = outcome.json("plan");
    let mut found = Stale::new();
    for planned in plan["tasks"].as_array().expect("tasks") {
        let (task, own) = (planned["task"].as_str().expect("a name"), own_reasons(planned));
        if own.is_empty() {
            let spared = planned["verdict"] == "run" && planned["certain"] == false;
            assert!(spared || planned["verdict"] == "up_to_date", "{task} {outcome}");
        } else {
            found.insert(task.to_owned(), own);
        }
    }
    assert_eq!(found, expected, "{outcome}");
    assert_eq!(plan["up_to_date"], expected.is_empty());

    for (task, names) in &expected {
        explain_names(&project, task, names, change.flags);
    }
    if expected.is_empty() {
        explain_names(&project, "features", &BTreeSet::new(), change.flags);
        let there = artifacts(&project);
        let run = project.mp(&with(&["run", "--all"], change.flags)).success();
        assert!(run.stdout.contains("nothing to do"), "{run}");
        there.assert_same(&artifacts(&project));
        return;
    }
    project.mp(&with(&["run", "--all"], change.flags)).success();
    let plan = project.mp(&with(&["plan", "--json"], change.flags)).success();
    assert_eq!(plan.json("plan")["up_to_date"], true, "{plan}");
    if let Some((key, old)) = old {
        take_back(&mut project, key, old.as_ref(), &before);
    }
}

/// `explain` says of a task that these ingredients differ and no other, and where settings come from.
#[track_caller]
fn explain_names(project: &Project, task: &str, names: &BTreeSet<String>, flags: &[&str]) {
    let outcome = project.mp(&with(&["explain", task, "--json"], flags)).success();
    let explained = outcome.json("explain");
    let shown = project.mp(&with(&["config", "show", "--json"], flags)).success();
    let origins = &shown.json("config-show")["origins"];
    let mut said = BTreeSet::new();
    for ingredient in explained["ingredients"].as_array().expect("ingredients") {
        let name = ingredient["name"].as_str().expect("a name");
        if ingredient["differs"] == true {
            said.insert(name.to_owned());
            assert_ne!(ingredient["old"], ingredient["new"], "{name} {outcome}");
        }
        if ingredient["kind"] == "setting" {
            assert_eq!(ingredient["origin"], origins[name], "{name} {outcome}");
        }
    }
    // What is wrong with outputs is no ingredient, but a reason all the same.
    let of_outputs = |reason: &&Value| {
        let what = reason["reason"].as_str().expect("a name");
        what.starts_with("output") || what == "never_run"
    };
    let reasons = explained["reasons"].as_array().expect("reasons").iter();
    said.extend(reasons.filter(of_outputs).map(about));
    assert_eq!(said, *names, "{task} {outcome}");
}

/// With the old value again nothing is computed, and all is as it was.
#[track_caller]
fn take_back(project: &mut Project, key: &str, old: Option<&Value>, before: &Snapshot) {
    match old {
        Some(old) => project.set(key, old.clone()),
        None => project.unset(key),
    }
    let outcome = project.mp(&["plan", "--json"]).success();
    for planned in outcome.json("plan")["tasks"].as_array().expect("tasks") {
        let verdict = planned["verdict"].as_str().expect("a verdict");
        assert!(["restore", "up_to_date"].contains(&verdict), "{outcome}");
    }
    let outcome = project.mp(&["run", "--all", "--json"]).success();
    for task in outcome.json("run")["tasks"].as_array().expect("tasks") {
        assert!(task["state"] == "up_to_date" || task["restored"] == true, "{outcome}");
    }
    let now = artifacts(project).without("data/other/");
    let mut changed = before.changed_content(&now);
    // A lock tells who held it last.
    changed.retain(|name| !name.ends_with(".lock"));
    assert!(changed.is_empty(), "these are not as they were: {changed:?}");
}

#[test]
fn every_key_of_the_configuration_is_in_a_row() {
    let shown = Project::empty().mp(&["config", "show", "--json"]).success().json("config-show");
    let keys: BTreeSet<&str> =
        shown["origins"].as_object().expect("origins").keys().map(String::as_str).collect();
    assert_eq!(keys_of_the_rows(), keys, "the rows, and the keys that there are");
}

#[test]
fn the_table_has_rows_both_ways() {
    let (something, nothing) = rows();
    assert!(something >= 30 && nothing >= 15, "{something} and {nothing}");
}
