//! Lines of tasks that run side by side, put in order: each task's together, between the markers
//! at which Airflow folds a log.
//!
//! One task at a time speaks as it goes; what others say is held until it has ended. So a long task
//! that runs alone is heard at once, and no group stands inside another. Prints nothing itself.

/// The lines that may not be printed yet.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The task whose group is open.
    open: Option<String>,
    /// Tasks that wait for that one to end, as they came.
    waiting: Vec<Group>,
    /// Lines of no task.
    between: Vec<String>,
}

#[derive(Debug)]
struct Group {
    task: String,
    lines: Vec<String>,
    over: bool,
}

impl Groups {
    /// What may be printed now that a task says this.
    pub fn line(&mut self, task: &str, line: String) -> Vec<String> {
        match &self.open {
            None => {
                self.open = Some(task.to_owned());
                vec![begin(task), line]
            }
            Some(open) if open == task => vec![line],
            Some(_) => {
                match self.waiting.iter_mut().find(|group| group.task == task && !group.over) {
                    Some(group) => group.lines.push(line),
                    None => {
                        let task = task.to_owned();
                        self.waiting.push(Group { task, lines: vec![line], over: false });
                    }
                }
                Vec::new()
            }
        }
    }

    /// What may be printed now that a task is over.
    pub fn end(&mut self, task: &str) -> Vec<String> {
        if self.open.as_deref() != Some(task) {
            let waiting = self.waiting.iter_mut().filter(|group| group.task == task);
            waiting.for_each(|group| group.over = true);
            return Vec::new();
        }
        self.open = None;
        let mut lines = vec![end()];
        let (over, running): (Vec<Group>, Vec<Group>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|group| group.over);
        lines.extend(over.into_iter().flat_map(Group::whole));
        lines.append(&mut self.between);
        let mut running = running.into_iter();
        if let Some(next) = running.next() {
            lines.push(begin(&next.task));
            lines.extend(next.lines);
            self.open = Some(next.task);
        }
        self.waiting = running.collect();
        lines
    }

    /// What may be printed of a line that belongs to no task.
    pub fn between(&mut self, line: String) -> Vec<String> {
        match self.open {
            None => vec![line],
            Some(_) => {
                self.between.push(line);
                Vec::new()
            }
        }
    }

    /// All that is left at the end of a run.
    pub fn finish(&mut self) -> Vec<String> {
        let mut lines: Vec<String> = self.open.take().map(|_| end()).into_iter().collect();
        lines.extend(std::mem::take(&mut self.waiting).into_iter().flat_map(Group::whole));
        lines.append(&mut self.between);
        lines
    }
}

impl Group {
    fn whole(self) -> impl Iterator<Item = String> {
        [begin(&self.task)].into_iter().chain(self.lines).chain([end()])
    }
}

fn begin(task: &str) -> String {
    format!("::group::{task}")
}

fn end() -> String {
    "::endgroup::".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(groups: &mut Groups, task: &str, text: &str) -> Vec<String> {
        groups.line(task, text.to_owned())
    }

    #[test]
    fn a_task_alone_speaks_as_it_goes() {
        let mut groups = Groups::default();
        assert_eq!(line(&mut groups, "a", "1"), ["::group::a", "1"]);
        assert_eq!(line(&mut groups, "a", "2"), ["2"]);
        assert_eq!(groups.end("a"), ["::endgroup::"]);
        assert_eq!(groups.between("done".to_owned()), ["done"]);
        assert!(groups.finish().is_empty());
    }

    #[test]
    fn tasks_side_by_side_are_told_one_after_the_other() {
        let mut groups = Groups::default();
        line(&mut groups, "a", "a1");
        assert!(line(&mut groups, "b", "b1").is_empty());
        assert!(line(&mut groups, "c", "c1").is_empty());
        assert!(groups.between("one is done".to_owned()).is_empty());
        assert!(groups.end("c").is_empty());
        assert_eq!(line(&mut groups, "a", "a2"), ["a2"]);
        let after = ["::endgroup::", "::group::c", "c1", "::endgroup::", "one is done"];
        assert_eq!(groups.end("a"), [&after[..], &["::group::b", "b1"]].concat());
        assert_eq!(line(&mut groups, "b", "b2"), ["b2"]);
        assert_eq!(groups.end("b"), ["::endgroup::"]);
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        let mut groups = Groups::default();
        line(&mut groups, "a", "a1");
        line(&mut groups, "b", "b1");
        groups.between("x".to_owned());
        let rest = groups.finish();
        assert_eq!(rest, ["::endgroup::", "::group::b", "b1", "::endgroup::", "x"]);
    }
}
