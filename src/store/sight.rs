//! Who wants what, and what is wrong with it: manifests, kept results and names against what is in files.
//!
//! Judges, for `verify` which looks at everything and for `mend` which looks again before it acts. Changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Store;
use super::census::{Census, Kept, Named, Read, Spot, read_manifest};
use super::digest::Digest;
use super::error::StoreError;
use super::finding::{Finding, FindingKind, Trouble};
use super::layout::{Layout, Place};
use super::lock::{KeptOut, Lock, LockError};
use super::manifest::Output;
use super::parsed::{folders, list};
use super::rehash::{FileSeen, Seen, look};
use super::staged::{MODE_PRIVATE, MODE_READ_ONLY};
use super::verify::{Scope, VerifyError};

/// Who wants an object.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub by: BTreeSet<String>,
    pub modes: BTreeSet<u32>,
    /// The records that promise it.
    pub promised_by: Vec<PathBuf>,
}

/// A task's own documents.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub good: Option<Named>,
    pub failed: Option<Named>,
    /// Why either cannot be read: the last good manifest, that of the failed attempt.
    pub torn: Option<(PathBuf, String)>,
    pub torn_failed: Option<(PathBuf, String)>,
    /// Why the good manifest was set aside.
    pub aside: Option<String>,
    /// Something of a good result is published, and no manifest tells of it.
    pub is_lost: bool,
}

/// A published name and the contents that it may rightly have.
#[derive(Debug)]
pub(super) struct Artifact {
    pub place: Place,
    pub outputs: Vec<Output>,
    /// A failed attempt took it away.
    pub may_be_missing: bool,
}

/// All that was read, for the judgement and for the remedies.
pub(super) struct Sight<'a> {
    pub store: &'a Store,
    pub scope: &'a Scope<'a>,
    pub census: Census,
    pub wanted: BTreeMap<Digest, Wanted>,
    /// Where each content is published, by whomever: each a copy, if it is whole.
    pub published: BTreeMap<Digest, Vec<PathBuf>>,
    pub seen: BTreeMap<PathBuf, Seen>,
}

impl Documents {
    pub fn count(&self) -> usize {
        [
            self.good.is_some(),
            self.failed.is_some(),
            self.torn.is_some(),
            self.torn_failed.is_some(),
        ]
        .into_iter()
        .filter(|there| *there)
        .count()
    }

    /// The kept copy of the good manifest, if the two tell different things of the same run.
    pub fn edited<'c>(&self, census: &'c Census) -> Option<&'c Kept> {
        let good = self.good.as_ref()?;
        let kept = census.kept(&good.manifest)?;
        (kept.manifest.run.id == good.manifest.run.id && kept.digest != good.digest).then_some(kept)
    }

    /// What should be published.
    pub fn artifacts(&self, census: &Census) -> Vec<Artifact> {
        let truth = self.edited(census).map(|kept| &kept.manifest);
        let good = truth.or(self.good.as_ref().map(|good| &good.manifest));
        let failed = self.failed.as_ref().map(|failed| &failed.manifest);
        let mut artifacts = Vec::<Artifact>::new();
        let outputs = [good, failed].into_iter().flatten().flat_map(|manifest| &manifest.outputs);
        for output in outputs.filter(|output| output.published) {
            match artifacts.iter_mut().find(|artifact| artifact.place == output.place) {
                Some(artifact) => artifact.outputs.push(output.clone()),
                None => artifacts.push(Artifact {
                    place: output.place.clone(),
                    outputs: vec![output.clone()],
                    // A shut gate removes it, and no manifest says so.
                    may_be_missing: failed.is_some() && output.place == Place::success(),
                }),
            }
        }
        artifacts
    }
}

impl<'a> Sight<'a> {
    /// Reads all that is to be judged by; nothing is looked at yet.
    pub fn take(store: &'a Store, scope: &'a Scope<'a>) -> Result<Sight<'a>, StoreError> {
        let census = Census::take(store, scope.homes)?;
        let (wanted, published, seen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut sight = Sight { store, scope, census, wanted, published, seen };
        sight.published = sight.where_published();
        sight.restrict_to_tasks();
        sight.wanted = sight.who_wants_what();
        sight.restrict_to_home();
        Ok(sight)
    }

    pub fn home(&self, spot: &Spot) -> &Layout {
        self.scope.homes.get(spot.home).unwrap_or(self.store.layout())
    }

    /// The homes of which a manifest may be: several where they share its folder.
    pub fn sharing(&self, spot: &Spot) -> Vec<&Layout> {
        let own = self.home(spot);
        let folder = own.home(&spot.stage).as_os_str();
        let others =
            self.scope.homes.iter().filter(|it| it.home(&spot.stage).as_os_str() == folder);
        let mut homes = vec![own];
        homes.extend(others.filter(|other| *other != own));
        homes
    }

    /// Of the homes of which a manifest may be the one that was asked for or that has the newest Gold.
    pub fn last_run(&self, spot: &Spot) -> &Layout {
        let homes = self.sharing(spot);
        let asked = homes.iter().find(|home| self.scope.only == Some(**home));
        let newest = |home: &&&Layout| match features(home) {
            Some(Read::Good(manifest, _)) => Some(manifest.run.id),
            _ => None,
        };
        let only = (homes.len() == 1).then(|| self.home(spot));
        let last = || homes.iter().max_by_key(newest);
        only.or(asked.copied()).or_else(|| last().copied()).unwrap_or(self.home(spot))
    }

    /// The homes in which an artifact may be, each folder once.
    fn whereabouts(&self, spot: &Spot, place: &Place) -> Vec<&Layout> {
        let own = self.home(spot);
        if own.folder(place.folder) == own.home(&spot.stage) {
            return vec![own];
        }
        let mut folders = BTreeSet::new();
        let mut homes = self.sharing(spot);
        homes.retain(|home| folders.insert(home.folder(place.folder).as_os_str()));
        homes
    }

    /// The home in which an artifact should be. Of several that share its manifest it is the one where it
    /// fits, else those whose Gold the manifest was made of: the last run of all of them left it, and what
    /// the others published is no longer told of.
    pub fn possible(
        &self,
        spot: &Spot,
        task: &Documents,
        artifact: &Artifact,
        seen: &dyn Fn(&Path) -> Seen,
    ) -> Vec<&Layout> {
        let mut homes = self.whereabouts(spot, &artifact.place);
        if homes.len() < 2 {
            return homes;
        }
        let fits = |home: &&Layout| {
            self.trouble(home, artifact, &seen(&home.path(&artifact.place))).is_none()
        };
        if let Some(fitting) = homes.iter().copied().find(|home| fits(home)) {
            return vec![fitting];
        }
        let inputs = task.good.iter().flat_map(|good| good.manifest.ingredients.inputs.values());
        let inputs: BTreeSet<Digest> = inputs.map(|input| input.sha256).collect();
        homes.retain(|home| {
            matches!(features(home), Some(Read::Good(manifest, _))
            if manifest.published(&Place::gold()).is_some_and(|gold| inputs.contains(&gold.sha256)))
        });
        homes
    }

    /// What is wrong with an artifact in the folders of a home.
    fn trouble(&self, home: &Layout, artifact: &Artifact, seen: &Seen) -> Option<Trouble> {
        let trouble = artifact_trouble(artifact, seen)?;
        // It went with the Gold that it vouched for, and comes back with it.
        let went = trouble == Trouble::Missing
            && artifact.place == Place::success()
            && matches!(features(home), Some(Read::Aside(_)));
        (!went).then_some(trouble)
    }

    fn where_published(&self) -> BTreeMap<Digest, Vec<PathBuf>> {
        let mut published = BTreeMap::<Digest, Vec<PathBuf>>::new();
        for named in &self.census.manifests {
            for output in named.manifest.outputs.iter().filter(|output| output.published) {
                let homes = self.whereabouts(&named.spot, &output.place);
                let paths = homes.into_iter().map(|home| home.path(&output.place));
                published.entry(output.sha256).or_default().extend(paths);
            }
        }
        published
    }

    /// Leaves out what belongs to other folders than those asked for.
    fn restrict_to_home(&mut self) {
        let Some(only) = self.scope.only else { return };
        let is_theirs = |spot: &Spot| self.sharing(spot).contains(&only);
        let manifests = self.census.manifests.iter().map(|it| is_theirs(&it.spot)).collect();
        let aside = self.census.aside.iter().map(|it| is_theirs(&it.spot)).collect();
        let torn = self.census.torn.iter();
        let torn = torn.map(|it| it.of.as_ref().is_none_or(|(spot, _)| is_theirs(spot))).collect();
        retain(&mut self.census.manifests, manifests);
        retain(&mut self.census.aside, aside);
        retain(&mut self.census.torn, torn);
    }

    /// Leaves out what belongs to other tasks than those asked for.
    fn restrict_to_tasks(&mut self) {
        let Some(tasks) = self.scope.tasks else { return };
        let census = &mut self.census;
        census.manifests.retain(|named| tasks.contains(&named.spot.task()));
        census.results.retain(|kept| tasks.contains(&kept.manifest.task()));
        census.files.retain(|file| tasks.contains(&format!("extract.{}", file.source)));
        census.torn.retain(|torn| tasks.contains(&torn.below));
        census.aside.retain(|aside| tasks.contains(&aside.spot.task()));
    }

    fn who_wants_what(&self) -> BTreeMap<Digest, Wanted> {
        let mut wanted = BTreeMap::<Digest, Wanted>::new();
        let mut add = |digest: Digest, by: String, mode: Option<u32>, promise: Option<&PathBuf>| {
            let entry = wanted.entry(digest).or_default();
            entry.by.insert(by);
            entry.modes.extend(mode);
            entry.promised_by.extend(promise.cloned());
        };
        for named in &self.census.manifests {
            let task = named.spot.task();
            for output in &named.manifest.outputs {
                let by = match output.published {
                    true => format!("{task}: {}", output.place),
                    false => task.clone(),
                };
                add(output.sha256, by, Some(output.mode), None);
            }
        }
        for kept in &self.census.results {
            let by = format!("the kept result of {}", kept.manifest.task());
            for output in &kept.manifest.outputs {
                add(output.sha256, by.clone(), Some(output.mode), Some(&kept.path));
            }
        }
        for file in &self.census.files {
            let by = format!("the kept result of a file of {}", file.source);
            for digest in &file.objects {
                add(*digest, by.clone(), None, Some(&file.path));
            }
        }
        wanted
    }

    pub fn tasks(&self) -> BTreeMap<Spot, Documents> {
        let mut tasks = BTreeMap::<Spot, Documents>::new();
        for named in &self.census.manifests {
            let task = tasks.entry(named.spot.clone()).or_default();
            let place = if named.failed { &mut task.failed } else { &mut task.good };
            *place = Some(named.clone());
        }
        for torn in &self.census.torn {
            if let Some((spot, failed)) = &torn.of {
                let task = tasks.entry(spot.clone()).or_default();
                let place = if *failed { &mut task.torn_failed } else { &mut task.torn };
                *place = Some((torn.path.clone(), torn.why.clone()));
            }
        }
        self.find_lost(&mut tasks);
        tasks
    }

    /// Adds the tasks whose manifest is gone.
    fn find_lost(&self, tasks: &mut BTreeMap<Spot, Documents>) {
        let known =
            self.census.results.iter().map(|kept| (&kept.manifest.stage, &kept.manifest.source));
        let known: BTreeSet<(&String, &Option<String>)> = known.collect();
        let mut asked = BTreeSet::new();
        for (at, home) in self.scope.homes.iter().enumerate() {
            for (stage, source) in &known {
                let path = home.manifest(stage, source.as_deref());
                let is_in_scope = self.scope.only.is_none_or(|only| only == home);
                if !is_in_scope || path.symlink_metadata().is_ok() || !asked.insert(path) {
                    continue;
                }
                let (stage, source) = ((*stage).clone(), (*source).clone());
                let spot = Spot { home: at, stage, source };
                if self.is_lost(&spot, tasks.get(&spot).unwrap_or(&Documents::default())) {
                    tasks.entry(spot).or_default().is_lost = true;
                }
            }
        }
    }

    /// Is anything there that a good result of the task publishes, and only a good one? As long as a
    /// result is kept, its names are known.
    fn is_lost(&self, spot: &Spot, task: &Documents) -> bool {
        if task.good.is_some() || task.torn.is_some() || task.torn_failed.is_some() {
            return false;
        }
        let home = self.home(spot);
        let failed = task.failed.as_ref().map(|failed| &failed.manifest);
        let results = self.census.results.iter().map(|kept| &kept.manifest);
        let of_task = results.filter(|it| (&it.stage, &it.source) == (&spot.stage, &spot.source));
        let places = of_task.flat_map(|it| &it.outputs).filter(|output| output.published);
        let own: BTreeSet<&Place> = places
            .map(|output| &output.place)
            .filter(|place| home.folder(place.folder) == home.home(&spot.stage))
            .filter(|place| failed.is_none_or(|failed| failed.published(place).is_none()))
            .collect();
        own.into_iter().any(|place| home.path(place).symlink_metadata().is_ok())
    }

    /// Every object that is there or should be, as far as it is in scope.
    pub fn objects(&self) -> Result<BTreeMap<Digest, PathBuf>, StoreError> {
        let layout = self.store.layout();
        let mut objects: BTreeMap<Digest, PathBuf> =
            self.wanted.keys().map(|digest| (*digest, layout.object(digest))).collect();
        if self.scope.tasks.is_none() {
            for folder in folders(&layout.objects_dir())? {
                for path in list(&folder)? {
                    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    if let Ok(digest) = name.parse::<Digest>() {
                        objects.entry(digest).or_insert(path);
                    }
                }
            }
        }
        Ok(objects)
    }

    /// What is wrong with the documents and the published files of a task.
    pub fn judge(
        &self,
        spot: &Spot,
        task: &Documents,
        seen: &dyn Fn(&Path) -> Seen,
    ) -> Vec<Finding> {
        let finding = |kind, path: &Path, trouble| {
            Finding::of(kind, path, trouble, vec![spot.task()], Some(spot.clone()))
        };
        let mut findings = Vec::new();
        if task.is_lost {
            let (stage, source) = spot.key();
            let path = self.home(spot).manifest(stage, source);
            findings.push(finding(FindingKind::Manifest, &path, Trouble::Missing));
        }
        for (path, why) in [&task.torn, &task.torn_failed].into_iter().flatten() {
            let trouble = Trouble::Torn { detail: why.clone() };
            findings.push(finding(FindingKind::Manifest, path, trouble));
        }
        if let (Some(kept), Some(good)) = (task.edited(&self.census), &task.good) {
            let name = kept.path.file_name().unwrap_or_default().to_string_lossy();
            let detail =
                format!("the copy that its run kept, results/{}/{name}, differs", spot.task());
            let trouble = Trouble::Edited { detail };
            findings.push(finding(FindingKind::Manifest, &good.path, trouble));
        }
        for artifact in task.artifacts(&self.census) {
            // Where nobody can tell which of several it is, the first stands for all.
            let homes = self.possible(spot, task, &artifact, seen);
            let Some(home) = homes.first() else { continue };
            let path = home.path(&artifact.place);
            if let Some(trouble) = self.trouble(home, &artifact, &seen(&path)) {
                findings.push(finding(FindingKind::Artifact, &path, trouble));
            }
        }
        findings
    }

    /// Reads the documents of a task again and judges its files as they are now, with nobody at work.
    /// With the findings the reason why the task must run again, if its manifest was set aside by now.
    pub fn judge_under_lock(
        &self,
        spot: &Spot,
    ) -> Result<(Vec<Finding>, Option<String>), VerifyError> {
        let lock = match self.nobody_at_work(spot) {
            Ok(lock) => lock,
            Err(LockError::Cancelled { .. }) => return Err(VerifyError::Stopped),
            Err(held @ LockError::Held { .. }) => {
                let (stage, source) = spot.key();
                let path = self.home(spot).manifest(stage, source);
                let trouble = Trouble::Busy { detail: held.to_string() };
                let (kind, by) = (FindingKind::Manifest, vec![spot.task()]);
                let finding = Finding::of(kind, &path, trouble, by, Some(spot.clone()));
                return Ok((vec![finding], None));
            }
            // Where there are no locks, nobody can be asked.
            Err(LockError::Store(_)) => None,
        };
        let documents = self.documents(spot)?;
        let findings = self.judge(spot, &documents, &look);
        drop(lock);
        Ok((findings, documents.aside))
    }

    /// Waits until nobody works on a task, and keeps it so. Where there is no lock nobody ever did.
    fn nobody_at_work(&self, spot: &Spot) -> Result<Option<KeptOut>, LockError> {
        let (stage, source) = spot.key();
        let path = self.home(spot).lock_file(stage, source);
        if !path.exists() {
            return Ok(None);
        }
        let task = spot.task();
        let mut on_wait = |holder: &str| (self.scope.on_wait)(&task, holder);
        let (timeout, cancel) = (self.scope.lock_timeout, self.scope.cancel);
        Lock::keep_others_out(&path, timeout, cancel, &mut on_wait).map(Some)
    }

    /// The documents of a task as they are now.
    pub fn documents(&self, spot: &Spot) -> Result<Documents, StoreError> {
        let (stage, source) = spot.key();
        let home = self.home(spot);
        let mut task = Documents::default();
        for failed in [false, true] {
            let path = match failed {
                false => home.manifest(stage, source),
                true => home.failed_manifest(stage, source),
            };
            match read_manifest(&path, &spot.task(), failed)? {
                None => {}
                Some(Read::Aside(why)) => task.aside = Some(why),
                Some(Read::Newer(error)) => return Err(error),
                Some(Read::Torn(why)) => {
                    let place = if failed { &mut task.torn_failed } else { &mut task.torn };
                    *place = Some((path, why));
                }
                Some(Read::Good(manifest, digest)) => {
                    let (spot, manifest) = (spot.clone(), *manifest);
                    let place = if failed { &mut task.failed } else { &mut task.good };
                    *place = Some(Named { spot, failed, path, digest, manifest });
                }
            }
        }
        task.is_lost = task.aside.is_none() && self.is_lost(spot, &task);
        Ok(task)
    }

    /// Every path at which something of these tasks is or may be published.
    pub fn published_paths(&self, tasks: &BTreeMap<Spot, Documents>) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for (spot, task) in tasks {
            for artifact in task.artifacts(&self.census) {
                let homes = self.whereabouts(spot, &artifact.place);
                paths.extend(homes.into_iter().map(|home| home.path(&artifact.place)));
            }
        }
        paths
    }

    /// What is wrong with objects and with what the store keeps.
    pub fn judge_store(
        &self,
        objects: &BTreeMap<Digest, PathBuf>,
        not_kept: &mut usize,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let finding = |kind, path: &Path, trouble, by| Finding::of(kind, path, trouble, by, None);
        for torn in self.census.torn.iter().filter(|torn| torn.of.is_none()) {
            let kind = match torn.path.starts_with(self.store.layout().results_dir()) {
                true => FindingKind::Result,
                false => FindingKind::FileResult,
            };
            let trouble = Trouble::Torn { detail: torn.why.clone() };
            findings.push(finding(kind, &torn.path, trouble, vec![torn.below.clone()]));
        }
        let nobody = Wanted::default();
        for (digest, path) in objects {
            let wanted = self.wanted.get(digest).unwrap_or(&nobody);
            let seen = self.seen.get(path).unwrap_or(&Seen::Missing);
            if object_trouble(digest, wanted, seen).is_none() {
                *not_kept += usize::from(*seen == Seen::Missing);
                continue;
            }
            // Another process may have put it back, or let it go, since.
            let is_promised = wanted.promised_by.iter().any(|record| record.exists());
            match object_trouble(digest, wanted, &look(path)) {
                Some(Trouble::Missing) if !is_promised => *not_kept += 1,
                Some(trouble) => {
                    let by = wanted.by.iter().cloned().collect();
                    findings.push(finding(FindingKind::Object, path, trouble, by));
                }
                None => {}
            }
        }
        findings
    }
}

/// What is told of the Gold of a home.
fn features(home: &Layout) -> Option<Read> {
    read_manifest(&home.manifest("features", None), "features", false).ok().flatten()
}

/// Keeps those of which it is said.
fn retain<T>(items: &mut Vec<T>, is_kept: Vec<bool>) {
    let mut is_kept = is_kept.into_iter();
    items.retain(|_| is_kept.next().unwrap_or(true));
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// What is wrong with a name that is no file.
fn no_file(seen: &Seen) -> Option<Trouble> {
    match seen {
        Seen::Missing => Some(Trouble::Missing),
        Seen::NotAFile => Some(Trouble::NotAFile),
        Seen::Forbidden { error } => Some(Trouble::Forbidden { detail: error.clone() }),
        Seen::Unreadable { error } => Some(Trouble::Unreadable { detail: error.clone() }),
        Seen::File(_) => None,
    }
}

fn artifact_trouble(artifact: &Artifact, seen: &Seen) -> Option<Trouble> {
    if artifact.may_be_missing && *seen == Seen::Missing {
        return None;
    }
    let Seen::File(FileSeen { sha256, bytes, mode }) = *seen else { return no_file(seen) };
    let recorded = artifact.outputs.iter().find(|output| output.sha256 == sha256);
    let output = recorded.or(artifact.outputs.last())?;
    if output.bytes != bytes {
        return Some(Trouble::Size { recorded: output.bytes, found: bytes });
    }
    if output.sha256 != sha256 {
        return Some(Trouble::Changed { recorded: output.sha256, found: sha256 });
    }
    (output.mode != mode)
        .then(|| Trouble::Mode { recorded: octal(output.mode), found: octal(mode) })
}

fn object_trouble(digest: &Digest, wanted: &Wanted, seen: &Seen) -> Option<Trouble> {
    if *seen == Seen::Missing && wanted.promised_by.is_empty() {
        return None;
    }
    let Seen::File(FileSeen { sha256, mode, .. }) = *seen else { return no_file(seen) };
    if sha256 != *digest {
        return Some(Trouble::Changed { recorded: *digest, found: sha256 });
    }
    let due = object_mode(wanted);
    // What nobody names has no mode to have; and the same content may have been kept for somebody who
    // wants it private.
    let fine = wanted.by.is_empty() || mode == due || mode == MODE_PRIVATE;
    let is_wrong = !fine && !wanted.modes.contains(&mode);
    is_wrong.then(|| Trouble::Mode { recorded: octal(due), found: octal(mode) })
}

/// The mode that an object should have.
pub(super) fn object_mode(wanted: &Wanted) -> u32 {
    match wanted.modes.contains(&MODE_READ_ONLY) {
        true => MODE_READ_ONLY,
        false => wanted.modes.first().copied().unwrap_or(MODE_READ_ONLY),
    }
}
