//! `mp config show|check`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::global::Global;
use super::output;
use super::project::load_config;
use crate::config::{ConfigError, Loaded, show, show_json};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::record::Source;
use crate::source::check_pattern;

/// Arguments of `mp config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration in force, as YAML that can be given to --config again
    #[command(after_help = "Example:
  mp config show --origin --set processing.lookback_window_days=14")]
    Show {
        /// Say beside each value where it comes from
        #[arg(long)]
        origin: bool,
    },
    /// Say whether the configuration and the graph are valid
    #[command(after_help = "Example:
  mp config check --config config/example.yaml")]
    Check,
}

impl ConfigArgs {
    /// What the schema of its JSON document calls it.
    pub fn name(&self) -> &'static str {
        match self.command {
            ConfigCommand::Show { .. } => "config-show",
            ConfigCommand::Check => "config-check",
        }
    }
}

/// Shows or checks the configuration.
pub(super) fn config(global: &Global, args: &ConfigArgs) -> Result<ExitCode, Error> {
    let (loaded, _) = load_config(global)?;
    match args.command {
        ConfigCommand::Show { .. } if global.json => {
            output::document(args.name(), show_json(&loaded))?;
        }
        ConfigCommand::Show { origin } => output::text(&show(&loaded, origin))?,
        ConfigCommand::Check => {
            check_patterns(&loaded)?;
            let project = super::project::Project::load(global)?;
            let tasks = project.graph()?.tasks().len();
            let layers: Vec<String> = project
                .loaded
                .layers
                .iter()
                .map(|layer| project.short(layer).to_string())
                .collect();
            if global.json {
                let facts = json!({ "valid": true, "layers": layers, "tasks": tasks });
                output::document(args.name(), facts)?;
            } else {
                let from = if layers.is_empty() {
                    "built-in defaults".to_owned()
                } else {
                    layers.join(", ")
                };
                output::text(&format!("the configuration is valid ({from}; {tasks} tasks)\n"))?;
            }
        }
    }
    Ok(ExitCode::Success)
}

/// The names and globs of all sources, which otherwise are understood only when they are used.
fn check_patterns(loaded: &Loaded) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    for source in Source::ALL {
        let files = loaded.config.extract(source.name()).map(|extract| extract.files);
        for error in files.iter().flatten().filter_map(|text| check_pattern(text).err()) {
            problems.push(loaded.problem(&format!("sources.{source}.files"), error));
        }
    }
    ConfigError::of(problems).map_or(Ok(()), Err)
}
