//! The three kinds of raw events, by name.
//!
//! Does not know where their files are nor what a row of them looks like.

use serde::{Deserialize, Serialize};

/// One of the raw inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A value proposition shown to a user in the carousel (JSON Lines).
    Prints,
    /// A click on one (JSON Lines).
    Taps,
    /// Money spent on one (CSV).
    Payments,
}

impl Source {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Source; 3] = [Source::Prints, Source::Taps, Source::Payments];

    /// The name used in settings, file names and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Prints => "prints",
            Source::Taps => "taps",
            Source::Payments => "payments",
        }
    }

    /// The source of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Source> {
        Source::ALL.into_iter().find(|source| source.name() == name)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_source() {
        for source in Source::ALL {
            assert_eq!(Source::from_name(source.name()), Some(source));
            assert_eq!(serde_json::to_string(&source).unwrap(), format!("\"{source}\""));
        }
        assert_eq!(Source::from_name("Prints"), None);
    }
}
