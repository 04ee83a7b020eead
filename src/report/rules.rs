//! The quality rules: which side of its threshold a value must lie on, and what follows.

use serde::Serialize;

use crate::settings::{RuleSetting, Severity};

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleStatus {
    /// Within its threshold.
    Passed,
    /// Not judged.
    Off,
    /// Beyond it, worth a warning.
    Warned,
    /// Beyond it, fails the gate.
    Failed,
}

/// A rule, its value and its verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleOutcome {
    /// What was counted.
    pub value: f64,
    /// The limit.
    pub threshold: f64,
    /// `at_least` or `at_most`.
    pub limit: &'static str,
    /// What a broken rule means.
    pub severity: Severity,
    /// What became of it.
    pub status: RuleStatus,
}

/// Rules whose value should not be below the threshold; the others should not be above.
const AT_LEAST: [&str; 3] = ["taps_have_prints", "payments_have_taps", "gold_not_empty"];

/// Judges the value of a rule.
pub(super) fn judge(name: &str, value: f64, setting: &RuleSetting) -> RuleOutcome {
    let at_least = AT_LEAST.contains(&name);
    let within = if at_least { value >= setting.threshold } else { value <= setting.threshold };
    let status = match (setting.severity, within) {
        (Severity::Off, _) => RuleStatus::Off,
        (_, true) => RuleStatus::Passed,
        (Severity::Warn, false) => RuleStatus::Warned,
        (Severity::Error, false) => RuleStatus::Failed,
    };
    RuleOutcome {
        value,
        threshold: setting.threshold,
        limit: if at_least { "at_least" } else { "at_most" },
        severity: setting.severity,
        status,
    }
}

impl RuleOutcome {
    /// The broken rule in words.
    pub(super) fn describe(&self, name: &str) -> String {
        let word = if self.limit == "at_least" { "below" } else { "above" };
        let value = (self.value * 1e6).round() / 1e6;
        format!("{name}: {value} is {word} {}", self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_judged_on_its_own_side_and_by_its_severity() {
        let status = |name: &str, value: f64, severity: Severity, threshold: f64| {
            judge(name, value, &RuleSetting { severity, threshold }).status
        };
        use RuleStatus::*;
        assert_eq!(status("taps_have_prints", 0.95, Severity::Warn, 0.95), Passed);
        assert_eq!(status("taps_have_prints", 0.94, Severity::Warn, 0.95), Warned);
        assert_eq!(status("gold_not_empty", 0.0, Severity::Error, 1.0), Failed);
        assert_eq!(status("rejects", 0.005, Severity::Warn, 0.005), Passed);
        assert_eq!(status("rejects", 0.0051, Severity::Error, 0.005), Failed);
        assert_eq!(status("payments_have_taps", 0.0, Severity::Off, 1.0), Off);
    }
}
