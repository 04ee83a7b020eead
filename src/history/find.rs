//! Which run somebody means: its id, the beginning of one, `latest`, or `latest~2` for two runs before.
//!
//! The one place that resolves the name of a run. Records that cannot be read are no candidates for
//! `latest`; named by their id they are an error that says why.

use crate::exit_code::ExitCode;
use crate::store::{History, RunRecord, Skipped, StoreError};

/// So many ids are shown to somebody who meant none of them.
const SHOWN: usize = 5;

/// There is no such run, or more than one.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("no run is recorded yet")]
    Empty,
    #[error("there is no run `{text}`")]
    Unknown { text: String, hint: String },
    #[error("`{text}` is the beginning of {} runs", ids.len())]
    Ambiguous { text: String, ids: Vec<String> },
    #[error("there are only {runs} runs, so there is no `{text}`")]
    TooFar { text: String, runs: usize },
    #[error(transparent)]
    Skipped(#[from] Skipped),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FindError {
    /// How a command ends for this.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            FindError::Store(error) | FindError::Skipped(Skipped::Store(error)) => {
                error.exit_code()
            }
            FindError::Skipped(Skipped::Unreadable { .. }) => ExitCode::Failure,
            _ => ExitCode::Usage,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            FindError::Empty => {
                Some("a run is recorded when it has something to do: `mp run --all`".to_owned())
            }
            FindError::Unknown { hint, .. } => Some(hint.clone()),
            FindError::Ambiguous { ids, .. } => Some(format!("type more of it: {}", listed(ids))),
            FindError::TooFar { .. } | FindError::Skipped(Skipped::Unreadable { .. }) => {
                Some("`mp runs` lists them".to_owned())
            }
            FindError::Store(error) | FindError::Skipped(Skipped::Store(error)) => error.hint(),
        }
    }
}

/// The run that `text` means, with all that its record names. Records that are passed over on the way to
/// it, since they cannot be read, are added to `skipped`.
pub fn find(
    history: &History<'_>,
    text: &str,
    skipped: &mut Vec<Skipped>,
) -> Result<RunRecord, FindError> {
    if let Some(back) = latest(text) {
        let mut runs = 0;
        for record in history.newest_first()? {
            let mut record = match record {
                Ok(record) => record,
                Err(error) => {
                    skipped.push(error);
                    continue;
                }
            };
            if runs == back {
                history.bring_inputs_in(&mut record);
                return Ok(record);
            }
            runs += 1;
        }
        let too_far = FindError::TooFar { text: text.to_owned(), runs };
        return Err(if runs == 0 { FindError::Empty } else { too_far });
    }
    let ids: Vec<String> = history.files()?.into_iter().map(|file| file.id).collect();
    Ok(history.read(meant(text, &ids)?)?)
}

/// `latest` is 0, `latest~2` is 2.
fn latest(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("latest")?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix('~')?.parse().ok() }
}

/// The one id that is `text` or begins with it.
fn meant<'i>(text: &str, ids: &'i [String]) -> Result<&'i str, FindError> {
    if ids.is_empty() {
        return Err(FindError::Empty);
    }
    if let Some(id) = ids.iter().find(|id| *id == text) {
        return Ok(id);
    }
    let begin = |id: &&String| !text.is_empty() && id.starts_with(text);
    let found: Vec<&String> = ids.iter().filter(begin).collect();
    match found.as_slice() {
        [id] => Ok(id),
        [] => Err(FindError::Unknown { text: text.to_owned(), hint: suggest(text, ids) }),
        _ => Err(FindError::Ambiguous {
            text: text.to_owned(),
            ids: found.into_iter().cloned().collect(),
        }),
    }
}

/// `did you mean …?` if something is close, and the newest that there are.
fn suggest(text: &str, ids: &[String]) -> String {
    let distances = ids.iter().map(|id| (strsim::damerau_levenshtein(text, id), id));
    // Of several the first, which is the newest.
    let near = distances.min_by_key(|(distance, _)| *distance);
    let known = format!("known: {}, `latest`", listed(ids));
    match near {
        Some((distance, id)) if distance <= id.len() / 3 => {
            format!("did you mean `{id}`? {known}")
        }
        _ => known,
    }
}

fn listed(ids: &[String]) -> String {
    let mut shown: Vec<String> = ids.iter().take(SHOWN).map(|id| format!("`{id}`")).collect();
    if let more @ 1.. = ids.len() - shown.len() {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<String> {
        ["20201202T100000.000000Z-7", "20201201T110000.000000Z-7", "20201201T100000.000000Z-7"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn an_id_or_the_beginning_of_one_alone_is_meant() {
        let ids = ids();
        assert_eq!(meant(&ids[2], &ids).unwrap(), ids[2]);
        assert_eq!(meant("20201202", &ids).unwrap(), ids[0]);
        assert_eq!(meant("20201201T11", &ids).unwrap(), ids[1]);
        let error = meant("20201201", &ids).unwrap_err();
        assert_eq!(error.to_string(), "`20201201` is the beginning of 2 runs");
        assert!(error.hint().unwrap().contains(&ids[2]));
    }

    #[test]
    fn who_means_no_run_is_told_which_there_are() {
        let ids = ids();
        let error = meant("20201203T100000.000000Z-7", &ids).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage);
        assert!(error.hint().unwrap().starts_with(&format!("did you mean `{}`?", ids[0])));
        let hint = meant("yesterday", &ids).unwrap_err().hint().unwrap();
        assert!(hint.starts_with("known: `20201202T"), "{hint}");
        assert!(meant("", &ids).unwrap_err().hint().is_some());
        assert!(matches!(meant("2", &[]), Err(FindError::Empty)));
    }

    #[test]
    fn latest_counts_backwards() {
        assert_eq!(latest("latest"), Some(0));
        assert_eq!(latest("latest~2"), Some(2));
        for text in ["latest~", "latest2", "latest~-1", "late", ""] {
            assert_eq!(latest(text), None, "{text}");
        }
    }
}
