//! A project as a command sees it: configuration, folders, graph, stages, log.
//!
//! The one place that reads the environment and, where as_of has no other source, the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::global::Global;
use crate::config::{self, Config, Loaded};
use crate::dag::{Graph, Spec};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::observe::{self, LogGuard, LogOptions};
use crate::record::Source;
use crate::rows::Sizes;
use crate::stage::Stages;
use crate::store::{Layout, Store};

/// Set by tests: a handful of rows goes through every pass.
const TEST_TINY: &str = "MP_TEST_TINY";
/// Set by tests: this task panics.
const TEST_PANIC: &str = "MP_TEST_PANIC";

/// A loaded project.
pub(super) struct Project {
    pub loaded: Loaded,
    pub store: Store,
    environment: BTreeMap<String, String>,
}

#[expect(clippy::disallowed_methods, reason = "the environment enters here and nowhere else")]
fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Loads the configuration that the flags and the environment name.
pub(super) fn load_config(global: &Global) -> Result<(Loaded, BTreeMap<String, String>), Error> {
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
        sets: global.set.clone(),
        as_of: global.as_of.clone(),
        jobs: global.jobs,
        env: environment.clone(),
    };
    #[expect(clippy::disallowed_methods, reason = "the day of a run that is given none")]
    let today = chrono::Utc::now().date_naive();
    Ok((config::load(&sources, today)?, environment))
}

impl Project {
    /// Loads the project that the flags and the environment name.
    pub fn load(global: &Global) -> Result<Project, Error> {
        let (loaded, environment) = load_config(global)?;
        let paths = loaded.config.paths();
        let layout = Layout {
            raw: paths.raw.clone(),
            processed: paths.processed.clone(),
            output: paths.output.clone(),
            reports: paths.reports.clone(),
            store: paths.store.clone(),
        };
        let store = Store::open(layout, loaded.config.store_keep());
        Ok(Project { loaded, store, environment })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The project's graph, or the built-in one.
    pub fn graph(&self) -> Result<Graph, Error> {
        let path = self.config().project().join("dags/carousel.yaml");
        let spec = match fs_err::read_to_string(&path) {
            Ok(text) => Spec::parse(&text, "dags/carousel.yaml")?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Spec::built_in()?,
            Err(error) => return Err(Error::new(ExitCode::Usage, error.to_string())),
        };
        Ok(Graph::from_spec(&spec, &Stages::FORMS, &Source::ALL.map(Source::name))?)
    }

    /// The stages with their settings.
    pub fn stages(&self) -> Stages<'_> {
        let config = self.config();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
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
            resources: config.resources(cores),
            sizes: if tiny { Sizes::TINY } else { Sizes::NORMAL },
            panic_in: self.environment.get(TEST_PANIC).cloned(),
        }
    }

    /// Starts the log; commands that change nothing keep it off the disk.
    pub fn start_log(&self, global: &Global, to_file: bool) -> LogGuard {
        let verbosity = i16::from(global.verbose) - i16::from(global.quiet);
        observe::init(&LogOptions {
            settings: &self.config().logging(),
            verbosity: verbosity.clamp(-100, 100) as i8,
            stderr_is_terminal: std::io::stderr().is_terminal(),
            to_file,
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
