//! `mp explain`: one task in full, in the words of `plan`.

use serde_json::{Value, json};

use crate::project::Project;
use crate::snapshot::sha256_hex;

/// Runs everything; the id of that run.
fn run(project: &Project) -> String {
    let outcome = project.mp(&["run", "--all", "--json"]).success();
    outcome.json("run")["run_id"].as_str().expect("an id").to_owned()
}

fn explain(project: &Project, args: &[&str]) -> Value {
    project.mp(&[&["explain", "--json"], args].concat()).success().json("explain")
}

#[track_caller]
fn ingredient<'a>(explained: &'a Value, name: &str) -> &'a Value {
    let all = explained["ingredients"].as_array().expect("ingredients");
    let found = all.iter().find(|ingredient| ingredient["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {explained:#}"))
}

/// The verdict of each dependent.
fn follow(explained: &Value) -> Vec<String> {
    let dependents = explained["dependents"].as_array().expect("dependents").iter();
    let word = |one: &Value| format!("{}={}", one["task"], one["verdict"]).replace('"', "");
    dependents.map(word).collect()
}

#[test]
fn an_up_to_date_task_lists_its_ingredients_and_the_run_that_made_it() {
    let project = Project::november();
    let id = run(&project);
    let explained = explain(&project, &["features"]);
    assert_eq!(explained["verdict"], "up_to_date");
    assert_eq!(explained["result"]["run_id"], *id);
    assert_eq!(explained["why"], json!([]));
    assert_eq!(ingredient(&explained, "processing.lookback_window_days")["new"], 21);
    let silver = project.view().manifest("preprocess.taps")["outputs"][0].clone();
    assert_eq!(ingredient(&explained, "taps.parquet")["new"]["sha256"], silver["sha256"]);
    assert_eq!(follow(&explained), ["quality=up_to_date"]);
    let text = project.mp(&["explain", "features"]).success();
    let line = text.stdout.lines().next().expect("a line");
    assert_eq!(line, "features  up to date", "{text}");
    assert!(text.stdout.contains(&format!("result in force: run {id} (")), "{text}");
    assert!(!text.stdout.contains('≠'), "{text}");
}

#[test]
fn a_changed_setting_comes_first_with_both_values_its_origin_and_what_follows() {
    let mut project = Project::november();
    let id = run(&project);
    project.set("processing.lookback_window_days", json!(14));
    let explained = explain(&project, &["features"]);
    let first = &explained["ingredients"][0];
    assert_eq!(
        (&first["name"], &first["kind"], &first["old"], &first["new"]),
        (&json!("processing.lookback_window_days"), &json!("setting"), &json!(21), &json!(14),)
    );
    let line = project.text("config/params.yaml");
    let line = line.lines().position(|line| line.contains("lookback")).expect("a line") + 1;
    assert_eq!(first["origin"], format!("config/params.yaml:{line}"));
    assert_eq!(explained["verdict"], "run");
    assert_eq!(explained["kept"]["state"], "not_kept");
    assert_eq!(follow(&explained), ["quality=run"]);
    assert_eq!(explained["dependents"][0]["certain"], false);
    assert_eq!(explained["independent"].as_array().map(Vec::len), Some(6));
    project.mp(&["explain", "features"]).success().prints(&[
        "≠  processing.lookback_window_days  21 → 14",
        "config/params.yaml:",
        "quality  run ",
    ]);

    run(&project);
    project.set("processing.lookback_window_days", json!(21));
    let explained = explain(&project, &["features"]);
    assert_eq!(
        (&explained["verdict"], &explained["kept"]["state"]),
        (&json!("restore"), &json!("kept"))
    );
    assert_eq!(explained["kept"]["run_id"], *id);
    assert_eq!(follow(&explained), ["quality=restore"]);
    let explained = explain(&project, &["features", "--no-cache"]);
    assert_eq!(
        (&explained["verdict"], &explained["kept"]["state"]),
        (&json!("run"), &json!("kept"))
    );
}

#[test]
fn every_layer_is_named_as_the_origin_of_its_value() {
    let project = Project::november().with_env("MP_TARGET_WINDOW_DAYS", "5");
    project.write("more.yaml", "preprocess:\n  dedupe: {taps: keep}\n");
    let flags = ["--config", "more.yaml", "--set", "processing.lookback_window_days=14"];
    let features = explain(&project, &[&["features"], &flags[..]].concat());
    assert_eq!(features["ingredients"], json!([]), "nothing is known before preprocess ran");
    project.mp(&[&["run", "--all"], &flags[..]].concat()).success();
    let features = explain(&project, &[&["features"], &flags[..]].concat());
    let origin = |explained: &Value, name| ingredient(explained, name)["origin"].clone();
    assert_eq!(origin(&features, "processing.target_window_days"), "env MP_TARGET_WINDOW_DAYS");
    assert_eq!(origin(&features, "processing.lookback_window_days"), "--set");
    assert_eq!(origin(&features, "processing.validate_schema"), "default");
    let taps =
        explain(&project, &[&["preprocess.taps", "--as-of", "2020-11-30"], &flags[..]].concat());
    assert_eq!(origin(&taps, "preprocess.dedupe.taps"), "more.yaml:2");
    assert_eq!(origin(&taps, "as_of"), "--as-of");
}

#[test]
fn a_changed_input_shows_its_hash_and_one_that_nobody_has_read_says_so() {
    let project = Project::november();
    run(&project);
    let text = project.text("data/raw/taps.json");
    project.write("data/raw/taps.json", text.replacen("\"user_id\": 10", "\"user_id\": 20", 1));
    let explained = explain(&project, &["extract.taps"]);
    let changed = &explained["ingredients"][0];
    assert_eq!(changed["old"]["sha256"], sha256_hex(text.as_bytes()));
    assert_eq!(changed["new"], json!({ "bytes": text.len(), "sha256": null }));
    project.mp(&["explain", "extract.taps"]).success().prints(&["→ not read yet ("]);
    let explained = explain(&project, &["preprocess.taps"]);
    assert_eq!(explained["kept"], json!({ "state": "unknown", "before": ["extract.taps"] }));
    assert_eq!((&explained["verdict"], &explained["certain"]), (&json!("run"), &json!(false)));
    run(&project);
    project.write("data/raw/taps.json", &text);
    let explained = explain(&project, &["extract.taps"]);
    assert_eq!(explained["verdict"], "restore");
    assert_eq!(explained["ingredients"][0]["new"]["sha256"], sha256_hex(text.as_bytes()));
}

#[test]
fn a_result_can_be_compared_with_that_of_an_earlier_run() {
    let mut project = Project::november();
    let first = run(&project);
    project.set("processing.lookback_window_days", json!(14));
    let second = run(&project);
    let explained = explain(&project, &["features", "--against", &first]);
    assert_eq!(explained["verdict"], "up_to_date");
    assert_eq!(
        (&explained["against"]["run_id"], &explained["result"]["run_id"]),
        (&json!(first), &json!(second))
    );
    let changed = &explained["ingredients"][0];
    assert_eq!((&changed["old"], &changed["new"]), (&json!(21), &json!(14)));
    let text = project.mp(&["explain", "features", "--against", &first]).success();
    assert!(text.stdout.contains(&format!("compared with:   run {first} (")), "{text}");

    // Ids begin with the time, so they differ before the last characters.
    let beginning = &first[..first.len() - 1];
    assert_eq!(
        explain(&project, &["features", "--against", beginning])["against"]["run_id"],
        *first
    );
    let text = project.mp(&["explain", "features", "--against", &second]).success();
    assert!(!text.stdout.contains("compared with"), "it is the result in force: {text}");
    let latest = explain(&project, &["features", "--against", "latest"]);
    assert_eq!(latest["against"]["run_id"], *second);

    let known = [first.as_str(), second.as_str()];
    project.mp(&["explain", "features", "--against", "1999"]).fails(2).says(&known);
    project.mp(&["explain", "features", "--against", "20"]).fails(2).says(&known).says(&["2 runs"]);
    let before = explain(&project, &["features", "--against", "latest~1"]);
    assert_eq!(before["against"]["run_id"], *first);
    // A task that the run left alone is known all the same; one that it did not have is not.
    let taps = explain(&project, &["extract.taps", "--against", &second]);
    assert_eq!(taps["against"]["run_id"], *second);
    project.mp(&["features", "--force"]).success();
    project.mp(&["explain", "quality", "--against", "latest"]).fails(2).says(&["mp show"]);

    // Without the records, what manifests tell.
    std::fs::remove_dir_all(project.path("data/.mp/runs")).expect("removed");
    assert_eq!(explain(&project, &["features", "--against", &first])["against"]["run_id"], *first);
    project.mp(&["explain", "features", "--against", "latest"]).fails(2);
}

#[test]
fn a_task_that_never_ran_is_explained_too() {
    let project = Project::november();
    project.mp(&["explain", "features", "--against", "latest"]).fails(2).says(&["mp run"]);
    let explained = explain(&project, &["extract.prints"]);
    assert_eq!((&explained["verdict"], &explained["why"]), (&json!("run"), &json!(["never run"])));
    assert_eq!(explained["result"], Value::Null);
    assert_eq!(ingredient(&explained, "sources.prints.files")["differs"], false);
    project.mp(&["explain", "extract.prints"]).success().prints(&["result in force: none yet"]);
}

#[test]
fn a_task_that_cannot_be_looked_at_fails_and_blocks_those_that_need_it() {
    let project = Project::november();
    run(&project);
    std::fs::remove_file(project.path("data/raw/taps.json")).expect("removed");
    let explained = explain(&project, &["extract.taps"]);
    assert_eq!(
        (&explained["verdict"], &explained["error"]["exit"]),
        (&json!("failed"), &json!("input"))
    );
    let blocked = ["preprocess.taps=blocked", "features=blocked", "quality=blocked"];
    assert_eq!(follow(&explained), blocked);
    let explained = explain(&project, &["quality"]);
    assert_eq!(explained["blocked_by"], "extract.taps");
    assert_eq!(explained["why"], json!(["by extract.taps"]));
    // Perhaps a setting is why.
    let named = ["--set", "sources.taps.files=[none.json]", "--set", "preprocess.dedupe.taps=keep"];
    let explained = explain(&project, &[&["extract.taps"], &named[..]].concat());
    let files = &explained["ingredients"][0];
    assert_eq!(
        (&files["name"], &files["differs"], &files["origin"]),
        (&json!("sources.taps.files"), &json!(true), &json!("--set"))
    );
    assert_eq!((&files["old"], &files["new"]), (&json!(["taps.json"]), &json!(["none.json"])));
    let input = ingredient(&explained, "taps.json");
    assert_eq!((&input["differs"], &input["new"]), (&json!(false), &Value::Null));
    let shown = project.mp(&[&["explain", "extract.taps"], &named[..]].concat()).success();
    shown.prints(&["≠  sources.taps.files", "[\"taps.json\"] → [\"none.json\"]"]);
    let plan = project.mp(&["plan"]).fails(3);
    assert!(plan.stdout.contains("quality              blocked     by extract.taps"), "{plan}");
    let run = project.mp(&["run", "--all"]).fails(3);
    assert!(run.stdout.contains("quality              blocked     by extract.taps"), "{run}");
}

#[test]
fn a_single_stage_whose_upstream_is_stale_is_blocked_in_plan_run_and_log() {
    let mut project = Project::november();
    run(&project);
    project.set("preprocess.dedupe.prints", json!("keep"));
    let plan = project.mp(&["plan", "features"]).fails(6);
    assert!(
        plan.stdout.starts_with("features  blocked     `features` needs `preprocess.prints`"),
        "{plan}"
    );
    let outcome = project.mp(&["features"]).fails(6);
    assert!(outcome.stdout.starts_with("features  blocked"), "{outcome}");
    assert!(outcome.stderr.contains("blocked: features: `features` needs"), "{outcome}");
    let document = project.mp(&["features", "--json"]).fails(6).json("features");
    assert_eq!(document["tasks"][0]["state"], "blocked");
}

#[test]
fn one_task_is_explained_at_a_time_and_a_misspelt_one_is_recognised() {
    let project = Project::november();
    project.mp(&["explain", "preprocess"]).fails(2).says(&["3 tasks", "`preprocess.taps`"]);
    project.mp(&["explain", "+features"]).fails(2).says(&["7 tasks"]);
    project.mp(&["explain", "extract.tap"]).fails(2).says(&["did you mean `extract.taps`"]);
    project.mp(&["explain"]).fails(2);
}
