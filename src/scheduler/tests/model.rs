//! Random graphs with random histories: whatever happened, the next run gives what a clean run gives,
//! and the one after it does nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::fake::{Behaviour, Project, reads};
use crate::dag::TaskId;
use crate::exit_code::ExitCode;

#[derive(Debug, Clone)]
enum Act {
    /// Changes a raw file, in its first line or only after it.
    Raw {
        task: usize,
        value: u8,
        first: bool,
    },
    Setting {
        stage: usize,
        value: i64,
    },
    EditOutput {
        task: usize,
    },
    DeleteOutput {
        task: usize,
    },
    DeleteManifest {
        task: usize,
    },
    DeleteStore,
    DeleteMemo,
    /// A run in which one task fails, or none.
    Run {
        failing: Option<usize>,
        jobs: usize,
        force: bool,
    },
    /// A run of one stage alone, upstream up to date or not.
    RunOne {
        task: usize,
        allow_stale: bool,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let n = 0..24usize;
    prop_oneof![
        3 => (n.clone(), 0..3u8, any::<bool>())
            .prop_map(|(task, value, first)| Act::Raw { task, value, first }),
        3 => (n.clone(), 0..3i64).prop_map(|(stage, value)| Act::Setting { stage, value }),
        1 => n.clone().prop_map(|task| Act::EditOutput { task }),
        1 => n.clone().prop_map(|task| Act::DeleteOutput { task }),
        1 => n.clone().prop_map(|task| Act::DeleteManifest { task }),
        1 => Just(Act::DeleteStore),
        1 => Just(Act::DeleteMemo),
        4 => (prop::option::of(n.clone()), 1..4usize, any::<bool>())
            .prop_map(|(failing, jobs, force)| Act::Run { failing, jobs, force }),
        2 => (n, any::<bool>()).prop_map(|(task, allow_stale)| Act::RunOne { task, allow_stale }),
    ]
}

/// Stages named so that some keep their output as an object and homes differ.
pub const NAMES: [&str; 5] = ["extract", "preprocess", "middle", "features", "quality"];

fn stages() -> impl Strategy<Value = String> {
    let edges = prop::collection::btree_set((0..5usize, 0..5usize), 2..9);
    (edges, prop::collection::vec(any::<bool>(), 5)).prop_map(|(edges, each)| {
        let mut text = String::new();
        for (stage, name) in NAMES.iter().enumerate() {
            let needs = edges.iter().filter(|(a, b)| *b == stage && a < b);
            let needs: Vec<&str> = needs.map(|(a, _)| NAMES[*a]).collect();
            let each = if each[stage] { "each: sources, " } else { "" };
            text += &format!("  {name}: {{{each}needs: [{}]}}\n", needs.join(", "));
        }
        text
    })
}

impl Project {
    fn task(&self, number: usize) -> TaskId {
        self.graph.tasks()[number % self.graph.tasks().len()].clone()
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Raw { task, value, first } => {
                let roots = self.graph.tasks().iter().filter(|t| self.graph.needs(t).is_empty());
                let roots: Vec<TaskId> = roots.cloned().collect();
                let text = if *first { format!("{value}\n") } else { format!("raw\n{value}\n") };
                self.write_raw(&roots[task % roots.len()], &text);
            }
            Act::Setting { stage, value } => {
                self.settings.insert(NAMES[stage % NAMES.len()].to_owned(), *value);
            }
            Act::EditOutput { task } => {
                let path = self.published(self.task(*task).as_str());
                if path.exists() {
                    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
                    fs_err::write(path, "edited\n").unwrap();
                }
            }
            Act::DeleteOutput { task } => {
                let _ = fs_err::remove_file(self.published(self.task(*task).as_str()));
            }
            Act::DeleteManifest { task } => {
                let task = self.task(*task);
                let path = self.layout().manifest(task.stage(), task.source());
                let _ = fs_err::remove_file(path);
            }
            Act::DeleteStore => {
                let _ = fs_err::remove_dir_all(self.layout().store);
            }
            Act::DeleteMemo => {
                let _ = fs_err::remove_file(self.layout().memo_file());
            }
            Act::Run { failing, jobs, force } => {
                let failing = failing.map(|task| self.task(task));
                let fails = Behaviour::Fails(ExitCode::Failure);
                self.behaviour = failing.iter().map(|task| (task.to_string(), fails)).collect();
                (self.options.jobs, self.options.force) = (*jobs, *force);
                let summary = self.run(&[]);
                assert_eq!(summary.tasks.len(), self.graph.tasks().len());
                let failed = failing.is_some_and(|task| self.ran().contains(&task.to_string()));
                assert_eq!(summary.exit != ExitCode::Success, failed);
                self.behaviour.clear();
                self.options.force = false;
            }
            Act::RunOne { task, allow_stale } => {
                self.options.allow_stale = *allow_stale;
                let exit = self.run(&[self.task(*task).as_str()]).exit;
                assert!([ExitCode::Success, ExitCode::Refused].contains(&exit), "{exit:?}");
                self.options.allow_stale = false;
            }
        }
    }

    /// What every task's output must be, by the rule that the fake stages follow.
    fn expected(&self) -> BTreeMap<TaskId, String> {
        let mut expected = BTreeMap::<TaskId, String>::new();
        for task in self.graph.tasks() {
            let setting = self.settings.get(task.stage()).copied().unwrap_or_default();
            let needs = self.graph.needs(task);
            let mut text = format!("{task}={setting}");
            if needs.is_empty() {
                let raw = fs_err::read_to_string(self.raw(task)).unwrap();
                text += &format!("({})", raw.lines().next().unwrap());
            }
            let read = needs.iter().filter(|need| reads(task, need));
            read.for_each(|need| text += &format!("({})", expected[need]));
            expected.insert(task.clone(), text);
        }
        expected
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happened_the_next_run_is_right_and_the_one_after_does_nothing(
        stages in stages(),
        acts in prop::collection::vec(act(), 1..10),
    ) {
        let mut project = Project::with(&stages);
        project.keep = 2;
        acts.iter().for_each(|act| project.act(act));
        let plan = project.plan(&[]);
        let summary = project.run(&[]);
        prop_assert_eq!(summary.exit, ExitCode::Success);
        // What the plan called up to date is not touched, what it called due ran.
        for (planned, result) in plan.tasks.iter().zip(&summary.tasks) {
            use crate::scheduler::{TaskState, Verdict};
            prop_assert_eq!(&planned.task, &result.task);
            match planned.verdict {
                Verdict::UpToDate => prop_assert_eq!(result.state, TaskState::UpToDate),
                Verdict::Restore => {
                    prop_assert!(result.restored);
                    prop_assert_eq!(&result.restored_from, &planned.restored_from);
                }
                Verdict::Run if planned.certain => prop_assert_eq!(result.state, TaskState::Done),
                _ => prop_assert_ne!(result.state, TaskState::Failed),
            }
        }
        for (task, text) in project.expected() {
            if task.stage() != "extract" {
                prop_assert_eq!(project.read(task.as_str()), text + "\n");
            }
        }
        prop_assert!(project.run(&[]).is_up_to_date());
        prop_assert!(project.ran().is_empty());
    }
}
