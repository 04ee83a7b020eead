//! The summary that a job of the CI shows: something is said whatever became of the report.
//!
//! Needs jq, as the runners of GitHub have it; `tests/run` installs it where it can.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::project::Project;

#[test]
fn a_report_that_cannot_be_read_is_said_to_be_so() {
    let jq = Command::new("jq").arg("--version").stdout(Stdio::null()).status();
    assert!(jq.is_ok_and(|status| status.success()), "jq is missing: install it");
    let project = Project::november();
    project.run_all();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/quality-summary");
    std::fs::create_dir(project.path(".github")).expect("a folder");
    std::fs::copy(script, project.path(".github/quality-summary")).expect("copied");
    let summary = || {
        let output = Command::new(project.path(".github/quality-summary")).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let path = "data/quality_reports/quality_report.json";
    let report = project.text(path);
    assert!(summary().starts_with("## ✅ Quality gate passed\n"), "{}", summary());
    std::fs::remove_file(project.path(path)).expect("removed");
    assert!(summary().starts_with("## ❌ No quality report\n"), "{}", summary());
    for broken in ["", "[]", "{}", &report[..report.len() / 2]] {
        project.write(path, broken);
        let found = summary();
        assert!(
            found.starts_with("## ❌ The quality report cannot be read\n"),
            "{broken}: {found}"
        );
        assert!(found.contains(path), "{found}");
    }
}
