//! Why a task is not up to date: the difference of two lists, in words for the user.
//!
//! The decision to run is that there is a reason, so the two cannot disagree. Does not look at the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dag::TaskId;
use crate::store::Ingredients;

/// One reason to run a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// `--force`.
    Forced,
    /// There is no manifest.
    NeverRun,
    /// There is a manifest that says nothing.
    ManifestUnreadable {
        detail: String,
    },
    /// The last attempt failed; never a reason on its own where there is a good result.
    PreviousAttemptFailed {
        message: String,
    },
    /// The meaning of the stage changed.
    StageVersion {
        old: u32,
        new: u32,
    },
    /// A setting that the stage reads; `None`: it was or is not read.
    Setting {
        key: String,
        old: Option<Value>,
        new: Option<Value>,
    },
    /// The logical time; `None`: it did or does not matter.
    AsOf {
        old: Option<String>,
        new: Option<String>,
    },
    InputAdded {
        path: String,
    },
    InputRemoved {
        path: String,
    },
    InputChanged {
        path: String,
    },
    OutputMissing {
        path: String,
    },
    OutputChanged {
        path: String,
    },
    /// A kept object that a dependent needs is missing or damaged.
    ObjectGone {
        path: String,
    },
    /// That task is not up to date either; if its result turns out the same, this is no reason.
    Upstream {
        task: TaskId,
    },
}

impl Reason {
    /// Only something that was read is another.
    pub(super) const fn is_of_an_input(&self) -> bool {
        use Reason::{InputAdded, InputChanged, InputRemoved, Upstream};
        matches!(
            self,
            InputAdded { .. } | InputRemoved { .. } | InputChanged { .. } | Upstream { .. }
        )
    }
}

/// What makes the new list another than the old one; empty if their fingerprints are the same.
pub(super) fn difference(old: &Ingredients, new: &Ingredients) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if old.stage_version != new.stage_version {
        reasons.push(Reason::StageVersion { old: old.stage_version, new: new.stage_version });
    }
    let keys: BTreeSet<&String> = old.settings.keys().chain(new.settings.keys()).collect();
    for key in keys {
        let (before, now) = (old.settings.get(key), new.settings.get(key));
        if before != now {
            let (old, new) = (before.cloned(), now.cloned());
            reasons.push(Reason::Setting { key: key.clone(), old, new });
        }
    }
    if old.as_of != new.as_of {
        reasons.push(Reason::AsOf { old: old.as_of.clone(), new: new.as_of.clone() });
    }
    let paths: BTreeSet<&String> = old.inputs.keys().chain(new.inputs.keys()).collect();
    for path in paths {
        let hash = |list: &Ingredients| list.inputs.get(path).map(|fact| fact.sha256);
        let path = path.clone();
        match (hash(old), hash(new)) {
            (None, Some(_)) => reasons.push(Reason::InputAdded { path }),
            (Some(_), None) => reasons.push(Reason::InputRemoved { path }),
            (before, now) if before != now => reasons.push(Reason::InputChanged { path }),
            _ => {}
        }
    }
    reasons
}

/// What an ingredient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IngredientKind {
    StageVersion,
    Setting,
    AsOf,
    Input,
}

/// One ingredient then and now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ingredient {
    pub kind: IngredientKind,
    /// The key of a setting, the path of an input.
    pub name: String,
    /// Whether it is a reason to run; never where there is nothing to compare.
    pub differs: bool,
    /// `None`: it did not enter. Of an input its `bytes` and `sha256`.
    pub old: Option<Value>,
    /// `None`: it does not enter. The `sha256` of an input is null as long as nobody has read it.
    pub new: Option<Value>,
}

/// Two lists side by side, what differs first. One of them may be missing: nothing differs then.
pub(super) fn side_by_side(
    old: Option<&Ingredients>,
    new: Option<&Ingredients>,
) -> Vec<Ingredient> {
    let (old, new) = (old.map(told).unwrap_or_default(), new.map(told).unwrap_or_default());
    let both = !old.is_empty() && !new.is_empty();
    let keys: BTreeSet<&(u8, String)> = old.keys().chain(new.keys()).collect();
    let one = |key: &(u8, String)| {
        let (before, now) = (old.get(key), new.get(key));
        let kind = before.or(now).map(|told| told.kind)?;
        let differs = both && before.map(|told| &told.counts) != now.map(|told| &told.counts);
        let shown = |told: Option<&Told>| told.map(|told| told.shown.clone());
        Some(Ingredient { kind, name: key.1.clone(), differs, old: shown(before), new: shown(now) })
    };
    let mut list: Vec<Ingredient> = keys.into_iter().filter_map(one).collect();
    list.sort_by_key(|ingredient| !ingredient.differs);
    list
}

/// An ingredient of one list.
struct Told {
    kind: IngredientKind,
    shown: Value,
    /// What the fingerprint is made of.
    counts: Value,
}

/// A list in the order in which reasons are told.
fn told(list: &Ingredients) -> BTreeMap<(u8, String), Told> {
    let plain = |kind, value: Value| Told { kind, shown: value.clone(), counts: value };
    let mut all = BTreeMap::new();
    let version = plain(IngredientKind::StageVersion, list.stage_version.into());
    all.insert((0, "stage_version".to_owned()), version);
    for (key, value) in &list.settings {
        all.insert((1, key.clone()), plain(IngredientKind::Setting, value.clone()));
    }
    if let Some(as_of) = &list.as_of {
        all.insert((2, "as_of".to_owned()), plain(IngredientKind::AsOf, as_of.clone().into()));
    }
    for (path, fact) in &list.inputs {
        let sha256 = (!fact.is_unread()).then_some(fact.sha256);
        let shown = json!({ "bytes": fact.bytes, "sha256": sha256 });
        let (kind, counts) = (IngredientKind::Input, fact.sha256.to_string().into());
        all.insert((3, path.clone()), Told { kind, shown, counts });
    }
    all
}

/// `21`, `drop` without its quotes, `unset`.
struct Shown<'a>(Option<&'a Value>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("unset"),
            Some(Value::String(text)) => f.write_str(text),
            Some(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Forced => f.write_str("forced"),
            Reason::NeverRun => f.write_str("never run"),
            Reason::ManifestUnreadable { detail } => {
                write!(f, "its manifest cannot be read: {detail}")
            }
            Reason::PreviousAttemptFailed { message } => {
                write!(f, "the last attempt failed: {message}")
            }
            Reason::StageVersion { old, new } => write!(f, "stage version: {old} → {new}"),
            Reason::Setting { key, old, new } => {
                write!(f, "{key}: {} → {}", Shown(old.as_ref()), Shown(new.as_ref()))
            }
            Reason::AsOf { old, new } => {
                let shown = |as_of: &Option<String>| {
                    as_of.clone().unwrap_or_else(|| "did not matter".to_owned())
                };
                let new = new.clone().unwrap_or_else(|| "does not matter".to_owned());
                write!(f, "as_of: {} → {new}", shown(old))
            }
            Reason::InputAdded { path } => write!(f, "input `{path}` is new"),
            Reason::InputRemoved { path } => write!(f, "input `{path}` is gone"),
            Reason::InputChanged { path } => write!(f, "input `{path}` changed"),
            Reason::OutputMissing { path } => write!(f, "output `{path}` is missing"),
            Reason::OutputChanged { path } => write!(f, "output `{path}` was changed"),
            Reason::ObjectGone { path } => write!(f, "`{path}` is no longer kept and needed again"),
            Reason::Upstream { task } => write!(f, "`{task}` is not up to date"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Digest, InputFact};
    use proptest::prelude::*;

    fn ingredients() -> Ingredients {
        let input = |text: &str| InputFact { sha256: Digest::of_bytes(text.as_bytes()), bytes: 1 };
        Ingredients {
            stage_version: 1,
            settings: [("lookback_window_days".to_owned(), json!(21))].into(),
            as_of: Some("2020-12-01T00:00:00Z".to_owned()),
            inputs: [("taps.parquet".to_owned(), input("a"))].into(),
        }
    }

    fn texts(old: &Ingredients, new: &Ingredients) -> Vec<String> {
        difference(old, new).iter().map(Reason::to_string).collect()
    }

    #[test]
    fn a_changed_setting_shows_both_values() {
        let (old, mut new) = (ingredients(), ingredients());
        assert!(difference(&old, &new).is_empty());
        new.settings.insert("lookback_window_days".to_owned(), json!(14));
        assert_eq!(texts(&old, &new), ["lookback_window_days: 21 → 14"]);
        new.settings.insert("preprocess.dedupe.taps".to_owned(), json!("drop"));
        assert_eq!(texts(&old, &new)[1], "preprocess.dedupe.taps: unset → drop");
    }

    #[test]
    fn every_ingredient_has_its_reason() {
        let (old, mut new) = (ingredients(), ingredients());
        new.stage_version = 2;
        new.as_of = None;
        let fact = new.inputs.remove("taps.parquet").unwrap();
        new.inputs.insert("prints.parquet".to_owned(), fact);
        assert_eq!(
            texts(&old, &new),
            [
                "stage version: 1 → 2",
                "as_of: 2020-12-01T00:00:00Z → does not matter",
                "input `prints.parquet` is new",
                "input `taps.parquet` is gone",
            ]
        );
        let mut changed = old.clone();
        changed.inputs.values_mut().for_each(|fact| fact.sha256 = Digest::of_bytes(b"b"));
        assert_eq!(texts(&old, &changed), ["input `taps.parquet` changed"]);
        changed = old.clone();
        changed.inputs.values_mut().for_each(|fact| fact.bytes = 2);
        assert!(texts(&old, &changed).is_empty(), "only the hash counts");
    }

    fn any_ingredients() -> impl Strategy<Value = Ingredients> {
        let settings = prop::collection::btree_map("[ab]", 0..2i32, 0..3);
        let inputs = prop::collection::btree_map("[ab]", 0..2u8, 0..3);
        (0..2u32, settings, prop::option::of("[xy]"), inputs).prop_map(|(v, s, as_of, i)| {
            Ingredients {
                stage_version: v,
                settings: s.into_iter().map(|(key, value)| (key, json!(value))).collect(),
                as_of,
                inputs: i
                    .into_iter()
                    .map(|(k, v)| (k, InputFact { sha256: Digest::of_bytes(&[v]), bytes: 1 }))
                    .collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn there_is_a_reason_exactly_when_the_fingerprint_differs(
            old in any_ingredients(),
            new in any_ingredients(),
        ) {
            let same = old.fingerprint("s", None) == new.fingerprint("s", None);
            let reasons = difference(&old, &new);
            prop_assert_eq!(reasons.is_empty(), same);
            let told = side_by_side(Some(&old), Some(&new));
            let differing = told.iter().filter(|one| one.differs).count();
            prop_assert_eq!(differing, reasons.len(), "the list and the reasons say the same");
            prop_assert!(told.iter().take(differing).all(|one| one.differs));
            for list in [side_by_side(None, Some(&new)), side_by_side(Some(&old), None)] {
                prop_assert!(list.iter().all(|one| !one.differs));
            }
        }
    }
}
