//! A reader of another library that opens the published Parquet again and again while mp runs.
//!
//! The program is `tests/reader`; this speaks to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::crash;
use crate::events::SOURCES;
use crate::project::Project;

/// Rows and checksum of a file as it was read.
type Content = (u64, String);

pub struct Reader {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What it saw, by the place in the project.
#[derive(Debug, Default)]
pub struct Sight {
    pub passes: u64,
    saw: BTreeMap<String, BTreeSet<Content>>,
    /// Files that vanished or could not be read.
    wrong: Vec<String>,
}

impl Reader {
    pub fn start() -> Reader {
        let mut command = Command::new(crash::reader());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the reader starts");
        let orders = child.stdin.take().expect("stdin");
        let answers = BufReader::new(child.stdout.take().expect("stdout"));
        Reader { child, orders, answers }
    }

    /// Reads Silver and Gold of a project over and over, from now on.
    pub fn watch(&mut self, project: &Project) {
        let view = project.view();
        let silver = SOURCES.into_iter().map(|source| view.silver_path(source));
        let paths: Vec<PathBuf> = silver.chain([view.gold_path()]).collect();
        let names: Vec<&str> = paths.iter().map(|path| path.to_str().expect("UTF-8")).collect();
        writeln!(self.orders, "watch\t{}", names.join("\t")).expect("an order");
        self.orders.flush().expect("an order");
    }

    /// Enough. Whatever is there now has been seen.
    pub fn stop(&mut self) -> Sight {
        writeln!(self.orders, "stop").expect("an order");
        self.orders.flush().expect("an order");
        let mut sight = Sight::default();
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).expect("an answer"), 0, "it died");
            let words: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
            match words[..] {
                ["passes", count] => sight.passes = count.parse().expect("a number"),
                ["saw", path, rows, checksum] => {
                    let content = (rows.parse().expect("a number"), checksum.to_owned());
                    let name = path.rsplit('/').next().expect("a name");
                    sight.saw.entry(name.to_owned()).or_default().insert(content);
                }
                ["end"] => return sight,
                _ => sight.wrong.push(line),
            }
        }
    }

    /// What is published now.
    pub fn look(&mut self, project: &Project) -> Sight {
        self.watch(project);
        self.stop()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sight {
    /// Every file was whole each time, and as it was before or as it is after.
    #[track_caller]
    pub fn assert_only(&self, before: &Sight, after: &Sight, when: &str) {
        assert!(self.wrong.is_empty(), "{when}: {:#?}", self.wrong);
        for (name, contents) in &self.saw {
            for content in contents {
                let known = [before, after].map(|sight| sight.saw.get(name));
                let known = known.into_iter().flatten().any(|known| known.contains(content));
                assert!(known, "{when}: `{name}` was read as {content:?}");
            }
        }
    }
}
