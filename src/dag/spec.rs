//! The graph file as written: YAML to values, unknown and doubled keys refused.
//!
//! Keeps each name's line for errors. Does not know which stages exist; `graph.rs` resolves names.

use std::fmt;

use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::airflow::{AirflowSettings, Retries};
use super::error::{DagError, suggest_field};
use super::tries::{Delay, Timeout, Tries};

/// The graph that is used where a project has none of its own.
pub const BUILT_IN: &str = include_str!("../../dags/carousel.yaml");
/// How errors name [`BUILT_IN`].
const BUILT_IN_NAME: &str = "dags/carousel.yaml";
const SPEC_VERSION: u32 = 1;

/// What a stage has one task for each of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    Sources,
}

impl<'de> Deserialize<'de> for Each {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Each, D::Error> {
        struct EachVisitor;

        impl Visitor<'_> for EachVisitor {
            type Value = Each;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the word `sources`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Each, E> {
                match word {
                    "sources" => Ok(Each::Sources),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_str(EachVisitor)
    }
}

/// A stage as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    pub name: String,
    pub each: Option<Each>,
    pub needs: Vec<String>,
    pub tries: Tries,
    /// Where its key is in the file, from 1.
    pub line: usize,
}

/// A graph as written, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// How errors name the file.
    pub file: String,
    pub name: String,
    pub stages: Vec<StageSpec>,
    pub airflow: AirflowSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map of `version`, `name` and `stages`")]
struct RawSpec {
    version: Version,
    name: String,
    stages: Pairs,
    airflow: Option<AirflowSettings>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`version` must be a whole number")]
enum Version {
    Number(u32),
}

#[derive(Deserialize, Default)]
#[serde(
    deny_unknown_fields,
    expecting = "a map of `each`, `needs`, `retries`, `retry_delay` and `timeout`"
)]
struct RawStage {
    each: Option<Each>,
    #[serde(default)]
    needs: Vec<String>,
    retries: Option<Retries>,
    retry_delay: Option<Delay>,
    timeout: Option<Timeout>,
}

impl RawStage {
    fn tries(&self) -> Tries {
        let usual = Tries::default();
        Tries {
            retries: self.retries.map_or(usual.retries, |retries| retries.0),
            delay: self.retry_delay.map_or(usual.delay, |delay| delay.0),
            timeout: self.timeout.map(|timeout| timeout.0),
        }
    }
}

/// A map that keeps doubled keys, for the error to name.
struct Pairs(Vec<(String, RawStage)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of stages")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, stage)) = map.next_entry::<String, Option<RawStage>>()? {
                    pairs.push((name, stage.unwrap_or_default()));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

impl Spec {
    /// The built-in graph.
    pub fn built_in() -> Result<Spec, DagError> {
        Spec::parse(BUILT_IN, BUILT_IN_NAME)
    }

    /// Reads a graph file; `file` is how errors name it.
    pub fn parse(text: &str, file: &str) -> Result<Spec, DagError> {
        let syntax = |message: String| {
            let hint = suggest_field(&message);
            DagError::Syntax { file: file.to_owned(), message, hint }
        };
        let raw: RawSpec = serde_yaml::from_str(text).map_err(|error| syntax(error.to_string()))?;
        let Version::Number(version) = raw.version;
        if version != SPEC_VERSION {
            return Err(syntax(format!(
                "version {version} is not known to this mp, which reads version {SPEC_VERSION}"
            )));
        }
        if raw.stages.0.is_empty() {
            let is_stages = |line: &str| line.trim_start().starts_with("stages");
            let line = text.lines().position(is_stages).map_or(1, |at| at + 1);
            return Err(DagError::Empty { file: file.to_owned(), line });
        }
        let mut stages: Vec<StageSpec> = Vec::new();
        for (name, stage) in raw.stages.0 {
            let tries = stage.tries();
            let RawStage { each, needs, .. } = stage;
            let before = stages.iter().filter(|stage| stage.name == name).count();
            let line = line_of_key(text, &name, before);
            if before > 0 {
                let file = file.to_owned();
                return Err(DagError::Duplicate { file, line, what: "stage", name });
            }
            if let Some(twice) = first_double(&needs) {
                let (file, name) = (file.to_owned(), twice.clone());
                return Err(DagError::Duplicate { file, line, what: "need", name });
            }
            stages.push(StageSpec { name, each, needs, tries, line });
        }
        let airflow = raw.airflow.unwrap_or_default();
        if let Some((key, fault)) = airflow.fault() {
            let (file, line) = (file.to_owned(), line_in_section(text, "airflow", key));
            return Err(DagError::Settings { file, line, key: format!("airflow.{key}"), fault });
        }
        Ok(Spec { file: file.to_owned(), name: raw.name, stages, airflow })
    }
}

fn first_double(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
}

/// The line (from 1) that begins with that key for the nth time below the top level; else, in a file
/// that has several keys on a line, the first line that holds it.
fn line_of_key(text: &str, key: &str, nth: usize) -> usize {
    let is_key = |line: &&str| {
        let inner = line.trim_start();
        let rest = inner.trim_start_matches(['"', '\'']).strip_prefix(key);
        inner.len() < line.len()
            && rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
    };
    let numbered = || text.lines().enumerate();
    let keys = numbered().filter(|(_, line)| is_key(line)).nth(nth);
    let found = keys.or_else(|| numbered().find(|(_, line)| line.contains(&format!("{key}:"))));
    found.map_or(1, |(at, _)| at + 1)
}

/// The line (from 1) of a key in a section of the top level; else that of the section.
fn line_in_section(text: &str, section: &str, key: &str) -> usize {
    let is_section = |line: &str| line.starts_with(section);
    let start = text.lines().position(is_section).unwrap_or_default();
    let inner = || text.lines().skip(start).enumerate();
    let is_key = |line: &str| line.trim_start().starts_with(key);
    let found = inner().find(|(_, line)| is_key(line));
    let found = found.or_else(|| inner().find(|(_, line)| line.contains(key)));
    start + found.map_or(0, |(at, _)| at) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Spec::parse(text, "dags/x.yaml").unwrap_err().to_string()
    }

    #[test]
    fn the_built_in_graph_is_the_file_of_the_repository() {
        let spec = Spec::built_in().unwrap();
        let names: Vec<&str> = spec.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, ["extract", "preprocess", "features", "quality"]);
        assert_eq!(spec.name, "carousel");
        assert_eq!(spec.stages[0].each, Some(Each::Sources));
        assert_eq!(spec.stages[3].needs, ["extract", "preprocess", "features"]);
        let line = BUILT_IN.lines().nth(spec.stages[2].line - 1).unwrap();
        assert!(line.contains("features:"), "{line}");
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let text = "version: 1\nname: x\nstages:\n  a:\n    retrys: 3\n";
        let error = Spec::parse(text, "dags/x.yaml").unwrap_err();
        let hint =
            "did you mean `retries`? known: `each`, `needs`, `retries`, `retry_delay`, `timeout`";
        assert_eq!(error.hint(), Some(hint));
        let error = error.to_string();
        assert!(error.starts_with("`dags/x.yaml`: stages.a: unknown field `retrys`"), "{error}");
        assert!(error.contains("line 5"), "{error}");
    }

    #[test]
    fn doubled_names_are_errors() {
        let text = "version: 1\nname: x\nstages:\n  a: {}\n  b:\n  a: {}\n";
        assert_eq!(error(text), "`dags/x.yaml` line 6: stage `a` is there twice");
        let text = "version: 1\nname: x\nstages:\n  b: {}\n  a: {needs: [b, b]}\n";
        assert_eq!(error(text), "`dags/x.yaml` line 5: need `b` is there twice");
        assert!(error("version: 1\nversion: 1\nname: x\nstages: {}\n").contains("duplicate"));
        let text = "version: 1\nname: x\nstages: {a: {}, a: {}}\n";
        assert_eq!(error(text), "`dags/x.yaml` line 3: stage `a` is there twice");
    }

    #[test]
    fn a_newer_version_is_refused() {
        assert!(error("version: 2\nname: x\nstages: {}\n").contains("version 2 is not known"));
    }

    #[test]
    fn a_graph_without_a_stage_is_refused() {
        for stages in ["stages: {}", "stages:", "stages: # none\n"] {
            let found = error(&format!("version: 1\nname: x\n{stages}"));
            assert_eq!(found, "`dags/x.yaml` line 3: there is no stage in `stages`");
        }
    }

    #[test]
    fn yaml_of_another_shape_is_told_in_words_for_people() {
        let top = "invalid type: string \"x\", expected a map of `version`, `name` and `stages`";
        assert!(error("x").contains(top), "{}", error("x"));
        for (text, word) in [
            ("version: x\nname: x\nstages: {}", "`version` must be a whole number"),
            ("version: 1\nname: x\nstages: x", "expected a map of stages"),
            (
                "version: 1\nname: x\nstages: {a: x}",
                "expected a map of `each`, `needs`, `retries`, ",
            ),
            ("version: 1\nname: x\nstages: {a: {each: x}}", "`sources`"),
            ("version: 1\nname: x\nstages: {a: {each: [x]}}", "`sources`"),
        ] {
            let error = error(text);
            assert!(error.contains(word), "{text}: {error}");
            for internal in ["struct", "enum", "Raw", "Each", "u32", "YAML tag"] {
                assert!(!error.contains(internal), "{text}: {error}");
            }
        }
    }

    #[test]
    fn what_is_no_graph_is_an_error_and_no_panic() {
        for text in ["", "[]", "stages", "version: 1\nname: x\nstages: [", "\u{0}", "a: &a [*a]"] {
            error(text);
        }
    }
}
