//! `mp verify --rebuild`: everything computed once more in a scratch folder, and compared with what the
//! manifests say.
//!
//! Settings and as_of are those of the manifests, raw files are read where they are. What has changed
//! since cannot be compared and is refused. Nothing that exists is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::differences::first_difference;
use super::global::Global;
use super::output;
use super::plan_command::make;
use super::project::{Project, load_config_with};
use super::run_command::{options, selected};
use super::signals::Signals;
use super::verify_command::{VerifyArgs, homes};
use crate::dag::{Graph, TaskId};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::machine::{Space, nearest_folder};
use crate::scheduler::{Reason, Scheduler};
use crate::store::{
    Digest, Finding, Found, Layout, LockError, Manifest, Output, Scope, ScratchFolder, Store,
    Trouble, VerifyError, as_shown, new_run_id,
};

/// The manifests of tasks.
type Manifests = BTreeMap<TaskId, Arc<Manifest>>;

/// An output that came out otherwise.
#[derive(Debug, serde::Serialize)]
struct Difference {
    task: TaskId,
    /// The published path, or that of the object.
    #[serde(serialize_with = "as_shown")]
    path: PathBuf,
    published: bool,
    recorded: Fact,
    /// None if it was not made again at all.
    rebuilt: Option<Fact>,
    /// The first difference, if the recorded file is still whole and has rows or lines.
    first_difference: Option<String>,
}

/// What is known of a file.
#[derive(Debug, serde::Serialize)]
struct Fact {
    sha256: Digest,
    bytes: u64,
    rows: Option<u64>,
}

impl Fact {
    const fn of(output: &Output) -> Fact {
        Fact { sha256: output.sha256, bytes: output.bytes, rows: output.rows }
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Comparison {
    artifacts: usize,
    objects: usize,
    differences: Vec<Difference>,
    /// Published files that are not what is recorded.
    damaged: Vec<Finding>,
}

/// Computes the selected tasks, and what they need, once more.
pub(super) fn rebuild(global: &Global, args: &VerifyArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let graph = project.graph()?;
    let compared = selected(&graph, &args.selectors)?;
    let mut needed = compared.clone();
    needed.extend(compared.iter().flat_map(|task| graph.ancestors(task)));
    let recorded = manifests(&project.store, &needed)?;
    let as_of = match global.as_of {
        Some(_) => None,
        None => recorded_as_of(&project.store, &graph, &recorded)?,
    };
    let sets = recorded_settings(&recorded)?;
    let (loaded, environment) = load_config_with(global, &sets, as_of.as_deref())?;
    let keep = loaded.config.store_keep();
    let open = |layout: Layout| Store::open(layout, keep);
    let there = Project { loaded, environment, store: open(project.store.layout().clone()) };
    check_unchanged(global, &there, &graph, &needed)?;

    let base = base(args, &project)?;
    let most_bytes = check_room(&base, &recorded)?;
    if global.dry_run {
        let (tasks, size) = (needed.len(), output::size(most_bytes));
        output::text(&format!(
            "would compute {tasks} tasks in {}, up to {size}\n",
            base.display()
        ))?;
        return Ok(ExitCode::Success);
    }
    let run_id = new_run_id();
    let layout = there.store.layout().scratch(&ScratchFolder::place(&base, &run_id));
    let again = Project { store: open(layout), ..there };
    // From here on nothing is left behind.
    let signals = Signals::listen(again.store.stop())?;
    let log = project.start_log(global, false);
    let display = log.display();
    let is_own_base = args.scratch.is_none() || !base.exists();
    let scratch =
        ScratchFolder::make(&base, &run_id, is_own_base).map_err(|error| match error {
            LockError::Store(error) => error.into(),
            other => Error::new(other.exit_code(), other.to_string()),
        })?;
    let (stages, options) = (again.stages(), options(global, &again, false));
    crate::allocator::keep_within(stages.resources.memory_bytes);
    let scheduler = Scheduler {
        graph: &graph,
        store: &again.store,
        runner: &stages,
        selection: &needed,
        options: &options,
        events: &display,
        cancel: &signals.stop,
    };
    let summary = scheduler.run_as(run_id);
    if summary.exit != ExitCode::Success {
        let exit = signals.exit_code().unwrap_or(summary.exit);
        let failed = summary.tasks.iter().find_map(|task| Some((&task.task, task.error.as_ref()?)));
        let text = match failed {
            Some((task, error)) if exit == summary.exit => {
                format!("`{task}` could not be computed again: {error}")
            }
            _ => "stopped before everything was computed again".to_owned(),
        };
        return Err(Error::new(exit, text));
    }
    let rebuilt = manifests(&again.store, &needed)?;
    check_same_inputs(&recorded, &rebuilt)?;
    let mut comparison = Comparison::default();
    for task in graph.tasks().iter().filter(|task| compared.contains(task)) {
        if let (Some(recorded), Some(rebuilt)) = (recorded.get(task), rebuilt.get(task)) {
            comparison.task(task, (recorded, &project.store), (rebuilt, &again.store))?;
        }
    }
    let homes = homes(&project)?;
    let names: BTreeSet<String> = compared.iter().map(ToString::to_string).collect();
    let scope = Scope {
        homes: &homes,
        only: Some(project.store.layout()),
        tasks: Some(&names),
        threads: stages.resources.threads,
        lock_timeout: global.lock_timeout,
        cancel: &signals.stop,
        on_bytes: &|_, _| {},
        on_wait: &|_, _| {},
    };
    comparison.damaged = project.store.published_findings(&scope).map_err(|error| match error {
        VerifyError::Store(error) => error.into(),
        VerifyError::Stopped => {
            let exit = signals.exit_code().unwrap_or(ExitCode::Interrupted);
            Error::new(exit, VerifyError::Stopped.to_string())
        }
    })?;
    let mut busy =
        comparison.damaged.iter().filter(|it| matches!(it.trouble, Trouble::Busy { .. }));
    if let Some(finding) = busy.next() {
        let text = format!("`{}` {}", finding.path.display(), finding.trouble);
        return Err(Error::with_hint(ExitCode::Temporary, text, "run again"));
    }
    // Of the bytes nothing is wrong then.
    comparison.damaged.retain(|finding| !matches!(finding.trouble, Trouble::Mode { .. }));
    drop(scratch);
    let as_of = again.config().as_of().to_string();
    let exit = match comparison.differences.is_empty() && comparison.damaged.is_empty() {
        true => ExitCode::Success,
        false => ExitCode::Failure,
    };
    if global.json {
        let facts = json!({
            "mode": "rebuild",
            "ok": exit == ExitCode::Success,
            "exit_code": exit.code(),
            "as_of": as_of,
            "tasks": compared,
            "artifacts": comparison.artifacts,
            "objects": comparison.objects,
            "seconds": summary.seconds,
            "differences": comparison.differences,
            "damaged": comparison.damaged,
        });
        output::document("verify", facts)?;
    } else {
        output::text(&words(&project, &comparison, needed.len(), summary.seconds, &as_of))?;
    }
    Ok(exit)
}

/// The last good manifests of tasks, which all must have one.
fn manifests(store: &Store, tasks: &BTreeSet<TaskId>) -> Result<Manifests, Error> {
    let mut found = Manifests::new();
    for task in tasks {
        let why = match store.manifest(task.stage(), task.source())? {
            Found::Good(manifest) => {
                found.insert(task.clone(), manifest);
                continue;
            }
            Found::Missing => match store.failed_manifest(task.stage(), task.source())?.good() {
                None => "it has never run".to_owned(),
                Some(failed) => {
                    let error = failed.error.as_ref().map(|error| format!(": {}", error.message));
                    format!("its last attempt failed{}", error.unwrap_or_default())
                }
            },
            Found::Unreadable(why) => format!("its manifest cannot be read: {why}"),
        };
        let text = format!("`{task}` has no result to compare with: {why}");
        let hint = "once nothing is in its way, `mp run --all` makes one";
        return Err(Error::with_hint(ExitCode::Refused, text, hint));
    }
    Ok(found)
}

/// What the manifests were made with, as `key=value`.
fn recorded_settings(recorded: &Manifests) -> Result<Vec<String>, Error> {
    let mut settings = BTreeMap::<&str, (&TaskId, &Value)>::new();
    for (task, manifest) in recorded {
        for (key, value) in &manifest.ingredients.settings {
            let (first, known) = *settings.entry(key).or_insert((task, value));
            if known != value {
                let text = format!(
                    "`{first}` was made with {key} {known}, and `{task}` with {value}: there is no \
                     one run to compare with"
                );
                return Err(out_of_date(text));
            }
        }
    }
    let written = |(key, (_, value)): (&str, (_, &Value))| match value {
        // A text is written as it is; quotes would make a text of an amount.
        Value::String(text) => format!("{key}={text}"),
        value => format!("{key}={value}"),
    };
    Ok(settings.into_iter().map(written).collect())
}

/// The as_of of the run that left these manifests. Extract notes it only where it mattered, and keeps
/// an older one as long as nothing changes, so it is asked last.
fn recorded_as_of(
    store: &Store,
    graph: &Graph,
    recorded: &Manifests,
) -> Result<Option<String>, Error> {
    let as_of = |manifest: &Manifest| manifest.ingredients.as_of.clone();
    let of = |wanted: fn(&TaskId) -> bool| -> BTreeSet<String> {
        let found = recorded.iter().filter(|(task, _)| wanted(task));
        found.filter_map(|(_, manifest)| as_of(manifest)).collect()
    };
    let is_extract = |task: &TaskId| task.stage() == "extract";
    let own = of(|task| task.stage() != "extract");
    if own.len() > 1 {
        let all: Vec<String> = own.into_iter().collect();
        let text = format!("the artifacts are as of {}: no one run made them", all.join(" and "));
        return Err(out_of_date(text));
    }
    let mut others = BTreeSet::new();
    for task in graph.tasks().iter().filter(|task| !is_extract(task)) {
        let found = store.manifest(task.stage(), task.source())?.good();
        others.extend(found.as_deref().and_then(as_of));
    }
    let last = of(|task| task.stage() == "extract");
    Ok([own, others, last].into_iter().find_map(|found| found.into_iter().next_back()))
}

fn out_of_date(text: impl Into<String>) -> Error {
    let hint =
        "nothing is said about damage: bring it up to date with `mp run --all`, then compare";
    Error::with_hint(ExitCode::Refused, text, hint)
}

/// Refuses what was made of other inputs, or by another version of a stage, than there are now.
fn check_unchanged(
    global: &Global,
    there: &Project,
    graph: &Graph,
    needed: &BTreeSet<TaskId>,
) -> Result<(), Error> {
    let global = Global { force: false, ..global.clone() };
    let plan = make(there, graph, needed, &options(&global, there, false));
    for planned in &plan.tasks {
        if let Some(error) = &planned.error {
            let text = format!("`{}` cannot be computed again: {error}", planned.task);
            return Err(Error::new(error.exit, text));
        }
        // What became of the outputs is no matter here.
        let is_of_outputs = |reason: &&Reason| {
            use Reason::{
                ObjectGone, OutputChanged, OutputMissing, PreviousAttemptFailed, Upstream,
            };
            matches!(
                reason,
                ObjectGone { .. }
                    | OutputChanged { .. }
                    | OutputMissing { .. }
                    | PreviousAttemptFailed { .. }
                    | Upstream { .. }
            )
        };
        let changed: Vec<String> = planned
            .reasons
            .iter()
            .filter(|reason| !is_of_outputs(reason))
            .map(Reason::to_string)
            .collect();
        if !changed.is_empty() {
            let text = format!("`{}` is not up to date: {}", planned.task, changed.join("; "));
            return Err(out_of_date(text));
        }
    }
    Ok(())
}

/// Raw files may have changed while they were read once more.
fn check_same_inputs(recorded: &Manifests, rebuilt: &Manifests) -> Result<(), Error> {
    for (task, manifest) in recorded.iter().filter(|(task, _)| task.stage() == "extract") {
        let now = rebuilt.get(task).map(|manifest| &manifest.ingredients.inputs);
        if now != Some(&manifest.ingredients.inputs) {
            let text = format!("the raw files of `{task}` changed since its manifest was made");
            return Err(out_of_date(text));
        }
    }
    Ok(())
}

/// The folder in which the scratch folder is made.
fn base(args: &VerifyArgs, project: &Project) -> Result<PathBuf, Error> {
    let layout = project.store.layout();
    let Some(given) = &args.scratch else { return Ok(layout.rebuild_dir()) };
    let folder = std::path::absolute(given).unwrap_or_else(|_| given.clone());
    let own = [&layout.raw, &layout.processed, &layout.output, &layout.reports];
    if own.into_iter().any(|own| folder.starts_with(own)) {
        let text = format!("`{}` lies in a folder of raw files or artifacts", folder.display());
        return Err(Error::with_hint(ExitCode::Usage, text, "name another folder"));
    }
    Ok(folder)
}

/// Everything is written once, and sorted and merged on the way.
fn check_room(base: &Path, recorded: &Manifests) -> Result<u64, Error> {
    let outputs = recorded.values().flat_map(|manifest| &manifest.outputs);
    let sizes: BTreeMap<Digest, u64> =
        outputs.map(|output| (output.sha256, output.bytes)).collect();
    let most_bytes = sizes.values().sum::<u64>().saturating_mul(2);
    match Space::of(nearest_folder(base)) {
        Ok(space) if space.free_bytes < most_bytes => {
            let (needs, free) = (output::size(most_bytes), output::size(space.free_bytes));
            let text = format!("needs up to {needs} in `{}`, which has {free}", base.display());
            let hint = "free some disk space, or name a folder elsewhere with `--scratch`";
            Err(Error::with_hint(ExitCode::Temporary, text, hint))
        }
        // A file system that does not tell says so when it is written to.
        _ => Ok(most_bytes),
    }
}

impl Comparison {
    fn task(
        &mut self,
        task: &TaskId,
        (recorded, store): (&Manifest, &Store),
        (rebuilt, scratch): (&Manifest, &Store),
    ) -> Result<(), Error> {
        let mut objects = rebuilt.outputs.iter().filter(|output| !output.published);
        for before in &recorded.outputs {
            let (after, count) = match before.published {
                true => (rebuilt.published(&before.place), &mut self.artifacts),
                // An object's name is its content, so it is known by its place among them.
                false => (objects.next(), &mut self.objects),
            };
            *count += 1;
            if after.is_some_and(|after| after.sha256 == before.sha256) {
                continue;
            }
            let path = store.layout().path(&before.place);
            let is_whole = before.published && store.is(&path, &before.sha256).unwrap_or(false);
            let first_difference = match after.filter(|_| is_whole) {
                Some(after) => first_difference(&path, &scratch.layout().path(&after.place))?,
                None => None,
            };
            self.differences.push(Difference {
                task: task.clone(),
                path,
                published: before.published,
                recorded: Fact::of(before),
                rebuilt: after.map(Fact::of),
                first_difference,
            });
        }
        Ok(())
    }
}

fn words(
    project: &Project,
    comparison: &Comparison,
    tasks: usize,
    seconds: f64,
    as_of: &str,
) -> String {
    let mut text = String::new();
    for difference in &comparison.differences {
        let Difference { task, path, recorded, rebuilt, first_difference, .. } = difference;
        let rows = |fact: &Fact| fact.rows.map(|rows| format!("{rows} rows, ")).unwrap_or_default();
        let fact = |fact: &Fact| {
            let short = fact.sha256.short();
            format!("{}{} bytes, {short}…", rows(fact), fact.bytes)
        };
        let now = rebuilt.as_ref().map_or("nothing".to_owned(), fact);
        text.push_str(&format!("{} of {task} came out otherwise\n", project.short(path)));
        text.push_str(&format!("  recorded: {}\n  now:      {now}\n", fact(recorded)));
        if let Some(first) = first_difference {
            text.push_str(&format!("  {first}\n"));
        }
    }
    for finding in &comparison.damaged {
        text.push_str(&format!("{} {}\n", project.short(&finding.path), finding.trouble));
        text.push_str("  `mp verify --repair` mends what can be mended\n");
    }
    let Comparison { artifacts, objects, differences, damaged } = comparison;
    let how = format!("{tasks} tasks computed again in {seconds:.2}s, as of {as_of}");
    text.push_str(&match differences.len() {
        0 if damaged.is_empty() => {
            format!("the same to the byte: {artifacts} artifacts, {objects} objects; {how}\n")
        }
        0 => format!(
            "{artifacts} artifacts and {objects} objects came out as recorded, but of what is published \
             {} are not; {how}\n",
            damaged.len()
        ),
        count => format!("{count} of {} came out otherwise; {how}\n", artifacts + objects),
    });
    text
}
