//! A project folder of its own for each test, its settings, and running `mp` in it.
//!
//! Knows nothing of what the artifacts hold; that is `view`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::events::{CSV_HEADER, SOURCES, Source, World};
use crate::outcome::Outcome;
use crate::snapshot::Snapshot;
use crate::view::View;

/// Longer than any test should take; a hang must fail, not block.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Project {
    folder: TempDir,
    settings: BTreeMap<String, Value>,
    env: BTreeMap<String, String>,
}

impl Project {
    /// No raw files; every setting at its default, but as of 30 November 2020.
    pub fn empty() -> Project {
        let folder = tempfile::Builder::new().prefix("mp it ").tempdir().expect("a folder");
        let project = Project { folder, settings: BTreeMap::new(), env: BTreeMap::new() };
        project.with("validation.as_of", json!("2020-11-30"))
    }

    /// A month of events, some lines bad, that passes every gate.
    pub fn november() -> Project {
        let mut project = Project::empty();
        project.write_world(&World::november(1, true));
        project
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("written");
    }

    pub fn read(&self, relative: &str) -> Vec<u8> {
        let path = self.path(relative);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn text(&self, relative: &str) -> String {
        String::from_utf8(self.read(relative)).expect("UTF-8")
    }

    /// Sets one key of `config/params.yaml` by its dotted name.
    pub fn set(&mut self, key: &str, value: Value) {
        self.settings.insert(key.to_owned(), value);
        self.write_settings();
    }

    /// Takes a key out of `config/params.yaml` again.
    pub fn unset(&mut self, key: &str) {
        self.settings.remove(key);
        self.write_settings();
    }

    fn write_settings(&self) {
        let mut root = Map::new();
        for (key, value) in &self.settings {
            let mut at = &mut root;
            let (sections, name) = key.rsplit_once('.').unwrap_or(("", key));
            for section in sections.split('.').filter(|s| !s.is_empty()) {
                let below = at.entry(section).or_insert_with(|| json!({}));
                at = below.as_object_mut().expect("a section");
            }
            at.insert(name.to_owned(), value.clone());
        }
        let text = serde_json::to_string_pretty(&root).expect("JSON, which is YAML too");
        self.write("config/params.yaml", text);
    }

    pub fn with(mut self, key: &str, value: Value) -> Project {
        self.set(key, value);
        self
    }

    /// A setting by dotted name, if this test has set it.
    pub fn setting(&self, key: &str) -> Option<&Value> {
        self.settings.get(key)
    }

    pub fn with_env(mut self, name: &str, value: &str) -> Project {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Tiny runs, blocks, buffers and merge fan-in, so that few rows pass through every pass.
    pub fn tiny(self) -> Project {
        self.with_env("MP_TEST_TINY", "1")
    }

    /// Writes the raw files, and names them in the settings where they are not the default ones.
    pub fn write_world(&mut self, world: &World) {
        for source in SOURCES {
            let files = world.files(source);
            for (name, lines) in files {
                let mut text = String::new();
                if source == Source::Payments {
                    text.push_str(CSV_HEADER);
                    text.push('\n');
                }
                for line in lines {
                    text.push_str(&line.text);
                    text.push('\n');
                }
                self.write(&format!("data/raw/{name}"), text);
            }
            let names: Vec<&String> = files.keys().collect();
            if names != [source.default_file()] {
                self.set(&format!("sources.{}.files", source.name()), json!(names));
            }
        }
    }

    /// `mp` with these arguments, free of every `MP_*` variable but the project's own.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_mp")), args)
    }

    /// The same with another program in its place.
    pub fn command_of(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.root());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MP_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.envs(&self.env);
        command
    }

    /// Runs `mp` and waits for it.
    #[track_caller]
    pub fn mp(&self, args: &[&str]) -> Outcome {
        self.finish(args, self.command(args))
    }

    /// The same with one more environment variable.
    #[track_caller]
    pub fn mp_env(&self, args: &[&str], name: &str, value: &str) -> Outcome {
        let mut command = self.command(args);
        command.env(name, value);
        self.finish(args, command)
    }

    #[track_caller]
    fn finish(&self, args: &[&str], command: Command) -> Outcome {
        let output = assert_cmd::Command::from_std(command).timeout(PATIENCE).output();
        Outcome::new(format!("mp {}", args.join(" ")), output.expect("mp starts"))
    }

    /// `mp run --all`: it must succeed, leave consistent artifacts, and do nothing when run again.
    #[track_caller]
    pub fn run_all(&self) -> Outcome {
        self.run_all_with(&[])
    }

    #[track_caller]
    pub fn run_all_with(&self, more: &[&str]) -> Outcome {
        let args = [&["run", "--all"], more].concat();
        let outcome = self.mp(&args).success();
        let as_of = more.iter().position(|a| *a == "--as-of").map(|at| more[at + 1]);
        self.view_of(as_of.unwrap_or("{as_of}")).check(self);
        let before = self.snapshot();
        let again = self.mp(&args).success();
        assert!(again.all().contains("up to date"), "a run that does nothing says so: {again}");
        before.assert_same(&self.snapshot());
        outcome
    }

    /// Everything in the folder but logs.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.root()).without("logs/")
    }

    /// The artifacts in the folders that the settings name.
    pub fn view(&self) -> View {
        self.view_of("{as_of}")
    }

    /// The artifacts in the folders of one as-of day.
    pub fn view_of(&self, day: &str) -> View {
        let folder = |key: &str, default: &str| {
            let named = self.setting(key).and_then(Value::as_str).unwrap_or(default);
            self.path(&named.replace("{as_of}", day))
        };
        View {
            processed: folder("data_paths.processed", "data/processed"),
            output: folder("data_paths.output", "data/output"),
            reports: folder("quality.quality_report_path", "data/quality_reports"),
        }
    }
}
