//! The configuration: what was written, where, and the valid values that come of it.
//!
//! Layers, later wins: built-in defaults ([`keys`]), `config/params.yaml` of the project folder,
//! each `--config` file, the environment, `--set` and the flags. Every layer is read ([`yaml`]),
//! laid out by key ([`layer`]), checked value by value ([`kind`]) and merged with its origin; what
//! is left is built into a [`Config`] ([`model`]). All problems of a load are reported together.
//!
//! - An environment variable is either one of the named ones (`MP_CHUNK_SIZE`) or, for any key,
//!   `MP__SECTION__KEY` (any case after the first `MP__`). Of two for one key, the latter wins.
//! - Lists replace, maps merge, an empty section or file is fine, a null value is not.
//! - A relative `--config` is looked for in the current folder, then below the project folder.
//!
//! Reads the configuration files and nothing else: the environment and the date are handed in.
//! Does not know stages, and never looks at data.

mod decimal;
mod error;
mod keys;
mod kind;
mod layer;
mod merge;
mod model;
mod origin;
mod paths;
mod show;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

pub use error::{ConfigError, Problem};
pub use model::{Config, Paths};
pub use origin::Origin;
pub use paths::AS_OF;
pub use show::{show, show_json};

use merge::{InForce, Merged};

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The project folder; relative paths of the configuration start here.
    pub project: PathBuf,
    /// Each `--config`, in order.
    pub files: Vec<PathBuf>,
    /// Each `--set key=value`, in order.
    pub sets: Vec<String>,
    /// `--as-of`.
    pub as_of: Option<String>,
    /// `--jobs`, in place of `processing.n_workers`.
    pub jobs: Option<u64>,
    /// The environment of the process.
    pub env: BTreeMap<String, String>,
}

/// A valid configuration and how it came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The valid values.
    pub config: Config,
    /// Every key and where its value comes from.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The configuration files that were read, in order.
    pub layers: Vec<PathBuf>,
    values: BTreeMap<&'static str, serde_json::Value>,
}

impl Loaded {
    /// Whether a number is the one that is built in, whoever may have written it down.
    pub fn is_default(&self, key: &str) -> bool {
        let default = keys::find(key).map(|key| key.default.to_owned());
        self.values.get(key).map(ToString::to_string) == default
    }

    /// Every key with its value and where that comes from.
    pub fn settings(
        &self,
    ) -> impl Iterator<Item = (&'static str, &serde_json::Value, &Origin)> + '_ {
        let origin = |key| self.origins.get(key).unwrap_or(&Origin::Default);
        self.values.iter().map(move |(key, value)| (*key, value, origin(key)))
    }

    /// Something that turned out to be wrong with a valid value, named at the place that gave it.
    pub fn problem(&self, key: &str, text: impl fmt::Display) -> Problem {
        let origin = self.origins.get(key).unwrap_or(&Origin::Default);
        Problem::at(origin, Some(key), format!("`{key}`: {text}"))
    }
}

/// Reads all layers; `today` is the current UTC date, used where no as_of is given.
pub fn load(sources: &Sources, today: NaiveDate) -> Result<Loaded, ConfigError> {
    let mut merged = Merged::with_defaults();
    let mut layers = Vec::new();
    let project = match std::path::absolute(&sources.project) {
        Ok(project) if project.is_dir() => project,
        _ => {
            let shown = sources.project.display();
            return Err(Problem::general(format!("project folder `{shown}` does not exist")).into());
        }
    };

    let params = project.join("config").join("params.yaml");
    let given = sources.files.iter().map(|file| find(file, &project));
    // One that cannot even be asked for is tried, so that the error is seen.
    let there = params.try_exists().unwrap_or(true);
    let files = there.then_some(params).into_iter().chain(given);
    for file in files {
        layer::file(&mut merged, &file, &shown(&file, &project));
        layers.push(file);
    }
    layer::environment(&mut merged, &sources.env);
    layer::sets(&mut merged, &sources.sets);
    layer::flags(&mut merged, sources.as_of.as_deref(), sources.jobs);

    let InForce { values, origins } = merged.finish()?;
    let config = Config::build(&project, &values, today)?;
    Ok(Loaded { config, origins, layers, values })
}

/// A file named on the command line: in the current folder, else below the project folder.
fn find(file: &Path, project: &Path) -> PathBuf {
    let below = project.join(file);
    if !file.exists() && below.exists() { below } else { file.to_owned() }
}

/// How messages name a file: below the project folder where it lies there.
fn shown(file: &Path, project: &Path) -> String {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let below = absolute.strip_prefix(project).ok().filter(|below| !below.as_os_str().is_empty());
    below.unwrap_or(file).display().to_string()
}
