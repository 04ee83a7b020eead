//! Manifests, `_SUCCESS.json` and the store: what is written about a result, and how long it is
//! kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::project::Project;
use crate::snapshot::sha256_hex;
use crate::view::{TASKS, json_file};

fn done() -> Project {
    let project = Project::november();
    project.run_all();
    project
}

#[test]
fn every_manifest_has_the_keys_of_the_specification() {
    let project = done();
    for task in TASKS {
        let manifest = project.view().manifest(task);
        let (stage, source) = task.split_once('.').map_or((task, None), |(a, b)| (a, Some(b)));
        assert_eq!(manifest["stage"], stage);
        assert_eq!(manifest["source"], json!(source));
        for key in ["fingerprint", "stage_version", "settings", "inputs", "outputs", "counts"] {
            assert!(!manifest[key].is_null(), "{task}: {key} in {manifest:#}");
        }
        for key in ["id", "started_at", "ended_at", "seconds", "mp_version", "host"] {
            assert!(!manifest["run"][key].is_null(), "{task}: run.{key} in {manifest:#}");
        }
        assert!(manifest.as_object().is_some_and(|keys| keys.contains_key("as_of")), "{task}");
    }
}

#[test]
fn published_outputs_are_recorded_with_the_hash_size_and_rows_of_the_file() {
    let project = done();
    let view = project.view();
    let mut seen = BTreeSet::new();
    for task in TASKS {
        for output in view.manifest(task)["outputs"].as_array().expect("outputs") {
            if output["published"] != true {
                continue;
            }
            let folder = match output["folder"].as_str() {
                Some("processed") => &view.processed,
                Some("output") => &view.output,
                Some("reports") => &view.reports,
                other => panic!("{task}: published in {other:?}"),
            };
            let name = output["path"].as_str().expect("a path");
            let bytes = std::fs::read(folder.join(name)).expect("the file");
            assert_eq!(output["sha256"], sha256_hex(&bytes), "{name}");
            assert_eq!(output["bytes"], bytes.len(), "{name}");
            if name == "training_dataset.parquet" {
                assert_eq!(output["rows"], view.gold().rows.len());
                assert!(output["schema"].to_string().contains("payments_amount_3w"), "{output:#}");
            }
            seen.insert(name.to_owned());
        }
    }
    for name in ["prints.parquet", "_rejects/taps.csv", "training_dataset.parquet", "_SUCCESS.json"]
    {
        assert!(seen.contains(name), "{name} among {seen:?}");
    }
}

#[test]
fn inputs_are_recorded_by_relative_path_and_hash() {
    let project = done();
    let inputs = &project.view().manifest("extract.prints")["inputs"];
    let sha = sha256_hex(&project.read("data/raw/prints.json"));
    assert_eq!(inputs["prints.json"]["sha256"], sha);
    assert_eq!(inputs.as_object().map(serde_json::Map::len), Some(1));
    let root = project.root().to_string_lossy().into_owned();
    for task in TASKS {
        let text = project.view().manifest(task).to_string();
        assert!(!text.contains(&root), "{task}: an absolute path in {text}");
    }
}

#[test]
fn settings_are_recorded_by_key_and_only_those_that_the_stage_reads() {
    let project = done();
    let settings = |task: &str| project.view().manifest(task)["settings"].clone();
    assert_eq!(settings("features")["processing.lookback_window_days"], 21);
    assert_eq!(settings("preprocess.payments")["preprocess.dedupe.payments"], "keep");
    let keys = |task: &str| settings(task).as_object().expect("settings").clone();
    assert!(keys("extract.payments").keys().any(|key| key.ends_with("max_payment_amount")));
    assert!(!keys("extract.prints").keys().any(|key| key.ends_with("max_payment_amount")));
    for task in TASKS {
        for key in keys(task).keys() {
            let how = ["chunk", "memory", "worker", "parallel", "logging", "store", "data_paths"];
            assert!(!how.iter().any(|word| key.contains(word)), "{task} depends on {key}");
        }
    }
}

#[test]
fn rejects_are_counted_by_code_and_late_rows_with_the_latest_timestamp() {
    let project = Project::november().with("validation.as_of", json!("2020-11-28"));
    project.run_all();
    let extract = &project.view().manifest("extract.prints")["counts"];
    assert!(extract.to_string().contains("\"timestamp.invalid\":4"), "{extract:#}");
    let preprocess = &project.view().manifest("preprocess.prints");
    assert!(preprocess["counts"]["rows_after_as_of"].as_u64() > Some(10));
    assert!(preprocess.to_string().contains("2020-11-30T00:00:00"), "{preprocess:#}");
}

#[test]
fn the_mark_of_success_names_gold_report_and_as_of() {
    let project = done();
    let view = project.view();
    let success = json_file(&view.success_path()).to_string();
    for path in [view.gold_path(), view.report_path()] {
        let sha = sha256_hex(&std::fs::read(&path).expect("a file"));
        assert!(success.contains(&sha), "{}: {success}", path.display());
    }
    assert!(
        success.contains("2020-12-01T00:00:00Z") || success.contains("2020-11-30"),
        "{success}"
    );
}

#[test]
fn the_fingerprint_does_not_depend_on_the_place_or_the_time() {
    let (one, two) = (done(), done());
    for task in TASKS {
        let fact = |project: &Project, key: &str| project.view().manifest(task)[key].clone();
        for key in ["fingerprint", "counts", "outputs"] {
            assert_eq!(fact(&one, key), fact(&two, key), "{task}: {key}");
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn the_store_keeps_the_newest_results_of_each_task_and_no_more() {
    let mut project = Project::november().with("store.keep", json!(2));
    let mut objects = Vec::new();
    for lookback in 1..=8 {
        project.set("processing.lookback_window_days", json!(lookback));
        project.run_all();
        // What is young is kept whoever it belongs to, so everything must look old.
        let old = SystemTime::now() - Duration::from_secs(3_600 * (20 - lookback));
        for path in files_below(&project.path("data/.mp")) {
            let file = std::fs::File::open(path).and_then(|file| file.set_modified(old));
            file.expect("aged");
        }
        objects.push(files_below(&project.path("data/.mp/objects")).len());
    }
    assert!(objects[7] <= objects[3], "the store grows without end: {objects:?}");
}

#[test]
fn a_result_that_is_kept_is_taken_from_the_store_instead_of_computed() {
    let mut project = done();
    let gold = project.read("data/output/training_dataset.parquet");
    project.set("processing.lookback_window_days", json!(3));
    project.run_all();
    project.set("processing.lookback_window_days", json!(21));
    project.run_all();
    assert_eq!(project.read("data/output/training_dataset.parquet"), gold);
}

#[test]
fn objects_are_read_only() {
    let project = done();
    let objects = files_below(&project.path("data/.mp/objects"));
    assert!(objects.len() >= 10, "{objects:#?}");
    for path in objects {
        let bytes = std::fs::read(&path).expect("an object");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(name, sha256_hex(&bytes), "named by its content");
    }
    let report: Value = project.view().report();
    assert!(report.is_object());
}
