//! The bytes of each artifact and the version of the stage that makes them, side by side.
//!
//! When a hash changes, results that users keep are no longer what the program would give: raise
//! the version of that stage, so that they are made anew, and then accept the snapshot (`cargo
//! insta`, or `INSTA_UPDATE=always`).

use crate::project::Project;

#[test]
fn the_bytes_do_not_change_unless_the_version_of_the_stage_does() {
    let project = Project::november();
    project.run_all();
    let view = project.view();
    let mut lines = Vec::new();
    for task in crate::view::TASKS {
        let manifest = view.manifest(task);
        lines.push(format!("{task}: version {}", manifest["stage_version"]));
        for output in manifest["outputs"].as_array().expect("outputs") {
            let name = match output["published"].as_bool() {
                Some(true) => output["path"].as_str().expect("a path"),
                _ => "object",
            };
            let sha = output["sha256"].as_str().expect("a hash");
            lines.push(format!("  {name} {}", &sha[..16]));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}
