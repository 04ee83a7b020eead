//! What differs between two runs: as_of, versions, settings, and task by task what went in and what
//! came out.
//!
//! How long something took, when and where it ran, and how much of it was found ready-made is no
//! difference. Does not know how it is shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::store::{Column, Ingredients, Output, RunRecord, TaskRecord};

/// Counts that tell how a result was made, not what it is.
const HOW: [&str; 2] = ["files_parsed", "files_reused"];
/// A setting that is shown as what it stands for.
const AS_OF: &str = "validation.as_of";

/// What a change is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// How a task ended.
    Outcome,
    Error,
    /// Of mp or of a stage.
    Version,
    AsOf,
    Setting,
    Input,
    /// Any other count: clicks, duplicates, blank lines.
    Count,
    Rows,
    /// Rejected rows by code.
    Rejects,
    /// Rates, scores and the values of rules.
    Quality,
    /// Columns of an output.
    Schema,
    /// Hash, size and rows of an output.
    Output,
}

/// One thing that is not the same in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    pub kind: Kind,
    pub name: String,
    /// `None`: the first run has no such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// Where the setting came from, then and now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<(String, String)>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Difference {
    pub run: Vec<Change>,
    /// Only the tasks with a change, in the order of the runs.
    pub tasks: Vec<TaskDifference>,
}

/// What differs in one task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskDifference {
    pub task: String,
    pub changes: Vec<Change>,
}

impl Difference {
    /// From one run to another.
    pub fn of(old: &RunRecord, new: &RunRecord) -> Difference {
        let mut run = Changes::default();
        run.note(Kind::Version, "mp", Some(&old.mp_version), Some(&new.mp_version));
        run.note(Kind::AsOf, "as_of", Some(&old.as_of), Some(&new.as_of));
        let keys = union(old.settings.keys(), new.settings.keys());
        for key in keys.into_iter().filter(|key| *key != AS_OF) {
            let (before, now) = (old.settings.get(key), new.settings.get(key));
            let value = |fact: Option<&crate::store::SettingFact>| Some(fact?.value.clone());
            if run.note(Kind::Setting, key, value(before), value(now)) {
                let origin = |fact: Option<&crate::store::SettingFact>| {
                    let given = fact.and_then(|fact| fact.origin.clone());
                    given.unwrap_or_else(|| "default".to_owned())
                };
                run.last_comes_from(origin(before), origin(now));
            }
        }
        let names = new.tasks.iter().chain(old.tasks.iter()).map(|task| task.task.as_str());
        let mut seen = BTreeSet::new();
        let names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
        let tasks = names.into_iter().filter_map(|name| {
            let changes = task(old.task(name), new.task(name), old.as_of != new.as_of);
            (!changes.is_empty()).then(|| TaskDifference { task: name.to_owned(), changes })
        });
        Difference { run: run.0, tasks: tasks.collect() }
    }

    /// Is everything the same?
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.tasks.is_empty()
    }
}

/// Changes as they are found.
#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    /// Notes a change if there is one.
    fn note<T: Serialize>(
        &mut self,
        kind: Kind,
        name: &str,
        old: Option<T>,
        new: Option<T>,
    ) -> bool {
        let (old, new) = (old.map(|old| json!(old)), new.map(|new| json!(new)));
        let differs = old != new;
        if differs {
            self.0.push(Change { kind, name: name.to_owned(), old, new, origins: None });
        }
        differs
    }

    fn last_comes_from(&mut self, old: String, new: String) {
        if let Some(change) = self.0.last_mut() {
            change.origins = Some((old, new));
        }
    }
}

fn union<'k>(
    old: impl IntoIterator<Item = &'k String>,
    new: impl IntoIterator<Item = &'k String>,
) -> BTreeSet<&'k String> {
    old.into_iter().chain(new).collect()
}

fn task(old: Option<&TaskRecord>, new: Option<&TaskRecord>, other_day: bool) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.note(Kind::Outcome, "outcome", old.map(outcome), new.map(outcome));
    let (Some(old), Some(new)) = (old, new) else { return changes.0 };
    let message = |task: &TaskRecord| task.error.as_ref().map(|error| error.message.clone());
    changes.note(Kind::Error, "error", message(old), message(new));
    // A task that was blocked or stopped has nothing to compare.
    if let (Some(before), Some(now)) = (&old.ingredients, &new.ingredients) {
        ingredients(&mut changes, before, now, other_day);
        inputs(&mut changes, (old, before), (new, now));
    }
    // A failed attempt may not have come so far as to count.
    if !old.counts.is_empty() && !new.counts.is_empty() {
        let stage = new.task.split('.').next().unwrap_or_default();
        counts(&mut changes, stage, &old.counts, &new.counts);
    }
    if old.end.is_good() && new.end.is_good() {
        outputs(&mut changes, &old.outputs, &new.outputs);
    }
    changes.0
}

/// How it ended, whether it was computed now or before.
fn outcome(task: &TaskRecord) -> Value {
    if task.end.is_good() { json!("good") } else { json!(task.end) }
}

fn ingredients(changes: &mut Changes, old: &Ingredients, new: &Ingredients, other_day: bool) {
    changes.note(Kind::Version, "stage", Some(old.stage_version), Some(new.stage_version));
    // A result that still holds keeps the day that it was made for.
    if other_day {
        changes.note(Kind::AsOf, "as_of", old.as_of.as_ref(), new.as_of.as_ref());
    }
    for key in union(old.settings.keys(), new.settings.keys()) {
        changes.note(Kind::Setting, key, old.settings.get(key), new.settings.get(key));
    }
}

fn inputs(
    changes: &mut Changes,
    (old_task, old): (&TaskRecord, &Ingredients),
    (new_task, new): (&TaskRecord, &Ingredients),
) {
    if old_task.inputs_in.is_some() || new_task.inputs_in.is_some() {
        // A list is lost; what it was is still known by its hash.
        changes.note(Kind::Input, "(all)", old_task.inputs_in, new_task.inputs_in);
        return;
    }
    for path in union(old.inputs.keys(), new.inputs.keys()) {
        let hash = |list: &Ingredients| list.inputs.get(path).map(|fact| fact.sha256);
        changes.note(Kind::Input, path, hash(old), hash(new));
    }
}

fn counts(changes: &mut Changes, stage: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
    let (old, new) = (flat(old), flat(new));
    for name in union(old.keys(), new.keys()) {
        let (before, now) = (old.get(name), new.get(name));
        match name.strip_prefix("rejects_by_code.") {
            // A code that is not there has no rows.
            Some(code) => {
                let rows = |count: Option<&Value>| Some(count.cloned().unwrap_or(json!(0)));
                changes.note(Kind::Rejects, code, rows(before), rows(now));
            }
            None if HOW.contains(&name.as_str()) => {}
            None => {
                let kind = match (stage, name.starts_with("rows_")) {
                    (_, true) => Kind::Rows,
                    ("quality", false) => Kind::Quality,
                    _ => Kind::Count,
                };
                changes.note(kind, name, before, now);
            }
        }
    }
    changes.0.sort_by_key(|change| change.kind);
}

/// Counts by their whole name: `{"a": {"b": 1}}` is `a.b: 1`.
pub fn flat(counts: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut flattened = BTreeMap::new();
    for (name, value) in counts {
        match value {
            Value::Object(below) => {
                let below = flat(below).into_iter();
                flattened.extend(below.map(|(rest, value)| (format!("{name}.{rest}"), value)));
            }
            value => {
                flattened.insert(name.clone(), value.clone());
            }
        }
    }
    flattened
}

fn outputs(changes: &mut Changes, old: &[Output], new: &[Output]) {
    let by_place = |outputs: &[Output]| -> BTreeMap<_, Output> {
        outputs.iter().map(|output| (output.place.clone(), output.clone())).collect()
    };
    let (old, new) = (by_place(old), by_place(new));
    let places: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for place in places {
        let (before, now) = (old.get(place), new.get(place));
        let schema = |output: Option<&Output>| columns(output.and_then(|one| one.schema.as_ref()));
        let (columns_before, columns_now) = (schema(before), schema(now));
        for column in union(columns_before.keys(), columns_now.keys()) {
            let dtype = |columns: &BTreeMap<String, String>| columns.get(column).cloned();
            let name = format!("{place}: {column}");
            changes.note(Kind::Schema, &name, dtype(&columns_before), dtype(&columns_now));
        }
        let fact = |what: &str| format!("{place}: {what}");
        let rows = |output: Option<&Output>| output.and_then(|output| output.rows);
        changes.note(Kind::Output, &fact("rows"), rows(before), rows(now));
        let bytes = |output: Option<&Output>| output.map(|output| output.bytes);
        changes.note(Kind::Output, &fact("bytes"), bytes(before), bytes(now));
        let hash = |output: Option<&Output>| output.map(|output| output.sha256);
        changes.note(Kind::Output, &fact("sha256"), hash(before), hash(now));
    }
}

/// Types by column; another order of the same columns shows in the positions.
fn columns(schema: Option<&Vec<Column>>) -> BTreeMap<String, String> {
    let columns = schema.into_iter().flatten().enumerate();
    columns
        .map(|(at, column)| (column.name.clone(), format!("{} (column {})", column.dtype, at + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Value {
        let sha = |digit: &str| digit.repeat(64);
        json!({
            "record_version": 1, "run": "r", "status": "ended", "as_of": "2020-12-01T00:00:00Z",
            "as_of_given": "2020-11-30", "mp_version": "0.1.0", "host": "h", "pid": 1,
            "asked": {"command": "run", "selectors": [], "tasks": ["extract.taps", "quality"],
                      "force": false, "allow_stale": false},
            "started_at": "s", "seconds": 1.0, "exit_code": 0, "folders": {},
            "settings": {"store.keep": {"value": 3}, "validation.as_of": {"value": "2020-11-30"}},
            "tasks": [{
                "task": "extract.taps", "end": "done", "seconds": 1.0,
                "ingredients": {"stage_version": 2, "settings": {"k": 1}, "as_of": null,
                                "inputs": {"taps.json": {"sha256": sha("a"), "bytes": 1}}},
                "outputs": [{"folder": "processed", "path": "taps.csv", "published": true,
                             "sha256": sha("b"), "bytes": 9, "rows": 2, "mode": "0640",
                             "schema": [{"name": "x", "dtype": "i64"}]}],
                "counts": {"rows_read": 5, "blank_lines": 0, "files_reused": 0,
                           "rejects_by_code": {"user_id.type": 1}},
            }, {
                "task": "quality", "end": "up_to_date", "seconds": 0.0,
                "ingredients": {"stage_version": 1, "settings": {}, "as_of": "x", "inputs": {}},
                "counts": {"quality_score": 0.9, "rules": {"rejects": 0.1}},
            }],
        })
    }

    fn difference(edit: impl FnOnce(&mut Value)) -> Vec<String> {
        let record = |value: Value| serde_json::from_value::<RunRecord>(value).unwrap();
        let mut new = run();
        edit(&mut new);
        let found = Difference::of(&record(run()), &record(new));
        let show = |task: &str, change: &Change| {
            let side = |value: &Option<Value>| value.as_ref().map_or("-".into(), Value::to_string);
            let kind = json!(change.kind);
            format!("{task} {kind} {} {} {}", change.name, side(&change.old), side(&change.new))
                .replace('"', "")
        };
        let tasks = found.tasks.iter().flat_map(|one| {
            one.changes.iter().map(|change| show(&one.task, change)).collect::<Vec<_>>()
        });
        found.run.iter().map(|change| show("run", change)).chain(tasks).collect()
    }

    #[test]
    fn time_place_and_way_are_no_difference() {
        let same = difference(|run| {
            run["run"] = json!("other");
            run["host"] = json!("elsewhere");
            run["seconds"] = json!(9.0);
            run["settings"]["validation.as_of"]["value"] = json!("2020-12-01T00:00:00Z");
            run["settings"]["store.keep"]["origin"] = json!("--set");
            run["tasks"][0]["end"] = json!("restored");
            run["tasks"][0]["made_by"] = json!("r");
            run["tasks"][0]["counts"]["files_reused"] = json!(1);
        });
        assert!(same.is_empty(), "{same:#?}");
    }

    #[test]
    fn each_kind_of_fact_is_compared() {
        type Edit = fn(&mut Value);
        let table: [(Edit, &str); 13] = [
            (|run| run["mp_version"] = json!("0.2.0"), "run version mp 0.1.0 0.2.0"),
            (|run| run["as_of"] = json!("z"), "run as_of as_of 2020-12-01T00:00:00Z z"),
            (|run| run["settings"]["store.keep"]["value"] = json!(4), "run setting store.keep 3 4"),
            (
                |run| run["tasks"][0]["ingredients"]["stage_version"] = json!(3),
                "extract.taps version stage 2 3",
            ),
            (
                |run| run["tasks"][0]["ingredients"]["settings"] = json!({}),
                "extract.taps setting k 1 -",
            ),
            (
                |run| run["tasks"][0]["counts"]["rows_read"] = json!(6),
                "extract.taps rows rows_read 5 6",
            ),
            (
                |run| run["tasks"][0]["counts"]["blank_lines"] = json!(6),
                "extract.taps count blank_lines 0 6",
            ),
            (
                |run| run["tasks"][0]["counts"]["rejects_by_code"]["csv.malformed"] = json!(2),
                "extract.taps rejects csv.malformed 0 2",
            ),
            (
                |run| run["tasks"][1]["counts"]["rules"]["rejects"] = json!(0.2),
                "quality quality rules.rejects 0.1 0.2",
            ),
            (
                |run| run["tasks"][0]["outputs"][0]["bytes"] = json!(10),
                "extract.taps output taps.csv: bytes 9 10",
            ),
            (
                |run| run["tasks"][0]["outputs"][0]["schema"][0]["dtype"] = json!("str"),
                "extract.taps schema taps.csv: x i64 (column 1) str (column 1)",
            ),
            (
                |run| {
                    run["tasks"][1] = json!({"task": "quality", "end": "blocked", "seconds": 0.0});
                },
                "quality outcome outcome good blocked",
            ),
            (
                |run| drop(run["tasks"].as_array_mut().unwrap().pop()),
                "quality outcome outcome good -",
            ),
        ];
        for (edit, want) in table {
            assert_eq!(difference(edit), [want]);
        }
    }

    #[test]
    fn the_day_that_a_result_was_made_for_is_a_difference_between_runs_of_two_days() {
        let changed = difference(|run| run["tasks"][0]["ingredients"]["as_of"] = json!("z"));
        assert_eq!(changed, Vec::<String>::new(), "an earlier result still holds");
        let changed = difference(|run| {
            run["as_of"] = json!("z");
            run["tasks"][0]["ingredients"]["as_of"] = json!("z");
        });
        let want = ["run as_of as_of 2020-12-01T00:00:00Z z", "extract.taps as_of as_of - z"];
        assert_eq!(changed, want);
    }

    #[test]
    fn an_input_is_compared_by_its_hash() {
        let changed = difference(|run| {
            let inputs = &mut run["tasks"][0]["ingredients"]["inputs"];
            inputs["taps.json"]["sha256"] = json!("c".repeat(64));
            inputs["taps.json"]["bytes"] = json!(7);
        });
        assert_eq!(changed.len(), 1, "{changed:#?}");
        assert!(changed[0].starts_with("extract.taps input taps.json aaaa"), "{changed:#?}");
    }

    #[test]
    fn a_failure_is_compared_as_far_as_it_came() {
        let changed = difference(|run| {
            run["tasks"][0]["end"] = json!("failed");
            run["tasks"][0]["error"] = json!({"exit_code": 4, "message": "too many"});
            run["tasks"][0]["outputs"] = json!([]);
            run["tasks"][0]["counts"]["rows_read"] = json!(1);
        });
        let want = [
            "extract.taps outcome outcome good failed",
            "extract.taps error error - too many",
            "extract.taps rows rows_read 5 1",
        ];
        assert_eq!(changed, want);
    }
}
