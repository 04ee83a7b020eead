//! `mp explain`: every ingredient of a task, then and now, where it comes from, and what follows.
//!
//! The same words as `plan`, which it asks; here they are only laid out.

use std::sync::atomic::AtomicBool;

use clap::Args;
use serde_json::{Value, json};

use super::global::Global;
use super::output;
use super::plan_command::lines;
use super::project::Project;
use super::run_command::{options, selected};
use super::runs_command::tell_skipped;
use crate::dag::{Graph, TaskId};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::find;
use crate::progress::Silent;
use crate::scheduler::{
    Cached, Explanation, Ingredient, IngredientKind, PlannedTask, Scheduler, Then, Verdict,
};
use crate::store::{MadeBy, RunRecord};

/// So many ingredients that are the same are shown to people; `--json` has all.
const SHOWN_SAME: usize = 40;
/// So many that differ.
const SHOWN_DIFFERENT: usize = 100;
/// As much of a hash as tells two apart.
const SHORT_HASH: usize = 12;

/// Arguments of `mp explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// One task, such as features or extract.prints
    task: String,
    /// Compare with what the task was made of in that run, and not with the result in force: the id
    /// of a run, the beginning of one, `latest`, or `latest~1` for the run before
    #[arg(long, value_name = "RUN")]
    against: Option<String>,
}

/// Explains a task.
pub(super) fn explain(global: &Global, args: &ExplainArgs) -> Result<ExitCode, Error> {
    let project = Project::load(global)?;
    let graph = project.graph()?;
    let task = one_task(&graph, &args.task)?;
    let against =
        args.against.as_ref().map(|run| then(global, &project, &task, run)).transpose()?;
    let scheduler = Scheduler {
        graph: &graph,
        store: &project.store,
        runner: &project.stages(),
        selection: &selected(&graph, &[])?,
        options: &options(global, &project, false),
        events: &Silent,
        cancel: &AtomicBool::new(false),
    };
    let Some(explanation) = scheduler.explain(&task, against) else {
        return Err(Error::new(ExitCode::Internal, format!("`{task}` is in no plan")));
    };
    // The facts that were learnt about files spare the next command the hashing.
    project.store.memo().save()?;
    if global.json {
        output::document("explain", document(&project, &explanation))?;
    } else {
        output::text(&text(&project, &explanation, !global.no_cache))?;
    }
    Ok(ExitCode::Success)
}

fn one_task(graph: &Graph, name: &str) -> Result<TaskId, Error> {
    let tasks = selected(graph, &[name.to_owned()])?;
    let mut tasks = tasks.into_iter();
    match (tasks.next(), tasks.len()) {
        (Some(task), 0) => Ok(task),
        (first, others) => {
            let all: Vec<String> =
                first.into_iter().chain(tasks).map(|task| format!("`{task}`")).collect();
            let text =
                format!("`{name}` names {} tasks, and one is explained at a time", others + 1);
            Err(Error::with_hint(ExitCode::Usage, text, format!("choose of {}", all.join(", "))))
        }
    }
}

/// What a task was made of in a run that is recorded, or whose result is still there.
fn then(global: &Global, project: &Project, task: &TaskId, run: &str) -> Result<Then, Error> {
    let mut skipped = Vec::new();
    let found = find(&project.store.history(), run, &mut skipped);
    tell_skipped(global, project, &skipped);
    let record = match found {
        Ok(record) => record,
        Err(error) => {
            let results = project.store.results(task.stage(), task.source())?;
            let mut fit = results.into_iter().filter(|result| result.run.id.starts_with(run));
            return match (fit.next(), fit.next()) {
                (Some(one), None) => Ok(Then::of(&one)),
                _ => Err(error.into()),
            };
        }
    };
    let RunRecord { run, ended_at, started_at, tasks, .. } = record;
    let found = tasks.into_iter().find(|one| one.task == task.as_str());
    // Without its inputs a list is none.
    let found = found.filter(|one| one.inputs_in.is_none()).and_then(|one| one.ingredients);
    let Some(ingredients) = found else {
        let text = format!("run `{run}` does not tell what `{task}` was made of");
        return Err(Error::with_hint(ExitCode::Usage, text, format!("see `mp show {run}`")));
    };
    let made_by = MadeBy { run_id: run, ended_at: ended_at.unwrap_or(started_at) };
    Ok(Then { made_by, ingredients })
}

/// Where the value that an ingredient has now comes from, as far as that is a matter of settings or of mp.
fn origin(project: &Project, ingredient: &Ingredient) -> Option<String> {
    ingredient.new.as_ref()?;
    let key = match ingredient.kind {
        IngredientKind::StageVersion => return Some(format!("mp {}", env!("CARGO_PKG_VERSION"))),
        IngredientKind::Setting => ingredient.name.as_str(),
        IngredientKind::AsOf => "validation.as_of",
        IngredientKind::Input => return None,
    };
    let origin = project.loaded.origins.get(key)?.to_string();
    let is_today = key == "validation.as_of" && origin == "default";
    Some(if is_today { "the current date".to_owned() } else { origin })
}

fn document(project: &Project, explanation: &Explanation) -> Value {
    let mut facts = json!(explanation);
    facts["as_of"] = project.config().as_of().to_string().into();
    facts["why"] = explanation.planned.why().into();
    for (at, ingredient) in explanation.ingredients.iter().enumerate() {
        facts["ingredients"][at]["origin"] = origin(project, ingredient).into();
    }
    for (at, planned) in explanation.dependents.iter().enumerate() {
        facts["dependents"][at]["why"] = planned.why().into();
    }
    facts
}

fn text(project: &Project, explanation: &Explanation, cache: bool) -> String {
    let planned = &explanation.planned;
    let mut text = lines(planned, planned.task.as_str().len());
    text.push('\n');
    let none = "none yet".to_owned();
    let result = explanation.result.as_ref().map_or(none, ToString::to_string);
    text.push_str(&format!("result in force: {result}\n"));
    // The end of the task and that of its run are two times of one thing.
    let run_of = |made: &Option<MadeBy>| made.as_ref().map(|made| made.run_id.clone());
    if let Some(against) = explanation.against.as_ref()
        && run_of(&explanation.against) != run_of(&explanation.result)
    {
        text.push_str(&format!("compared with:   {against}\n"));
    }
    text.push_str(&format!("kept result:     {}\n\n", kept(explanation, cache)));
    text.push_str(&table(project, &explanation.ingredients));
    text.push_str(&follows(explanation));
    text
}

/// Whether the result need not be computed.
fn kept(explanation: &Explanation, cache: bool) -> String {
    match &explanation.kept {
        Cached::Kept(made) if cache => format!("of these ingredients, from {made}"),
        Cached::Kept(made) => format!("of these ingredients, from {made}; not used: `--no-cache`"),
        Cached::NotKept => "none of these ingredients".to_owned(),
        Cached::Unknown { before } if before.is_empty() => {
            "unknown: the ingredients cannot be had".to_owned()
        }
        Cached::Unknown { before } => format!("unknown before {} ran", names(before)),
    }
}

/// One line for each ingredient; `≠` marks those that differ.
fn table(project: &Project, ingredients: &[Ingredient]) -> String {
    if ingredients.is_empty() {
        return "the ingredients cannot be had\n".to_owned();
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["", "ingredient", "value", "from"]);
    let (different, same): (Vec<_>, Vec<_>) =
        ingredients.iter().partition(|ingredient| ingredient.differs);
    let mut left_out = 0;
    for (list, shown) in [(different, SHOWN_DIFFERENT), (same, SHOWN_SAME)] {
        left_out += list.len().saturating_sub(shown);
        for ingredient in list.into_iter().take(shown) {
            table.add_row([
                (if ingredient.differs { "≠" } else { "" }).to_owned(),
                ingredient.name.clone(),
                value(ingredient),
                origin(project, ingredient).unwrap_or_default(),
            ]);
        }
    }
    let mut text = format!("{}\n", table.trim_fmt());
    if left_out > 0 {
        text.push_str(&format!("   and {left_out} more, with `--json`\n"));
    }
    text
}

/// `21 → 14`, or the one value there is.
fn value(ingredient: &Ingredient) -> String {
    let shown = |value: &Option<Value>| match (value, ingredient.kind) {
        (None, IngredientKind::Setting) => "unset".to_owned(),
        (None, IngredientKind::AsOf) => "does not matter".to_owned(),
        (None, _) => "none".to_owned(),
        (Some(Value::String(text)), _) => text.clone(),
        (Some(fact), IngredientKind::Input) => match fact["sha256"].as_str() {
            Some(sha256) => {
                format!("{} ({} bytes)", &sha256[..SHORT_HASH.min(sha256.len())], fact["bytes"])
            }
            None => format!("not read yet ({} bytes)", fact["bytes"]),
        },
        (Some(value), _) => value.to_string(),
    };
    let Ingredient { old, new, .. } = ingredient;
    match (old, new) {
        _ if ingredient.differs => format!("{} → {}", shown(old), shown(new)),
        (old, None) => shown(old),
        (_, new) => shown(new),
    }
}

/// What becomes of the tasks that need this one, and that the others need not care.
fn follows(explanation: &Explanation) -> String {
    let task = &explanation.planned.task;
    let (dependents, independent) = (&explanation.dependents, &explanation.independent);
    let mut text = String::new();
    if !dependents.is_empty() {
        text.push_str(&format!("\nneed `{task}`:\n"));
        let width = dependents.iter().map(|task| task.task.as_str().len()).max().unwrap_or(0);
        let indented = |planned: &PlannedTask| {
            let mut text = String::new();
            for line in lines(planned, width).lines() {
                text.push_str(&format!("   {line}"));
                if planned.verdict == Verdict::UpToDate {
                    text.push_str("  nothing that it reads is another");
                }
                text.push('\n');
            }
            text
        };
        text.extend(dependents.iter().map(indented));
    }
    if !independent.is_empty() {
        text.push_str(&format!("\ndo not need `{task}`: {}\n", names(independent)));
    }
    text
}

fn names(tasks: &[TaskId]) -> String {
    tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ")
}
