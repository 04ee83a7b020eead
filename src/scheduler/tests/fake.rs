//! A project of fake stages: a task's output is its name, its setting and the first line of each input.
//!
//! `extract` keeps its output as an object, all others publish theirs. What comes after the first line of
//! a raw file changes the input but not the output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::dag::{Graph, Spec, StageForm, TaskId, select};
use crate::exit_code::ExitCode;
use crate::progress::{Event, EventSink};
use crate::scheduler::{Options, Plan, RunSummary, Scheduler, TaskState, TriesAsked, Verdict};
use crate::store::{
    Content, Digest, Folder, Ingredients, InputFact, Layout, MODE_READ_ONLY, Manifest, Output,
    Place, Store,
};
use crate::task::{NewOutput, Product, Runner, TaskContext, TaskError, Upstream};

pub const SOURCES: [&str; 2] = ["prints", "taps"];

/// How a task behaves from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Fails(ExitCode),
    /// Fails so often, and then no more.
    FailsFirst(usize, ExitCode),
    /// Fails because of what it was made of.
    FailsOfTheData(ExitCode),
    /// Does nothing until it is stopped.
    Hangs,
    Panics,
    /// Waits until so many tasks run at once, or a second has passed.
    Meets(usize),
    /// Finds its input changed at its last look.
    Disturbed,
    /// Stops when the run is to stop.
    Stops,
}

#[derive(Debug, Default)]
pub struct Records {
    pub ran: Mutex<Vec<String>>,
    pub running: Mutex<BTreeSet<String>>,
    pub most_at_once: Mutex<usize>,
    pub concurrency: Mutex<BTreeMap<String, usize>>,
    pub events: Mutex<Vec<String>>,
}

pub struct Project {
    pub folder: Arc<tempfile::TempDir>,
    pub graph: Graph,
    pub settings: BTreeMap<String, i64>,
    pub behaviour: BTreeMap<String, Behaviour>,
    pub options: Options,
    pub cancel: AtomicBool,
    pub keep: usize,
    pub records: Records,
}

pub fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

impl Project {
    /// The built-in graph with two sources.
    pub fn carousel() -> Project {
        Project::of(&Spec::built_in().unwrap())
    }

    /// A graph of the given stages.
    pub fn with(stages: &str) -> Project {
        let spec = Spec::parse(&format!("version: 1\nname: x\nstages:\n{stages}"), "x").unwrap();
        Project::of(&spec)
    }

    fn of(spec: &Spec) -> Project {
        let graph = Graph::from_spec(spec, &StageForm::as_in(spec), &SOURCES).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("raw")).unwrap();
        let options = Options {
            jobs: 2,
            force: false,
            allow_stale: false,
            cache: true,
            lock_timeout: Duration::from_secs(20),
            keep_going: false,
            tries: TriesAsked { delay: Some(Duration::ZERO), ..TriesAsked::default() },
        };
        let project = Project {
            folder: Arc::new(folder),
            graph,
            settings: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            options,
            cancel: AtomicBool::new(false),
            keep: 3,
            records: Records::default(),
        };
        for task in project.graph.tasks() {
            if project.graph.needs(task).is_empty() {
                project.write_raw(task, "raw\n");
            }
        }
        project
    }

    /// Another process on the same folder.
    pub fn twin(&self) -> Project {
        Project {
            folder: Arc::clone(&self.folder),
            graph: self.graph.clone(),
            settings: self.settings.clone(),
            behaviour: self.behaviour.clone(),
            options: self.options.clone(),
            cancel: AtomicBool::new(false),
            keep: self.keep,
            records: Records::default(),
        }
    }

    pub fn layout(&self) -> Layout {
        let at = |name: &str| self.folder.path().join(name);
        Layout {
            raw: at("raw"),
            processed: at("processed"),
            output: at("output"),
            reports: at("reports"),
            store: at("store"),
        }
    }

    pub fn store(&self) -> Store {
        Store::open(self.layout(), self.keep)
    }

    pub fn raw(&self, task: &TaskId) -> PathBuf {
        self.folder.path().join("raw").join(task.as_str())
    }

    pub fn write_raw(&self, task: &TaskId, text: &str) {
        fs_err::write(self.raw(task), text).unwrap();
    }

    pub fn published(&self, task: &str) -> PathBuf {
        self.layout().path(&place(&id(task)))
    }

    pub fn read(&self, task: &str) -> String {
        fs_err::read_to_string(self.published(task)).unwrap()
    }

    pub fn manifest(&self, task: &str) -> Option<Arc<Manifest>> {
        let task = id(task);
        self.store().manifest(task.stage(), task.source()).unwrap().good()
    }

    fn scheduled<T>(&self, selectors: &[&str], go: impl FnOnce(&Scheduler<'_>) -> T) -> T {
        let selection = select(&self.graph, selectors).unwrap();
        go(&Scheduler {
            graph: &self.graph,
            store: &self.store(),
            runner: self,
            selection: &selection,
            options: &self.options,
            events: self,
            cancel: &self.cancel,
        })
    }

    pub fn run(&self, selectors: &[&str]) -> RunSummary {
        self.records.ran.lock().unwrap().clear();
        self.records.events.lock().unwrap().clear();
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "a path is not general enough"
        )]
        self.scheduled(selectors, |scheduler| scheduler.run())
    }

    pub fn plan(&self, selectors: &[&str]) -> Plan {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "a path is not general enough"
        )]
        self.scheduled(selectors, |scheduler| scheduler.plan())
    }

    /// A plan in one line for each task that is not up to date.
    pub fn why(&self, selectors: &[&str]) -> Vec<String> {
        let plan = self.plan(selectors);
        let dirty = plan.tasks.iter().filter(|task| task.verdict != Verdict::UpToDate);
        dirty
            .map(|task| {
                let reasons: Vec<String> = task.reasons.iter().map(ToString::to_string).collect();
                let unless = if task.certain { "" } else { ", unless its input is the same" };
                let (verdict, reasons) = (task.verdict, reasons.join("; "));
                format!("{} {verdict:?}: {reasons}{unless}", task.task)
            })
            .collect()
    }

    /// The tasks that were really computed since the last run began, in the order in which they began.
    pub fn ran(&self) -> Vec<String> {
        self.records.ran.lock().unwrap().clone()
    }

    /// How often a task was tried since the last run began.
    pub fn tries(&self, task: &str) -> usize {
        self.records.ran.lock().unwrap().iter().filter(|ran| *ran == task).count()
    }

    /// The events since the last run began, without what no two runs share.
    pub fn events(&self) -> Vec<String> {
        let events = self.records.events.lock().unwrap();
        let seconds = |event: &String| match event.split_once("seconds: ") {
            Some((before, after)) => {
                let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                format!("{before}seconds: _{rest}")
            }
            None => event.clone(),
        };
        events.iter().map(seconds).collect()
    }

    /// What a task reads: the name, the content's fact and the file.
    fn inputs(
        &self,
        task: &TaskId,
        upstream: &Upstream,
    ) -> Result<Vec<(String, InputFact, PathBuf)>, TaskError> {
        if self.graph.needs(task).is_empty() {
            let path = self.raw(task);
            let read = fs_err::read(&path);
            let bytes = read.map_err(|error| TaskError::new(ExitCode::Input, error.to_string()))?;
            let fact = InputFact { sha256: Digest::of_bytes(&bytes), bytes: bytes.len() as u64 };
            return Ok(vec![(task.to_string(), fact, path)]);
        }
        let layout = self.layout();
        let mut inputs = Vec::new();
        for (need, manifest) in upstream.iter().filter(|(need, _)| reads(task, need)) {
            for Output { place, sha256, bytes, .. } in &manifest.outputs {
                let fact = InputFact { sha256: *sha256, bytes: *bytes };
                inputs.push((need.to_string(), fact, layout.path(place)));
            }
        }
        Ok(inputs)
    }

    fn list(&self, task: &TaskId, inputs: &[(String, InputFact, PathBuf)]) -> Ingredients {
        let mut ingredients = Ingredients { stage_version: 1, ..Ingredients::default() };
        let setting = self.settings.get(task.stage()).copied().unwrap_or_default();
        ingredients.settings.insert("setting".to_owned(), json!(setting));
        let facts = inputs.iter().map(|(name, fact, _)| (name.clone(), *fact));
        ingredients.inputs = facts.collect();
        ingredients
    }

    fn behave(&self, context: &TaskContext<'_>) -> Result<(), TaskError> {
        match self.behaviour.get(context.task.as_str()) {
            Some(Behaviour::Fails(exit)) => Err(TaskError::new(*exit, "made to fail")),
            Some(Behaviour::FailsFirst(times, exit)) => {
                match self.tries(context.task.as_str()) <= *times {
                    true => Err(TaskError::new(*exit, "made to fail at first")),
                    false => Ok(()),
                }
            }
            Some(Behaviour::Hangs) => loop {
                context.check_cancelled()?;
                thread::sleep(Duration::from_millis(1));
            },
            Some(Behaviour::Panics) => panic!("made to panic"),
            Some(Behaviour::Meets(number)) => {
                for _ in 0..200 {
                    if self.records.running.lock().unwrap().len() >= *number {
                        break;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                thread::sleep(Duration::from_millis(20));
                Ok(())
            }
            Some(Behaviour::Stops) => {
                self.cancel.store(true, Ordering::Relaxed);
                context.check_cancelled()
            }
            Some(Behaviour::Disturbed | Behaviour::FailsOfTheData(_)) | None => Ok(()),
        }
    }
}

/// A task that runs until this is dropped, be it by a panic.
struct Running<'p> {
    project: &'p Project,
    name: &'p str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.project.records.running.lock().unwrap().remove(self.name);
    }
}

pub fn place(task: &TaskId) -> Place {
    let folder = match task.stage() {
        "features" => Folder::Output,
        "quality" => Folder::Reports,
        _ => Folder::Processed,
    };
    Place { folder, path: format!("{task}.txt") }
}

/// `quality` looks at the facts of `extract` alone.
pub fn reads(task: &TaskId, need: &TaskId) -> bool {
    (task.stage(), need.stage()) != ("quality", "extract")
}

impl Runner for Project {
    fn ingredients(
        &self,
        task: &TaskId,
        _previous: Option<&Manifest>,
        upstream: &Upstream,
    ) -> Result<Ingredients, TaskError> {
        Ok(self.list(task, &self.inputs(task, upstream)?))
    }

    fn reads_objects(&self, task: &TaskId, need: &TaskId) -> bool {
        reads(task, need)
    }

    fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let task = context.task;
        let name = task.to_string();
        self.records.ran.lock().unwrap().push(name.clone());
        self.records.concurrency.lock().unwrap().insert(name.clone(), context.concurrency);
        {
            let mut running = self.records.running.lock().unwrap();
            running.insert(name.clone());
            let mut most = self.records.most_at_once.lock().unwrap();
            *most = running.len().max(*most);
        }
        {
            let _running = Running { project: self, name: &name };
            self.behave(context)?;
        }
        let inputs = self.inputs(task, context.upstream)?;
        if let Some(Behaviour::FailsOfTheData(exit)) = self.behaviour.get(&name) {
            let mut error = TaskError::new(*exit, "made to fail by the data").hint("look at it");
            error.leaves.ingredients = Some(self.list(task, &inputs));
            return Err(error);
        }
        let setting = self.settings.get(task.stage()).copied().unwrap_or_default();
        let mut text = format!("{task}={setting}");
        for (_, _, path) in &inputs {
            let input = fs_err::read_to_string(path)?;
            text += &format!("({})", input.lines().next().unwrap_or_default());
        }
        text += "\n";
        let mut staged = context.stage(MODE_READ_ONLY)?;
        staged.write_all(text.as_bytes())?;
        let mut scratch = context.scratch()?;
        scratch.file_mut().write_all(b"scratch")?;
        let publish = (task.stage() != "extract").then(|| place(task));
        let output = NewOutput {
            content: Content::New(staged.finish()?),
            publish,
            mode: MODE_READ_ONLY,
            rows: Some(1),
            schema: None,
        };
        let mut product = Product {
            ingredients: self.list(task, &inputs),
            outputs: vec![output],
            ..Product::default()
        };
        product.counts.insert("rows".to_owned(), json!(1));
        if self.behaviour.get(&name) == Some(&Behaviour::Disturbed) {
            product.verify = Some(Box::new(|| {
                Err(TaskError::new(ExitCode::Input, "the input changed while it was read"))
            }));
        }
        Ok(product)
    }
}

impl EventSink for Project {
    fn event(&self, event: &Event<'_>) {
        let text = format!("{event:?}");
        self.records.events.lock().unwrap().push(text);
    }
}

/// How each task ended: `features=Done`.
pub fn states(summary: &RunSummary) -> Vec<String> {
    summary.tasks.iter().map(|task| format!("{}={:?}", task.task, task.state)).collect()
}

pub fn all(summary: &RunSummary, state: TaskState) -> bool {
    summary.count(state) == summary.tasks.len()
}

/// Every file with its content and mtime, but for locks that say who held them last.
pub fn snapshot(project: &Project) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    fn walk(
        folder: &std::path::Path,
        found: &mut BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>,
    ) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
            if path.is_dir() {
                found.insert(path.clone(), (Vec::new(), modified));
                walk(&path, found);
            } else {
                found.insert(path.clone(), (fs_err::read(&path).unwrap(), modified));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(project.folder.path(), &mut found);
    found
}
