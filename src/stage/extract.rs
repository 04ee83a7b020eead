//! extract: raw files of one source to sorted rows and rejects.
//!
//! The result of each input file is kept by content, so a file seen before is not read again,
//! in whatever run. as_of matters only through the oldest timestamp allowed, and only where a row
//! is older than it. Knows files and their facts; rows are `ingest`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::file_result::{Extent, FileResult, KnownFile};
use super::files::{ReadFiles, look, read_files, still_the_same, unreadable};
use super::outcome::output;
use super::profile::{Bounds as RowBounds, FileFacts};
use super::rejects::{Rejects, gather};
use super::stoppable::Stoppable;
use super::sweep::DAY_US;
use crate::as_of::AsOf;
use crate::exit_code::ExitCode;
use crate::record::Source;
use crate::rows::Sizes;
use crate::settings::{ExtractSettings, Resources};
use crate::source::{RawFile, discover};
use crate::store::{
    Content, Digest, Ingredients, InputFact, MODE_PRIVATE, MODE_READ_ONLY, Manifest, NewOutput,
    ParsedIndex, ParsedKey, Place, Store,
};
use crate::task::{Product, TaskContext, TaskError};

/// Raised when the same input should give another result.
const VERSION: u32 = 3;

/// The extract of one source.
pub(super) struct Extract<'e> {
    pub source: Source,
    pub settings: &'e ExtractSettings,
    pub raw: &'e Path,
    pub as_of: &'e AsOf,
    pub resources: &'e Resources,
    pub sizes: &'e Sizes,
}

impl Extract<'_> {
    /// The oldest timestamp allowed.
    pub fn oldest_us(&self) -> i64 {
        let days = i64::from(self.settings.min_timestamp_days_ago);
        self.as_of.micros().saturating_sub(days.saturating_mul(DAY_US))
    }

    fn discover(&self) -> Result<Vec<RawFile>, TaskError> {
        Ok(discover(self.raw, &self.settings.files, self.settings.allow_outside)?)
    }

    /// What the next result would be made of; see [`crate::task::Runner::ingredients`].
    pub fn ingredients(
        &self,
        previous: Option<&Manifest>,
        store: &Store,
    ) -> Result<Ingredients, TaskError> {
        let known = previous.map(KnownFile::all).unwrap_or_default();
        let known: HashMap<&str, &KnownFile<'_>> =
            known.iter().map(|file| (&*file.name, file)).collect();
        let mut ingredients = self.settings_only();
        let mut kept = None;
        let (mut unchanged, mut unread, mut reaches_bound) = (previous.is_some(), false, false);
        for file in self.discover()? {
            let stamp = look(&file)?;
            let bytes = stamp.bytes;
            let was = known.get(&*file.name).filter(|was| was.bytes == bytes);
            // No need to hash a file of a length that was never seen before it is read.
            if was.is_none() && kept.is_none() {
                kept = Some(store.parsed(self.source.name())?);
            }
            let may_be_known =
                was.is_some() || kept.as_ref().is_some_and(|kept| kept.has_size(bytes));
            let mut fact = InputFact::unread(bytes);
            if may_be_known {
                let hashed = store.memo().digest_of(&file.path, stamp);
                let sha256 = hashed.map_err(|error| unreadable(&file, &error))?.0;
                let same = was.filter(|was| was.sha256 == sha256);
                let results = match same {
                    Some(same) if self.holds(same.bounds()) => vec![*same.bounds()],
                    _ => {
                        let kept = match &mut kept {
                            Some(kept) => kept,
                            none => none.insert(store.parsed(self.source.name())?),
                        };
                        self.kept_bounds(kept, InputFact { sha256, bytes })?
                    }
                };
                if same.is_some() || !results.is_empty() {
                    fact.sha256 = sha256;
                }
                unchanged &= same.is_some_and(|same| self.holds(same.bounds()));
                // Where a result holds no longer, a row is older than the bound now, or was.
                let holding = results.iter().find(|bounds| self.holds(bounds));
                reaches_bound |= !fact.is_unread()
                    && holding.is_none_or(|bounds| bounds.newest_below_us.is_some());
            }
            unread |= fact.is_unread();
            ingredients.inputs.insert(file.name, fact);
        }
        unchanged &= ingredients.inputs.len() == known.len() && !unread;
        let before = previous.and_then(|previous| previous.ingredients.as_of.clone());
        // A failure names the day that was given, be the rejected rows the same for another one.
        let failed = previous.is_some_and(|previous| previous.error.is_some());
        ingredients.as_of = match () {
            () if unchanged && !failed => before,
            () if reaches_bound => Some(self.as_of.to_string()),
            // Whether it will matter is not known yet, and no reason.
            () if unread => before,
            () => None,
        };
        Ok(ingredients)
    }

    /// Does a result with these bounds hold for the bound of today?
    fn holds(&self, bounds: &RowBounds) -> bool {
        bounds.hold_for(self.oldest_us())
    }

    /// The bounds of the results of files of this content that are still kept.
    fn kept_bounds(
        &self,
        kept: &ParsedIndex<'_>,
        InputFact { sha256, bytes }: InputFact,
    ) -> Result<Vec<RowBounds>, TaskError> {
        let key = ParsedKey { sha256, bytes, settings: self.file_settings() };
        let results = kept.find(&key)?.into_iter();
        let results = results.filter_map(|(facts, objects)| FileResult::kept(facts, objects));
        Ok(results.map(|file| file.facts.bounds).collect())
    }

    /// What needs no look at a file.
    pub fn settings_only(&self) -> Ingredients {
        Ingredients {
            stage_version: VERSION,
            settings: self.settings.entries(),
            ..Ingredients::default()
        }
    }

    /// What of the settings decides the result of a single file.
    pub fn file_settings(&self) -> Digest {
        let max_amount = match self.source {
            Source::Payments => Some(&self.settings.max_payment_amount),
            Source::Prints | Source::Taps => None,
        };
        let sizes = format!("{:?}", self.sizes);
        let key = json!({"version": VERSION, "max_payment_amount": max_amount, "sizes": sizes});
        Digest::of_bytes(key.to_string().as_bytes())
    }

    /// Computes the task.
    pub fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let ReadFiles { results, chunks, parsed, stamps } =
            read_files(self, context, &self.discover()?)?;
        let mut facts = FileFacts::default();
        results.iter().for_each(|file| facts.add_file(&file.facts));
        let mut ingredients = self.settings_only();
        for file in &results {
            let fact = InputFact { sha256: file.sha256, bytes: file.bytes };
            ingredients.inputs.insert(file.name.clone(), fact);
        }
        let reaches_bound = facts.bounds.newest_below_us.is_some();
        ingredients.as_of = reaches_bound.then(|| self.as_of.to_string());
        let counts = self.counts(&facts, &results, parsed);

        let mut staged = context.stage(MODE_PRIVATE)?;
        let layout = context.store.layout();
        let rejects = results.iter().filter_map(|file| {
            let Extent { object, offset, bytes } = file.rejects_at?;
            Some(Rejects { of: &file.name, path: layout.object(&object), offset, bytes })
        });
        let gathered = gather(rejects, Stoppable { inner: &mut staged, cancel: context.cancel });
        context.check_cancelled()?;
        gathered?;
        let rejects = staged.finish()?;
        let rejected = Some(facts.rows_rejected);
        let name = Place::failed_rejects(self.source.name());
        if let Some(mut error) = self.too_many_rejects(&facts, &layout.path(&name)) {
            error.leaves.outputs.push(output(rejects, Some(name), rejected, None));
            error.leaves.ingredients = Some(ingredients);
            error.leaves.counts = counts;
            error.leaves.extra = json!({ "files": results });
            return Err(error);
        }
        let name = Place::rejects(self.source.name());
        let mut outputs = vec![output(rejects, Some(name), rejected, None)];
        outputs.extend(kept(context.store, &results)?);
        Ok(Product {
            ingredients,
            outputs,
            counts,
            extra: json!({ "files": results }),
            chunks: Some(chunks),
            verify: Some(Box::new(move || still_the_same(&stamps))),
            ..Product::default()
        })
    }

    fn counts(&self, facts: &FileFacts, files: &[FileResult], parsed: u64) -> Map<String, Value> {
        let mut counts = Map::new();
        counts.insert("rows_read".into(), facts.rows_read.into());
        counts.insert("rows_valid".into(), facts.rows_valid.into());
        counts.insert("rows_rejected".into(), facts.rows_rejected.into());
        counts.insert("blank_lines".into(), facts.blank_lines.into());
        counts.insert("rejects_by_code".into(), json!(facts.rejects_by_code));
        counts.insert("files".into(), files.len().into());
        counts.insert("files_parsed".into(), parsed.into());
        counts.insert("files_reused".into(), (files.len() as u64 - parsed).into());
        counts
    }

    fn too_many_rejects(&self, facts: &FileFacts, rejects: &Path) -> Option<TaskError> {
        let rate = facts.rows_rejected as f64 / facts.rows_read.max(1) as f64;
        if rate <= self.settings.max_reject_rate {
            return None;
        }
        let mut message = format!(
            "{} of {} rows of {} were rejected ({:.2} %, allowed are {:.2} %)",
            facts.rows_rejected,
            facts.rows_read,
            self.source,
            rate * 100.0,
            self.settings.max_reject_rate * 100.0
        );
        let mut codes: Vec<(&String, &u64)> = facts.rejects_by_code.iter().collect();
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), (*code).clone()));
        let codes: Vec<String> =
            codes.iter().take(3).map(|(code, count)| format!("{code} {count}")).collect();
        message.push_str(&format!(": {}", codes.join(", ")));
        let mut hint =
            format!("see `{}`; `processing.max_reject_rate` sets the limit", rejects.display());
        if facts.rows_out_of_bounds * 2 > facts.rows_rejected {
            let bounds = &facts.bounds;
            if let (Some(oldest), Some(newest)) = (bounds.oldest_us, bounds.newest_below_us) {
                let newest = bounds.oldest_above_us.map_or(newest, |_| newest);
                let (oldest, newest) = (date(oldest), date(newest));
                message.push_str(&format!(
                    "; most are older than {} days before {}: their dates are {oldest} to {newest}",
                    self.settings.min_timestamp_days_ago,
                    self.as_of.as_given(),
                ));
                hint = format!(
                    "if these are the right files, run with `--as-of {newest}`, or with the \
                     latest such day of all sources; {hint}"
                );
            }
        }
        Some(TaskError::new(ExitCode::Contract, message).hint(hint))
    }
}

fn date(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(|| format!("{micros} µs"), |time| time.date_naive().to_string())
}

/// The objects that the results lie in, with the rows that are theirs.
fn kept(store: &Store, results: &[FileResult]) -> std::io::Result<Vec<NewOutput>> {
    let mut objects = BTreeMap::<(u32, Digest), u64>::new();
    // Files of the same content share their rows.
    let mut seen = BTreeSet::new();
    for file in results.iter().filter(|file| seen.insert((file.rows, file.sha256))) {
        *objects.entry((MODE_READ_ONLY, file.rows_at.object)).or_default() += file.facts.rows_valid;
        if let Some(Extent { object, .. }) = file.rejects_at {
            *objects.entry((MODE_PRIVATE, object)).or_default() += file.facts.rows_rejected;
        }
    }
    let output = |((mode, digest), rows)| {
        let bytes = fs_err::metadata(store.layout().object(&digest))?.len();
        let content = Content::Kept { digest, bytes };
        Ok(NewOutput { content, publish: None, mode, rows: Some(rows), schema: None })
    };
    objects.into_iter().map(output).collect()
}
