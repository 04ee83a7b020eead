//! Is everything what its manifest or its name says? Hashed anew, whatever the memo knows.
//!
//! What a manifest publishes must be there. An object that nothing publishes must be there only while a
//! kept result or the result of a file promises it: older ones were let go (`keep`), and whoever needs
//! one makes it again. After a failed attempt the published names are what either manifest says. A run
//! may be at work meanwhile, so whatever looks wrong in a task's files is looked at again under its lock.
//! Judges; what is done about it is in `mend`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Store;
use super::atomic::Owner;
use super::census::Spot;
use super::error::StoreError;
use super::finding::{Finding, FindingKind, Trouble};
use super::keep::Wait;
use super::layout::Layout;
use super::rehash::{OnBytes, Seen, Stopped, look, look_at_all};
use super::sight::{Documents, Sight};

/// What is to be looked at, and how.
pub struct Scope<'a> {
    /// The folders of all runs that share the store.
    pub homes: &'a [Layout],
    /// Those of them whose artifacts are looked at; `None`: all.
    pub only: Option<&'a Layout>,
    /// These tasks and what they need; `None`: all of them and every object.
    pub tasks: Option<&'a BTreeSet<String>>,
    /// Files that are hashed at the same time.
    pub threads: usize,
    /// How long to wait for a task that another process runs, before its files are judged.
    pub lock_timeout: Duration,
    /// Set from outside when it is to stop.
    pub cancel: &'a AtomicBool,
    /// Hears how far it is.
    pub on_bytes: OnBytes<'a>,
    /// Hears the task and who holds its lock.
    pub on_wait: &'a dyn Fn(&str, &str),
}

/// A task that was set aside and must run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToRun {
    /// The folders that it runs for.
    pub home: Layout,
    pub task: String,
    pub why: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Verification {
    pub artifacts: usize,
    pub objects: usize,
    pub manifests: usize,
    /// Hashed; a file with several names counts once.
    pub bytes: u64,
    /// Objects that a manifest names and that were let go rightly.
    pub not_kept: usize,
    pub findings: Vec<Finding>,
    pub to_run: Vec<ToRun>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("stopped before everything was looked at")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Stopped> for VerifyError {
    fn from(_: Stopped) -> VerifyError {
        VerifyError::Stopped
    }
}

impl From<std::io::Error> for VerifyError {
    fn from(error: std::io::Error) -> VerifyError {
        VerifyError::Store(error.into())
    }
}

/// Of these folders nothing was looked at, unless another note or the configuration names them.
fn damaged_home(path: &Path) -> Finding {
    let detail = "it names folders that the store serves".to_owned();
    let mut finding =
        Finding::of(FindingKind::Home, path, Trouble::Torn { detail }, Vec::new(), None);
    finding.left("run any task with those folders and `--force`: that writes it again");
    finding
}

impl Store {
    /// Looks at everything in scope, and with `repair` mends what can be mended. Without, nothing is
    /// changed but what the memo knows; nothing is either while something of a newer mp is found.
    pub fn verify_all(&self, scope: &Scope<'_>, repair: bool) -> Result<Verification, VerifyError> {
        let on_wait = |holder: &str| (scope.on_wait)("verify", holder);
        let wait = Wait { timeout: scope.lock_timeout, cancel: scope.cancel, on_wait: &on_wait };
        let _in_use = self.in_use_if_there(&wait)?;
        let mut sight = Sight::take(self, scope)?;
        let tasks = sight.tasks();
        let objects = sight.objects()?;
        let paths = sight.published_paths(&tasks).into_iter().chain(objects.values().cloned());
        let (seen, bytes) = look_at_all(paths, scope.threads, scope.cancel, scope.on_bytes)?;
        sight.seen = seen;

        let mut result = Verification {
            artifacts: tasks.values().map(|task| task.artifacts(&sight.census).len()).sum(),
            objects: objects
                .values()
                .filter(|path| sight.seen.get(*path) != Some(&Seen::Missing))
                .count(),
            manifests: tasks.values().map(Documents::count).sum(),
            bytes,
            ..Verification::default()
        };
        let aside = sight.census.aside.iter().map(|aside| (aside.spot.clone(), aside.why.clone()));
        let mut to_run: BTreeMap<Spot, String> = aside.collect();
        for (spot, task) in &tasks {
            let seen = |path: &Path| sight.seen.get(path).cloned().unwrap_or_else(|| look(path));
            if !sight.judge(spot, task, &seen).is_empty() {
                let (findings, aside) = sight.judge_under_lock(spot)?;
                result.findings.extend(findings);
                to_run.extend(aside.map(|why| (spot.clone(), why)));
            }
        }
        result.findings.extend(sight.judge_store(&objects, &mut result.not_kept));
        result.findings.extend(sight.census.newer.iter().map(Finding::newer));
        if scope.tasks.is_none() {
            if repair && !self.damaged_homes()?.is_empty() {
                self.note_homes(scope.homes)?;
            }
            result.findings.extend(self.damaged_homes()?.iter().map(|path| damaged_home(path)));
        }
        for finding in &result.findings {
            // What the memo knows of a damaged file was true once.
            self.memo().forget(&finding.path);
        }
        if repair && sight.census.newer.is_empty() {
            to_run.extend(sight.mend(&mut result.findings)?);
        }
        result.to_run = to_run
            .into_iter()
            .map(|(spot, why)| ToRun {
                home: sight.last_run(&spot).clone(),
                task: spot.task(),
                why,
            })
            .collect();
        Ok(result)
    }

    /// Writes the notes of these folders again where they are damaged or gone.
    fn note_homes(&self, homes: &[Layout]) -> Result<(), StoreError> {
        let owner = Owner::of(self.layout().homes_dir().as_os_str().as_encoded_bytes());
        for home in homes {
            Store::open(home.clone(), self.keep).note_home(&owner)?;
        }
        Ok(())
    }

    /// What is wrong with the published files in scope. Nothing is changed.
    pub fn published_findings(&self, scope: &Scope<'_>) -> Result<Vec<Finding>, VerifyError> {
        let mut sight = Sight::take(self, scope)?;
        let tasks = sight.tasks();
        let paths = sight.published_paths(&tasks);
        sight.seen = look_at_all(paths, scope.threads, scope.cancel, scope.on_bytes)?.0;
        let seen = |path: &Path| sight.seen.get(path).cloned().unwrap_or_else(|| look(path));
        let mut findings = Vec::new();
        for (spot, task) in &tasks {
            if !sight.judge(spot, task, &seen).is_empty() {
                findings.extend(sight.judge_under_lock(spot)?.0);
            }
        }
        findings.retain(|finding| {
            finding.kind == FindingKind::Artifact || matches!(finding.trouble, Trouble::Busy { .. })
        });
        Ok(findings)
    }
}
