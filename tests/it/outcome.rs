//! What one run of `mp` said and how it ended.

use std::process::Output;

use serde_json::Value;

pub struct Outcome {
    command: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn new(command: String, output: Output) -> Outcome {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("mp speaks UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let Some(code) = output.status.code() else {
            panic!("{command}: ended by {}\n{stdout}\n{stderr}", output.status)
        };
        Outcome { command, code, stdout, stderr }
    }

    #[track_caller]
    pub fn success(self) -> Outcome {
        self.fails(0)
    }

    /// Ends with exactly this code; of an error, in a form that a person can use.
    #[track_caller]
    pub fn fails(self, code: i32) -> Outcome {
        assert_eq!(self.code, code, "exit code of {self}");
        if code == 2 || code == 3 {
            assert!(!self.stderr.contains("panicked"), "a panic for a mistake of the user: {self}");
        }
        self
    }

    /// stderr holds each of these, case and all.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Outcome {
        for word in words {
            assert!(self.stderr.contains(word), "stderr does not say {word:?}: {self}");
        }
        self
    }

    /// stdout holds each of these.
    #[track_caller]
    pub fn prints(self, words: &[&str]) -> Outcome {
        for word in words {
            assert!(self.stdout.contains(word), "stdout does not hold {word:?}: {self}");
        }
        self
    }

    /// stdout and stderr together, for what may stand in either.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// stdout as the one JSON document it must be, under its schema name.
    #[track_caller]
    pub fn json(&self, command: &str) -> Value {
        let value: Value = match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not one JSON document ({error}): {self}"),
        };
        assert_eq!(value["schema"], format!("mp/{command}/1"), "schema of {self}");
        value
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "`{}` (exit {})", self.command, self.code)?;
        writeln!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}
