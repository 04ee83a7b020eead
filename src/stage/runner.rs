//! Which stage computes a task, and with which settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::extract::Extract;
use super::features::Features;
use super::preprocess::Preprocess;
use super::quality::Quality;
use crate::as_of::AsOf;
use crate::exit_code::ExitCode;
use crate::record::Source;
use crate::rows::Sizes;
use crate::settings::{
    ExtractSettings, FeaturesSettings, PreprocessSettings, QualitySettings, Resources,
};
use crate::store::{Ingredients, Manifest, Store};
use crate::task::{Product, Runner, StageForm, TaskContext, TaskError, TaskId, Upstream};

/// The four stages with all that they may know.
#[derive(Debug)]
pub struct Stages<'s> {
    /// Where results and facts about files are kept.
    pub store: &'s Store,
    /// The folder of raw files.
    pub raw: PathBuf,
    /// The logical time of the run.
    pub as_of: AsOf,
    /// Settings of each extract.
    pub extract: BTreeMap<Source, ExtractSettings>,
    /// Settings of each preprocess.
    pub preprocess: BTreeMap<Source, PreprocessSettings>,
    /// Settings of features.
    pub features: FeaturesSettings,
    /// Settings of quality.
    pub quality: QualitySettings,
    /// What the machine gives.
    pub resources: Resources,
    /// How much is held at a time; other than normal only in tests.
    pub sizes: Sizes,
    /// A task that panics, for tests of what happens then.
    pub panic_in: Option<String>,
}

enum Stage<'s> {
    Extract(Extract<'s>),
    Preprocess(Preprocess<'s>),
    Features(Features<'s>),
    Quality(Quality<'s>),
}

impl Stage<'_> {
    /// A failure of the data is remembered with what it was made of: where the stage did not say, all
    /// that is upstream. Of a file that extract had not read yet, nobody knows.
    fn of_the_data(&self, mut error: TaskError, upstream: &Upstream) -> TaskError {
        if error.failure.exit == ExitCode::Contract && error.leaves.ingredients.is_none() {
            error.leaves.ingredients = match self {
                Stage::Extract(_) => None,
                Stage::Preprocess(preprocess) => preprocess.ingredients(upstream).ok(),
                Stage::Features(features) => features.ingredients(upstream).ok(),
                Stage::Quality(quality) => quality.ingredients(upstream).ok(),
            };
        }
        error
    }
}

impl Stages<'_> {
    /// The stages that a graph may name, and what each needs to run.
    pub const FORMS: [StageForm<'static>; 4] = [
        StageForm { name: "extract", each: true, needs: &[] },
        StageForm { name: "preprocess", each: true, needs: &["extract"] },
        StageForm { name: "features", each: false, needs: &["preprocess"] },
        StageForm { name: "quality", each: false, needs: &["extract", "preprocess", "features"] },
    ];

    fn stage(&self, task: &TaskId) -> Result<Stage<'_>, TaskError> {
        let unknown = || TaskError::new(ExitCode::Usage, format!("there is no task `{task}`"));
        let source = task.source().and_then(Source::from_name);
        let (resources, sizes, as_of) = (&self.resources, &self.sizes, &self.as_of);
        match (task.stage(), source) {
            ("extract", Some(source)) => {
                let settings = self.extract.get(&source).ok_or_else(unknown)?;
                let raw = &self.raw;
                Ok(Stage::Extract(Extract { source, settings, raw, as_of, resources, sizes }))
            }
            ("preprocess", Some(source)) => {
                let settings = self.preprocess.get(&source).ok_or_else(unknown)?;
                Ok(Stage::Preprocess(Preprocess { source, settings, as_of, resources, sizes }))
            }
            ("features", None) => {
                Ok(Stage::Features(Features { settings: &self.features, resources, sizes }))
            }
            ("quality", None) => {
                Ok(Stage::Quality(Quality { settings: &self.quality, as_of, resources, sizes }))
            }
            _ => Err(unknown()),
        }
    }
}

impl Runner for Stages<'_> {
    fn ingredients(
        &self,
        task: &TaskId,
        previous: Option<&Manifest>,
        upstream: &Upstream,
    ) -> Result<Ingredients, TaskError> {
        match self.stage(task)? {
            Stage::Extract(extract) => extract.ingredients(previous, self.store),
            Stage::Preprocess(preprocess) => preprocess.ingredients(upstream),
            Stage::Features(features) => features.ingredients(upstream),
            Stage::Quality(quality) => quality.ingredients(upstream),
        }
    }

    fn settings(&self, task: &TaskId) -> Option<Ingredients> {
        Some(match self.stage(task).ok()? {
            Stage::Extract(extract) => extract.settings_only(),
            Stage::Preprocess(preprocess) => preprocess.settings_only(),
            Stage::Features(features) => features.settings_only(),
            Stage::Quality(quality) => quality.settings_only(),
        })
    }

    fn reads_objects(&self, task: &TaskId, need: &TaskId) -> bool {
        // Of extract, quality reads the counts in its manifest.
        !(task.stage() == "quality" && need.stage() == "extract")
    }

    fn run(&self, context: &TaskContext<'_>) -> Result<Product, TaskError> {
        let stage = self.stage(context.task)?;
        assert!(
            self.panic_in.as_deref() != Some(context.task.as_str()),
            "asked to panic in `{}`",
            context.task
        );
        match &stage {
            Stage::Extract(extract) => extract.run(context),
            Stage::Preprocess(preprocess) => preprocess.run(context),
            Stage::Features(features) => features.run(context),
            Stage::Quality(quality) => quality.run(context),
        }
        .map_err(|error| stage.of_the_data(error, context.upstream))
    }
}
