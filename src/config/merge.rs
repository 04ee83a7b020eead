//! The values in force and their origins, layer upon layer. Does not know how a layer is read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{ConfigError, Problem};
use super::keys::{KEYS, Key, RULES};
use super::kind::Rule;
use super::origin::Origin;
use super::yaml::{self, Body};

/// A value for each key, and where it comes from.
pub struct InForce {
    pub values: BTreeMap<&'static str, Value>,
    pub origins: BTreeMap<&'static str, Origin>,
}

/// Valid values so far, and everything that was wrong.
pub struct Merged {
    in_force: InForce,
    problems: Vec<Problem>,
}

impl Merged {
    /// The built-in defaults.
    pub fn with_defaults() -> Merged {
        let in_force = InForce { values: BTreeMap::new(), origins: BTreeMap::new() };
        let mut merged = Merged { in_force, problems: Vec::new() };
        for key in KEYS {
            let body = yaml::read(key.default).map(|node| node.body).unwrap_or(Body::Null);
            merged.put(key, &body, &Origin::Default);
        }
        merged
    }

    /// Checks a value and lets it replace the one in force.
    pub fn put(&mut self, key: &'static Key, body: &Body, origin: &Origin) {
        match key.kind.check(body) {
            Ok(value) => {
                self.in_force.values.insert(key.name, value);
                self.in_force.origins.insert(key.name, origin.clone());
            }
            Err(wrong) => self.problem(origin, Some(key.name), format!("`{}` {wrong}", key.name)),
        }
    }

    /// Something is wrong at a place.
    pub fn problem(&mut self, origin: &Origin, key: Option<&str>, text: String) {
        self.add(Problem::at(origin, key, text));
    }

    /// Something is wrong that has no line.
    pub fn general_problem(&mut self, text: String) {
        self.add(Problem::general(text));
    }

    /// A file that is given twice has its problems once.
    fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The values in force, if nothing was wrong.
    pub fn finish(mut self) -> Result<InForce, ConfigError> {
        for Rule::AtMost(low, high) in RULES {
            self.check_at_most(low, high);
        }
        match ConfigError::of(self.problems) {
            Some(error) => Err(error),
            None => Ok(self.in_force),
        }
    }

    fn check_at_most(&mut self, low: &'static str, high: &'static str) {
        let is_wrong =
            |problem: &Problem| problem.key.as_deref().is_some_and(|key| key == low || key == high);
        let value = |key| self.in_force.values.get(key).and_then(Value::as_u64);
        let (Some(least), Some(most)) = (value(low), value(high)) else { return };
        if least <= most || self.problems.iter().any(is_wrong) {
            return;
        }
        // The key that the user gave is the one to correct; of two, the lower bound.
        let origin = |key| self.in_force.origins.get(key).cloned().unwrap_or(Origin::Default);
        let (at, other) = match origin(low) {
            Origin::Default => (high, low),
            _ => (low, high),
        };
        let text = format!(
            "`{low}` must be at most `{high}`, but {least} is above {most} (`{other}`: {})",
            origin(other)
        );
        let place = origin(at);
        self.problem(&place, Some(at), text);
    }
}
