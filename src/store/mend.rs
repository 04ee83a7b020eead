//! What is done about damage: a file is made good from another copy of its content, or what needs it is
//! let go so that the next run makes it again.
//!
//! Objects first, for they are what published files are made good from. A damaged object goes, and every kept
//! result that names it, so that none restores it; manifests stay, for what they publish may be fine,
//! and a task that needs such an object finds it gone. A published file without another copy goes, so that
//! nobody takes it for good, with `_SUCCESS.json` if that vouches for it, and its manifest is set aside.
//! Everything of a task is done under its lock after another look. What fails is told of what it failed on,
//! and the rest goes on. Touches nothing that is as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::atomic::{self, Owner, remove_if_there};
use super::census::{Kept, Read, Spot, read_manifest};
use super::digest::Digest;
use super::error::StoreError;
use super::finding::{Finding, FindingKind, Trouble};
use super::layout::{Layout, Place};
use super::lock::{Lock, LockError};
use super::manifest::{Manifest, Output};
use super::objects::copy;
use super::rehash::look;
use super::sight::{Documents, Sight, object_mode};
use super::verify::VerifyError;
use crate::fault;

/// The tasks that were set aside, and why.
type SetAside = BTreeMap<Spot, String>;

impl Sight<'_> {
    /// Mends what was found, and says of each finding what was done. Gives the tasks that must run again.
    pub fn mend(&self, findings: &mut Vec<Finding>) -> Result<SetAside, VerifyError> {
        let lost = self.mend_objects(findings);
        self.forget_results(findings, &lost);
        let spots: BTreeSet<Spot> = findings.iter().filter_map(|it| it.spot.clone()).collect();
        let mut set_aside = SetAside::new();
        for spot in spots {
            // A look under the lock takes the place of what was found before.
            let (own, rest) = findings.drain(..).partition(|it| it.spot.as_ref() == Some(&spot));
            *findings = rest;
            findings.extend(self.mend_task(&spot, own, &mut set_aside)?);
        }
        findings.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        Ok(set_aside)
    }

    /// Makes objects good or removes them; gives those that are gone now.
    fn mend_objects(&self, findings: &mut [Finding]) -> BTreeSet<Digest> {
        let mut lost = BTreeSet::new();
        for finding in findings.iter_mut().filter(|it| it.kind == FindingKind::Object) {
            let name = finding.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(digest) = name.parse::<Digest>() else { continue };
            match self.mend_object(finding, digest) {
                Ok(true) => {
                    lost.insert(digest);
                }
                Ok(false) => {}
                Err(error) => finding.left_by(&error.into()),
            }
        }
        lost
    }

    /// A published file with that content, of whatever task or day.
    fn copy_of(&self, digest: &Digest) -> Option<&Path> {
        let mut paths = self.published.get(digest)?.iter();
        paths.find(|path| look(path).is(digest)).map(PathBuf::as_path)
    }

    /// True if the object is gone now.
    fn mend_object(&self, finding: &mut Finding, digest: Digest) -> io::Result<bool> {
        let path = finding.path.clone();
        let mode = self.wanted.get(&digest).map_or(0o444, object_mode);
        match &finding.trouble {
            Trouble::Mode { .. } if path.is_symlink() => {
                let owner =
                    Owner::of(self.store.layout().keep_lock().as_os_str().as_encoded_bytes());
                let tmp = self.store.layout().tmp_dir();
                fs_err::create_dir_all(&tmp)?;
                if !replace_link(&path, &digest, mode, &owner.path(&tmp))? {
                    finding.left("it changed meanwhile");
                    return Ok(false);
                }
                finding.mended("a file of its own takes the place of the link");
                return Ok(false);
            }
            Trouble::Mode { .. } => {
                set_mode(&path, mode)?;
                finding.mended(format!("its mode is {mode:04o} again"));
                return Ok(false);
            }
            Trouble::Forbidden { .. } => set_mode(&path, mode)?,
            Trouble::Unreadable { detail } => {
                let why = format!("nothing is done, for nobody knows what is in it: {detail}");
                finding.left(why);
                return Ok(false);
            }
            Trouble::NotAFile => clear_the_way(&path)?,
            _ => {}
        }
        let owner = Owner::of(self.store.layout().keep_lock().as_os_str().as_encoded_bytes());
        let tmp = self.store.layout().tmp_dir();
        fs_err::create_dir_all(&tmp)?;
        // Out of everybody's sight before it is judged for the last time: what a run puts under this name
        // meanwhile is never removed.
        let aside = owner.path(&tmp);
        fault::point("mend.aside")?;
        match fs_err::rename(&path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) if look(&aside).is(&digest) => {
                let put_back = fs_err::hard_link(&aside, &path);
                remove_if_there(&aside)?;
                // Who wrote the same meanwhile did what was to be done.
                if !path.exists() {
                    put_back?;
                }
                finding.mended("it was made good meanwhile");
                return Ok(false);
            }
            Ok(()) => {
                remove_if_there(&aside)?;
            }
        }
        if let Some(source) = self.copy_of(&digest) {
            let made = owner.path(&tmp);
            let same_mode = fs_err::metadata(source)?.permissions().mode() & 0o7777 == mode;
            // What a link leads to is somebody else's, and a link to it would be one of it.
            let is_own = same_mode && !source.is_symlink();
            if !is_own || fs_err::hard_link(source, &made).is_err() {
                copy(source, &made, mode)?;
            }
            if look(&made).is(&digest) {
                fs_err::create_dir_all(atomic::parent(&path)?)?;
                fault::point("mend.rename")?;
                fs_err::rename(&made, &path)?;
                atomic::sync_dir(atomic::parent(&path)?)?;
                finding.mended(format!("taken again from `{}`", source.display()));
                return Ok(false);
            }
            remove_if_there(&made)?;
        }
        finding.mended(match finding.trouble {
            Trouble::Missing => "no longer counted on: made again when it is needed",
            _ if finding.needed_by.is_empty() => "removed",
            _ => "removed: made again when it is needed",
        });
        Ok(true)
    }

    /// Removes kept results that cannot be restored: torn ones, and those that name an object that is gone.
    fn forget_results(&self, findings: &mut [Finding], lost: &BTreeSet<Digest>) {
        for finding in findings {
            if matches!(finding.kind, FindingKind::Result | FindingKind::FileResult) {
                match remove_if_there(&finding.path) {
                    Ok(_) => finding.mended("removed: nothing can be restored from it"),
                    Err(error) => finding.left_by(&error.into()),
                }
            }
        }
        let gone =
            |digest: &Digest| lost.contains(digest) && !self.store.layout().object(digest).exists();
        let results = self.census.results.iter();
        let results = results
            .filter(|kept| kept.manifest.outputs.iter().any(|output| gone(&output.sha256)))
            .map(|kept| &kept.path);
        let files = self.census.files.iter().filter(|file| file.objects.iter().any(gone));
        for path in results.chain(files.map(|file| &file.path)) {
            // One that stays restores nothing: whoever wants to looks at its objects first.
            let _ = remove_if_there(path);
        }
    }

    fn mend_task(
        &self,
        spot: &Spot,
        found: Vec<Finding>,
        set_aside: &mut SetAside,
    ) -> Result<Vec<Finding>, VerifyError> {
        let store = &Store::open(self.home(spot).clone(), self.store.keep);
        let (stage, source) = spot.key();
        let task = spot.task();
        let mut on_wait = |holder: &str| (self.scope.on_wait)(&task, holder);
        let (timeout, cancel) = (self.scope.lock_timeout, self.scope.cancel);
        let lock = match store.lock(stage, source, timeout, cancel, &mut on_wait) {
            Ok(lock) => lock,
            Err(LockError::Cancelled { .. }) => return Err(VerifyError::Stopped),
            Err(error) => {
                let mut found = found;
                let is_held = matches!(error, LockError::Held { .. });
                for finding in &mut found {
                    finding.left(error.to_string());
                    if is_held {
                        finding.trouble = Trouble::Busy { detail: error.to_string() };
                    }
                }
                return Ok(found);
            }
        };
        let documents = match self.documents(spot) {
            Ok(documents) => documents,
            Err(error) => {
                let mut found = found;
                found.iter_mut().for_each(|finding| finding.left_by(&error));
                return Ok(found);
            }
        };
        let mut now = self.judge(spot, &documents, &look);
        for finding in &now {
            store.memo().forget(&finding.path);
        }
        let bench = Bench { sight: self, store, spot, documents: &documents };
        match bench.mend(lock, &mut now) {
            Ok(Some(why)) => {
                set_aside.insert(spot.clone(), why);
            }
            Ok(None) => {}
            Err(error) => {
                now.iter_mut()
                    .filter(|finding| finding.remedy.is_none())
                    .for_each(|finding| finding.left_by(&error));
            }
        }
        if let Some(why) = &documents.aside {
            set_aside.insert(spot.clone(), why.clone());
        }
        // The memo of these folders' store is another one than that of whoever looks. One that cannot be
        // written is told of when that is saved.
        let _ = store.memo().save();
        let still = |finding: &Finding| {
            now.iter().any(|other| (other.kind, &other.path) == (finding.kind, &finding.path))
        };
        let mut over: Vec<Finding> = found.into_iter().filter(|finding| !still(finding)).collect();
        for finding in &mut over {
            match documents.aside {
                Some(_) => finding.runs_again(format!("set aside meanwhile: {task} runs again")),
                None => finding.mended("it is as it should be again"),
            }
        }
        now.append(&mut over);
        Ok(now)
    }
}

/// One task and the remedies for it.
struct Bench<'a> {
    sight: &'a Sight<'a>,
    /// The store of its folders.
    store: &'a Store,
    spot: &'a Spot,
    documents: &'a Documents,
}

impl Bench<'_> {
    /// Mends a task's documents and published files. Gives the reason why it must run again, if so.
    fn mend(&self, lock: Lock, now: &mut [Finding]) -> Result<Option<String>, StoreError> {
        let (stage, source) = self.spot.key();
        if let Some((path, _)) = &self.documents.torn_failed {
            let forgotten = self.store.forget_failure(&lock, stage, source);
            for finding in now.iter_mut().filter(|finding| finding.path == *path) {
                match &forgotten {
                    Ok(()) => finding.mended("removed: it was the note of a failed attempt"),
                    Err(error) => finding.left_by(error),
                }
            }
        }
        if self.documents.is_lost {
            let why = "its manifest was lost".to_owned();
            return self.make_manifest(lock, now, why, None);
        }
        if let Some((_, why)) = &self.documents.torn {
            let why = format!("its manifest could not be read: {why}");
            return self.make_manifest(lock, now, why, None);
        }
        if let Some(kept) = self.documents.edited(&self.sight.census) {
            let why = "its manifest was edited".to_owned();
            return self.make_manifest(lock, now, why, Some(kept));
        }
        let artifacts = self.documents.artifacts(&self.sight.census);
        let mut hopeless = Vec::new();
        for finding in now.iter_mut().filter(|it| it.kind == FindingKind::Artifact) {
            let mut homes = Vec::new();
            let artifact = artifacts.iter().find(|artifact| {
                homes = self.sight.possible(self.spot, self.documents, artifact, &look);
                homes.iter().any(|home| home.path(&artifact.place) == finding.path)
            });
            let Some(artifact) = artifact else { continue };
            if homes.len() > 1 {
                let all: Vec<String> =
                    homes.iter().map(|home| format!("`{}`", home.output.display())).collect();
                let why = format!("it may belong into any of {}: run there", all.join(", "));
                finding.left(why);
                continue;
            }
            // Of several contents that it may have, the latest.
            let Some(output) = artifact.outputs.last() else { continue };
            match self.publish_again(finding, &output.sha256, output.mode, lock.owner()) {
                Ok(true) => {}
                Ok(false) => hopeless.push((finding, &artifact.place)),
                Err(error) => finding.left_by(&error),
            }
        }
        if hopeless.is_empty() {
            return Ok(None);
        }
        let good = self.documents.good.as_ref().map(|good| &good.manifest);
        let is_of_good = |place| good.is_some_and(|good| good.published(place).is_some());
        if !hopeless.iter().any(|(_, place)| is_of_good(place)) {
            for (finding, _) in hopeless {
                remove_if_there(&finding.path)?;
                finding.mended("removed: it was of a failed attempt");
            }
            self.store.forget_failure(&lock, stage, source)?;
            return Ok(None);
        }
        let names: Vec<String> = hopeless.iter().map(|(_, it)| format!("`{it}`")).collect();
        let why = format!("there was no whole copy of {}", names.join(", "));
        // The manifest last: as long as it stands, what is gone is missed.
        self.withdraw_success()?;
        for (finding, _) in &hopeless {
            remove_if_there(&finding.path)?;
        }
        self.store.set_aside(&lock, stage, source, &why)?;
        for (finding, _) in hopeless {
            let task = self.spot.task();
            finding.runs_again(format!("removed, for there is no other copy: {task} runs again"));
        }
        Ok(Some(why))
    }

    /// Takes away what vouches for Gold, if this is the task that makes it.
    fn withdraw_success(&self) -> io::Result<()> {
        if self.spot.stage == "features" {
            remove_if_there(&self.store.layout().path(&Place::success()))?;
        }
        Ok(())
    }

    /// Makes a published file good from its object; false if the object is not there or damaged too.
    fn publish_again(
        &self,
        finding: &mut Finding,
        digest: &Digest,
        mode: u32,
        owner: &Owner,
    ) -> Result<bool, StoreError> {
        let path = finding.path.clone();
        match &finding.trouble {
            // The link leads to somebody else's file.
            Trouble::Mode { .. } if path.is_symlink() => {
                let beside = owner.path(atomic::parent(&path)?);
                if !replace_link(&path, digest, mode, &beside)? {
                    return Ok(false);
                }
                finding.mended("a file of its own takes the place of the link");
                return Ok(true);
            }
            Trouble::Forbidden { .. }
                if set_mode(&path, mode).is_ok() && look(&path).is(digest) =>
            {
                finding.mended(format!("its mode is {mode:04o} again"));
                return Ok(true);
            }
            Trouble::Mode { .. } => {
                set_mode(&path, mode)?;
                finding.mended(format!("its mode is {mode:04o} again"));
                return Ok(true);
            }
            Trouble::Unreadable { detail } => {
                let why = format!("nothing is done, for nobody knows what is in it: {detail}");
                finding.left(why);
                return Ok(true);
            }
            Trouble::NotAFile => clear_the_way(&path)?,
            _ => {}
        }
        if !look(&self.store.layout().object(digest)).is(digest) {
            return Ok(false);
        }
        self.store.publish(*digest, &path, mode, owner)?;
        finding.mended("published again from its object");
        Ok(true)
    }

    /// A manifest that says nothing true is made good from a kept result of what is published; else the
    /// task runs again. `copy`: what its own run kept, where the two differ.
    fn make_manifest(
        &self,
        lock: Lock,
        now: &mut [Finding],
        why: String,
        copy: Option<&Kept>,
    ) -> Result<Option<String>, StoreError> {
        let (stage, source) = self.spot.key();
        let manifest = self.store.layout().manifest(stage, source);
        if manifest.is_dir() {
            clear_the_way(&manifest)?;
        }
        let say = |now: &mut [Finding], done: &str| {
            now.iter_mut()
                .filter(|finding| finding.remedy.is_none())
                .for_each(|finding| finding.mended(done));
        };
        // Where both fit what is published, nobody knows which of the two was edited.
        let both_fit = copy.is_some()
            && (self.documents.good.as_ref())
                .is_some_and(|good| self.published_in(&good.manifest).is_some());
        if !both_fit && let Some((kept, home)) = self.adoptable()? {
            Store::open(home.clone(), self.sight.store.keep).restore(lock, &kept)?;
            say(now, "made good from the result that is kept of it");
            return Ok(None);
        }
        if let Some(copy) = copy {
            remove_if_there(&copy.path)?;
        }
        self.withdraw_success()?;
        for finding in now.iter().filter(|finding| finding.kind == FindingKind::Artifact) {
            remove_if_there(&finding.path)?;
        }
        self.store.set_aside(&lock, stage, source, &why)?;
        let done = format!("set aside: {} runs again", self.spot.task());
        now.iter_mut()
            .filter(|finding| finding.remedy.is_none())
            .for_each(|finding| finding.runs_again(done.as_str()));
        Ok(Some(why))
    }

    /// The newest kept result of the task that is whole and that is what is published now, and where.
    fn adoptable(&self) -> Result<Option<(Manifest, &Layout)>, StoreError> {
        let task = self.spot.task();
        let results = self.sight.census.results.iter();
        for kept in results.filter(|kept| kept.manifest.task() == task && kept.path.exists()) {
            let object = |digest: &Digest| look(&self.store.layout().object(digest)).is(digest);
            let whole = kept.manifest.outputs.iter().all(|output| object(&output.sha256));
            if whole
                && let Some(home) = self.published_in(&kept.manifest)
                && let Some(Read::Good(manifest, _)) = read_manifest(&kept.path, &task, false)?
            {
                return Ok(Some((*manifest, home)));
            }
        }
        Ok(None)
    }

    /// Among the homes whose manifest this is, the first in which that is published.
    fn published_in(&self, manifest: &Manifest) -> Option<&Layout> {
        let published: Vec<&Output> =
            manifest.outputs.iter().filter(|output| output.published).collect();
        let is_there =
            |home: &Layout, output: &Output| look(&home.path(&output.place)).is(&output.sha256);
        let mut homes = self.sight.sharing(self.spot).into_iter();
        homes.find(|home| published.iter().all(|output| is_there(home, output)))
    }
}

/// Puts a copy in the place of a symbolic link, if it leads to that content.
fn replace_link(path: &Path, digest: &Digest, mode: u32, made: &Path) -> io::Result<bool> {
    copy(path, made, mode)?;
    if !look(made).is(digest) {
        remove_if_there(made)?;
        return Ok(false);
    }
    fault::point("mend.rename")?;
    fs_err::rename(made, path)?;
    atomic::sync_dir(atomic::parent(path)?)?;
    Ok(true)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_symlink() {
        let text = format!("`{}` is a symbolic link to somebody's file", path.display());
        return Err(io::Error::other(text));
    }
    fs_err::set_permissions(path, Permissions::from_mode(mode))?;
    let now = fs_err::metadata(path)?.permissions().mode() & 0o7777;
    if now == mode {
        return Ok(());
    }
    let text = format!("the file system of `{}` keeps no modes", path.display());
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// An empty folder has nobody's work in it; anything else is its owner's to move.
fn clear_the_way(path: &Path) -> io::Result<()> {
    let cleared = match path.is_dir() {
        true => fs_err::remove_dir(path),
        false => Err(io::ErrorKind::Other.into()),
    };
    cleared.map_err(|_| {
        let text = format!("`{}` is in the way: move it away", path.display());
        io::Error::new(io::ErrorKind::AlreadyExists, text)
    })
}
