//! A project as a command sees it: configuration, folders, graph, stages, log.
//!
//! The one place that reads the environment and the clock, which gives as_of where nothing else
//! does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::global::Global;
use super::resources::Bounded;
use crate::config::{self, Config, Loaded, Paths};
use crate::dag::{Graph, Spec};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::machine::Limits;
use crate::observe::{self, LogGuard, LogOptions};
use crate::record::Source;
use crate::rows::Sizes;
use crate::stage::Stages;
use crate::store::{Layout, Store};

/// Set by tests: a handful of rows goes through every pass.
const TEST_TINY: &str = "MP_TEST_TINY";
/// Set by tests: this task panics.
const TEST_PANIC: &str = "MP_TEST_PANIC";

/// Set by tests: the folder in which they have made the parts of `/` that matter.
const TEST_ROOT: &str = "MP_TEST_ROOT";

/// A loaded project.
pub(super) struct Project {
    pub loaded: Loaded,
    pub store: Store,
    pub environment: BTreeMap<String, String>,
}

/// Where the files of the machine begin.
pub(super) fn root(environment: &BTreeMap<String, String>) -> PathBuf {
    environment.get(TEST_ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// Now, for words about the clock.
#[expect(clippy::disallowed_methods, reason = "nothing that is computed may ask it")]
pub(super) fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

/// The variables of this process.
#[expect(clippy::disallowed_methods, reason = "the environment enters here and nowhere else")]
pub(super) fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Loads the configuration that the flags and the environment name.
pub(super) fn load_config(global: &Global) -> Result<(Loaded, BTreeMap<String, String>), Error> {
    load_config_with(global, &[], None)
}

/// The same under other values of some keys, and for another as_of if one is given.
pub(super) fn load_config_with(
    global: &Global,
    sets: &[String],
    as_of: Option<&str>,
) -> Result<(Loaded, BTreeMap<String, String>), Error> {
    let environment = environment();
    let project = global.project.clone();
    let named = environment.get("MP_PROJECT").filter(|name| !name.is_empty()).map(PathBuf::from);
    let project = project.or(named).unwrap_or_else(|| PathBuf::from("."));
    let project = std::path::absolute(&project).map_err(|error| {
        Error::new(ExitCode::Usage, format!("no project folder `{}`: {error}", project.display()))
    })?;
    let sources = config::Sources {
        project,
        files: global.config.clone(),
        sets: global.set.iter().chain(sets).cloned().collect(),
        as_of: as_of.map(str::to_owned).or_else(|| global.as_of.clone()),
        jobs: global.jobs,
        env: environment.clone(),
    };
    // The day of a run that is given none.
    let today = now().date_naive();
    Ok((config::load(&sources, today)?, environment))
}

/// The folders of a configuration as the store wants them.
pub(super) fn layout(paths: &Paths) -> Layout {
    Layout {
        raw: paths.raw.clone(),
        processed: paths.processed.clone(),
        output: paths.output.clone(),
        reports: paths.reports.clone(),
        store: paths.store.clone(),
    }
}

impl Project {
    /// Loads the project that the flags and the environment name.
    pub fn load(global: &Global) -> Result<Project, Error> {
        let (loaded, environment) = load_config(global)?;
        let layout = layout(loaded.config.paths());
        let ids = global.mode.as_ref().map(|mode| mode.ids.clone()).unwrap_or_default();
        let store = Store::open(layout, loaded.config.store_keep()).for_airflow(ids);
        Ok(Project { loaded, store, environment })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The project's graph file, or the built-in one.
    pub fn spec(&self) -> Result<Spec, Error> {
        let path = self.config().project().join("dags/carousel.yaml");
        match fs_err::read_to_string(&path) {
            Ok(text) => Ok(Spec::parse(&text, "dags/carousel.yaml")?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Spec::built_in()?),
            Err(error) => Err(Error::new(ExitCode::Usage, error.to_string())),
        }
    }

    /// The graph of that file.
    pub fn graph(&self) -> Result<Graph, Error> {
        let spec = self.spec()?;
        Ok(Graph::from_spec(&spec, &Stages::FORMS, &Source::ALL.map(Source::name))?)
    }

    /// The stages with their settings.
    pub fn stages(&self) -> Stages<'_> {
        let config = self.config();
        let each = |source: Source| config.extract(source.name()).map(|one| (source, one));
        let extract = Source::ALL.into_iter().filter_map(each).collect();
        let each = |source: Source| config.preprocess(source.name()).map(|one| (source, one));
        let preprocess = Source::ALL.into_iter().filter_map(each).collect();
        let tiny = self.environment.contains_key(TEST_TINY);
        Stages {
            store: &self.store,
            raw: config.paths().raw.clone(),
            as_of: config.as_of().clone(),
            extract,
            preprocess,
            features: config.features(),
            quality: config.quality(),
            resources: self.resources().within,
            sizes: if tiny { Sizes::TINY } else { Sizes::NORMAL },
            panic_in: self.environment.get(TEST_PANIC).cloned(),
        }
    }

    /// What a run may use: as configured, within the limits of the container.
    pub fn resources(&self) -> Bounded {
        // Honours quotas of control groups and the processors that this process may run on.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_default = self.loaded.is_default("processing.max_memory_mb");
        let limits = Limits::read(&root(&self.environment));
        Bounded::of(self.config().resources(cores), at_default, &limits)
    }

    /// Starts the log; commands that change nothing keep it off the disk.
    pub fn start_log(&self, global: &Global, to_file: bool) -> LogGuard {
        let verbosity = i16::from(global.verbose) - i16::from(global.quiet);
        observe::init(&LogOptions {
            settings: &self.config().logging(),
            verbosity: verbosity.clamp(-100, 100) as i8,
            stderr_is_terminal: std::io::stderr().is_terminal(),
            to_file,
            collected: global.mode.is_some(),
        })
    }

    /// A path as short as it can be written: below the project folder without it.
    pub fn short<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(self.config().project()).unwrap_or(path).display()
    }

    /// The source of that name.
    pub fn source(name: &str) -> Result<Source, Error> {
        Source::from_name(name).ok_or_else(|| {
            let known: BTreeSet<&str> = Source::ALL.map(Source::name).into();
            let known: Vec<&str> = known.into_iter().collect();
            let text = format!("there is no source `{name}` (there are {})", known.join(", "));
            Error::new(ExitCode::Usage, text)
        })
    }
}
