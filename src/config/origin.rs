//! Where the value of a key comes from. Does not know the values.

use std::fmt;

/// The layer that gave a value, precise enough to go and change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A configuration file and the line of the key.
    File {
        /// As shown to the user: below the project folder where it lies there.
        file: String,
        /// From 1.
        line: usize,
    },
    /// The environment variable of this name.
    Env(String),
    /// `--set`, with what was given to it.
    Set(String),
    /// `--as-of`.
    AsOf,
    /// `--jobs`.
    Jobs,
}

impl Origin {
    /// How an error message begins: the place, quoted.
    pub(super) fn place(&self) -> String {
        match self {
            Origin::Default => "built-in default".to_owned(),
            Origin::File { file, line } => format!("`{file}:{line}`"),
            Origin::Env(name) => format!("environment variable `{name}`"),
            Origin::Set(given) => format!("`--set {}`", given.escape_debug()),
            Origin::AsOf => "`--as-of`".to_owned(),
            Origin::Jobs => "`--jobs`".to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { file, line } => write!(f, "{file}:{line}"),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::Set(_) => f.write_str("--set"),
            Origin::AsOf => f.write_str("--as-of"),
            Origin::Jobs => f.write_str("--jobs"),
        }
    }
}
