//! The manifest of a task: what went in, what came out, and apart from that the run that made it.
//!
//! A pure value with its JSON form. Does not know where it lies or whether it is still true.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::checksum;
use super::digest::Digest;
use super::error::StoreError;
use super::layout::{Folder, Place, PlaceError, task_name};

/// The version written, and the newest that can be read.
pub const MANIFEST_VERSION: u32 = 1;

/// How the attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Success,
    Failed,
}

/// One input as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFact {
    pub sha256: Digest,
    pub bytes: u64,
}

impl InputFact {
    /// Of a file that nobody has read yet: of another length than any that was ever seen, so its
    /// content is new, whatever it is.
    pub fn unread(bytes: u64) -> InputFact {
        InputFact {
            sha256: Digest::of_bytes(format!("{bytes} bytes, not read yet").as_bytes()),
            bytes,
        }
    }

    /// Is it known by its length alone?
    pub fn is_unread(&self) -> bool {
        *self == InputFact::unread(self.bytes)
    }
}

/// The run that made a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    pub run_id: String,
    /// RFC 3339.
    pub ended_at: String,
}

impl fmt::Display for MadeBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} ({})", self.run_id, self.ended_at)
    }
}

/// All that decides the outcome of a task: the list whose difference is the reason to run again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ingredients {
    /// Raised by hand when the meaning of the stage changes.
    pub stage_version: u32,
    /// What the stage read of the configuration, by key.
    pub settings: BTreeMap<String, Value>,
    /// The logical time, where it matters.
    pub as_of: Option<String>,
    /// By path relative to the folder it came from; only the hash counts.
    pub inputs: BTreeMap<String, InputFact>,
}

impl Ingredients {
    /// SHA-256 of the canonical JSON (sorted keys, no spaces) of the list and its task.
    pub fn fingerprint(&self, stage: &str, source: Option<&str>) -> Digest {
        // The keys in their order. Those within a setting are in theirs because serde_json's map is
        // a BTreeMap: its `preserve_order` feature is off.
        let canonical = Canonical {
            as_of: self.as_of.as_deref(),
            inputs: Hashes(&self.inputs),
            settings: &self.settings,
            source,
            stage,
            stage_version: self.stage_version,
        };
        // Maps with string keys always have a JSON form.
        Digest::of_bytes(&serde_json::to_vec(&canonical).unwrap_or_default())
    }
}

/// What a fingerprint is made of.
#[derive(Serialize)]
struct Canonical<'i> {
    as_of: Option<&'i str>,
    inputs: Hashes<'i>,
    settings: &'i BTreeMap<String, Value>,
    source: Option<&'i str>,
    stage: &'i str,
    stage_version: u32,
}

/// Of the inputs only the hash counts.
struct Hashes<'i>(&'i BTreeMap<String, InputFact>);

impl Serialize for Hashes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (path, fact) in self.0 {
            map.serialize_entry(path, &fact.sha256)?;
        }
        map.end()
    }
}

/// A column of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub dtype: String,
}

/// One file that a task made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OutputRead")]
pub struct Output {
    /// The folder and the name in it; the store and the object's own name when not published.
    #[serde(flatten)]
    pub place: Place,
    /// Visible under a name of its own.
    pub published: bool,
    pub sha256: Digest,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Vec<Column>>,
    /// Permissions, in octal digits.
    #[serde(serialize_with = "mode_to_text")]
    pub mode: u32,
}

/// An [`Output`] as it stands in a manifest. Reading into a flattened field takes several times as
/// long, and there are thousands.
#[derive(Deserialize)]
struct OutputRead {
    folder: Folder,
    path: String,
    published: bool,
    sha256: Digest,
    bytes: u64,
    #[serde(default)]
    rows: Option<u64>,
    #[serde(default)]
    schema: Option<Vec<Column>>,
    #[serde(deserialize_with = "mode_from_text")]
    mode: u32,
}

impl TryFrom<OutputRead> for Output {
    type Error = PlaceError;

    fn try_from(read: OutputRead) -> Result<Output, PlaceError> {
        let OutputRead { folder, path, published, sha256, bytes, rows, schema, mode } = read;
        let place = Place::checked(folder, path)?;
        Ok(Output { place, published, sha256, bytes, rows, schema, mode })
    }
}

fn mode_to_text<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{mode:04o}"))
}

fn mode_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a file mode")))
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFact {
    pub exit_code: u8,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The run that made it: wall-clock facts, outside the hashed part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub id: String,
    pub started_at: String,
    pub ended_at: String,
    pub seconds: f64,
    pub chunks: Option<u64>,
    pub mp_version: String,
    pub host: String,
    pub pid: u32,
    /// Which dag, task, run and try of Airflow it was, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub airflow: BTreeMap<String, String>,
}

/// Facts of a stage, as JSON text: most who read a manifest do not ask for them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extra(Option<Box<RawValue>>);

impl Extra {
    /// These facts, each on a line of its own, and each item of a list on one.
    pub fn new(facts: &Value) -> Extra {
        let Value::Object(fields) = facts else { return Extra(None) };
        let field = |(key, fact): (&String, &Value)| {
            let fact = match fact {
                Value::Array(items) => {
                    let items: Vec<String> =
                        items.iter().map(|item| format!("\n      {item}")).collect();
                    format!("[{}\n    ]", items.join(","))
                }
                fact => fact.to_string(),
            };
            format!("\n    {}: {fact}", Value::from(key.as_str()))
        };
        let fields: Vec<String> = fields.iter().map(field).collect();
        Extra(RawValue::from_string(format!("{{{}\n  }}", fields.join(","))).ok())
    }

    const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// One of the facts; one that is not there reads as `null`.
    pub fn get<'e, T: Deserialize<'e>>(&'e self, key: &str) -> serde_json::Result<T> {
        let facts: BTreeMap<Cow<'e, str>, &'e RawValue> = match &self.0 {
            Some(text) => serde_json::from_str(text.get())?,
            None => BTreeMap::new(),
        };
        serde_json::from_str(facts.get(key).map_or("null", |fact| fact.get()))
    }
}

impl PartialEq for Extra {
    fn eq(&self, other: &Extra) -> bool {
        self.0.as_deref().map(RawValue::get) == other.0.as_deref().map(RawValue::get)
    }
}

/// What a task leaves beside its outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "ManifestRead")]
pub struct Manifest {
    pub manifest_version: u32,
    pub stage: String,
    pub source: Option<String>,
    pub status: Status,
    /// Of the ingredients below; checked when read.
    pub fingerprint: Digest,
    #[serde(flatten)]
    pub ingredients: Ingredients,
    pub outputs: Vec<Output>,
    /// `rows_read`, `rows_valid` …
    pub counts: Map<String, Value>,
    /// Facts of the stage for those that depend on it.
    #[serde(skip_serializing_if = "Extra::is_none")]
    pub extra: Extra,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorFact>,
    pub run: RunFacts,
}

/// A [`Manifest`] as it is read; see [`OutputRead`].
#[derive(Deserialize)]
struct ManifestRead {
    manifest_version: u32,
    stage: String,
    source: Option<String>,
    status: Status,
    fingerprint: Digest,
    stage_version: u32,
    settings: BTreeMap<String, Value>,
    as_of: Option<String>,
    inputs: BTreeMap<String, InputFact>,
    outputs: Vec<Output>,
    counts: Map<String, Value>,
    #[serde(default)]
    extra: Extra,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    error: Option<ErrorFact>,
    run: RunFacts,
}

impl From<ManifestRead> for Manifest {
    fn from(read: ManifestRead) -> Manifest {
        let ManifestRead { stage_version, settings, as_of, inputs, .. } = read;
        Manifest {
            manifest_version: read.manifest_version,
            stage: read.stage,
            source: read.source,
            status: read.status,
            fingerprint: read.fingerprint,
            ingredients: Ingredients { stage_version, settings, as_of, inputs },
            outputs: read.outputs,
            counts: read.counts,
            extra: read.extra,
            warnings: read.warnings,
            error: read.error,
            run: read.run,
        }
    }
}

/// Why a manifest's bytes are none.
#[derive(Debug)]
pub enum ManifestError {
    /// Torn, edited or foreign: as good as missing.
    Unreadable(String),
    /// Not to be touched.
    Newer(StoreError),
}

/// What stands in place of a manifest that was set aside, so that its task runs again.
#[derive(Serialize, Deserialize)]
struct SetAside {
    manifest_version: u32,
    set_aside: String,
}

/// The document that sets a manifest aside, and says why.
pub(super) fn set_aside_json(why: &str) -> String {
    let aside = SetAside { manifest_version: MANIFEST_VERSION, set_aside: why.to_owned() };
    serde_json::to_string_pretty(&aside).unwrap_or_default() + "\n"
}

/// Why there is no manifest, if it was set aside.
pub(super) fn set_aside_because(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice::<SetAside>(bytes).ok().map(|aside| aside.set_aside)
}

impl Manifest {
    /// `extract.prints`, `features`.
    pub fn task(&self) -> String {
        task_name(&self.stage, self.source.as_deref())
    }

    /// The run that made it.
    pub fn made_by(&self) -> MadeBy {
        MadeBy { run_id: self.run.id.clone(), ended_at: self.run.ended_at.clone() }
    }

    /// The published output of that name.
    pub fn published(&self, place: &Place) -> Option<&Output> {
        self.outputs.iter().find(|output| output.published && output.place == *place)
    }

    /// The JSON document, pretty, with a newline at its end and a checksum before it.
    pub fn to_json(&self) -> String {
        // A value of strings, numbers and maps with string keys always has a JSON form.
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        checksum::sealed(&(json + "\n"))
    }

    /// Reads what [`Manifest::to_json`] wrote; `path` only names it in errors.
    pub fn from_json(bytes: &[u8], path: &Path) -> Result<Manifest, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            manifest_version: u64,
            /// In place of everything else.
            set_aside: Option<String>,
        }
        let read = serde_json::from_slice::<Manifest>(bytes);
        // A newer one may look like one of today, or like none.
        let (version, set_aside) = match &read {
            Ok(manifest) => (u64::from(manifest.manifest_version), None),
            Err(_) => {
                let version = serde_json::from_slice::<Version>(bytes);
                version.map_or((0, None), |version| (version.manifest_version, version.set_aside))
            }
        };
        if version > u64::from(MANIFEST_VERSION) {
            return Err(ManifestError::Newer(StoreError::Newer {
                path: path.to_owned(),
                what: "manifest",
                found: version,
                known: MANIFEST_VERSION,
            }));
        }
        let manifest = read.map_err(|error| match set_aside {
            Some(why) => {
                ManifestError::Unreadable(format!("set aside by `mp verify --repair`: {why}"))
            }
            None => ManifestError::Unreadable(error.to_string()),
        })?;
        if !checksum::holds(bytes) {
            return Err(ManifestError::Unreadable(checksum::WRONG.to_owned()));
        }
        let due = manifest.ingredients.fingerprint(&manifest.stage, manifest.source.as_deref());
        if manifest.fingerprint != due {
            let text = "its fingerprint is not that of its ingredients".to_owned();
            return Err(ManifestError::Unreadable(text));
        }
        let astray =
            |output: &&Output| !output.published && !output.place.is_object(&output.sha256);
        if let Some(output) = manifest.outputs.iter().find(astray) {
            let text = format!("`{}` is not the object of its hash", output.place);
            return Err(ManifestError::Unreadable(text));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As each version writes it; stays as it is for as long as that version must be read.
    const VERSIONS: [&str; MANIFEST_VERSION as usize] =
        [include_str!("../../tests/versions/manifest.1.json")];
    const VERSION_1: &str = VERSIONS[0];

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::from_json(text.as_bytes(), Path::new("m.json"))
    }

    #[test]
    fn every_version_is_read_and_the_newest_written_to_the_byte() {
        let manifests = VERSIONS.map(|text| read(text).unwrap());
        let manifest = &manifests[manifests.len() - 1];
        // The first builds wrote no checksum.
        assert_eq!(manifest.to_json(), checksum::sealed(VERSIONS[VERSIONS.len() - 1]));
        assert_eq!(manifest.task(), "extract.prints");
        assert_eq!(manifest.outputs[0].mode, 0o640);
        assert!(manifest.published(&Place::rejects("prints")).is_some());
        assert!(manifest.published(&Place::rejects("taps")).is_none());
    }

    #[test]
    fn the_fingerprint_is_of_the_canonical_json() {
        let manifest = read(VERSION_1).unwrap();
        let canonical = concat!(
            r#"{"as_of":null,"inputs":{"prints.json":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b"#,
            r#"934ca495991b7852b855"},"settings":{"processing.max_reject_rate":0.02},"#,
            r#""source":"prints","stage":"extract","stage_version":1}"#,
        );
        assert_eq!(manifest.fingerprint, Digest::of_bytes(canonical.as_bytes()));
        let other = manifest.ingredients.fingerprint("extract", Some("taps"));
        assert_ne!(manifest.fingerprint, other);
    }

    #[test]
    fn facts_are_read_back_one_by_one() {
        let files = serde_json::json!([{"name": "a\n\"b"}, {"name": "é"}]);
        let facts = serde_json::json!({"files": files, "none": [], "target": 7});
        let mut manifest = read(VERSION_1).unwrap();
        manifest.extra = Extra::new(&facts);
        let text = manifest.to_json();
        assert!(text.lines().any(|line| line.trim() == r#"{"name":"é"}"#), "{text}");
        let back = read(&text).unwrap();
        assert_eq!((&back, back.to_json()), (&manifest, text));
        assert_eq!(back.extra.get::<Value>("files").unwrap(), files);
        assert!(back.extra.get::<Vec<u8>>("none").unwrap().is_empty());
        assert_eq!(back.extra.get::<Option<u8>>("gone").unwrap(), None);
        assert!(back.extra.get::<String>("target").is_err());
        assert_eq!(Extra::new(&Value::Null), read(VERSION_1).unwrap().extra);
    }

    #[test]
    fn a_newer_version_is_refused_and_not_taken_for_damage() {
        let text = r#"{"manifest_version": 2, "all": "is different"}"#;
        let Err(ManifestError::Newer(error)) = read(text) else { panic!("taken for damage") };
        assert!(error.to_string().contains("`m.json` has manifest version 2"), "{error}");
    }

    #[test]
    fn what_was_set_aside_says_why() {
        let Err(ManifestError::Unreadable(why)) = read(&set_aside_json("gold is damaged")) else {
            panic!("taken for a manifest")
        };
        assert_eq!(why, "set aside by `mp verify --repair`: gold is damaged");
        assert_eq!(set_aside_because(VERSION_1.as_bytes()), None);
    }

    #[test]
    fn torn_or_edited_is_unreadable() {
        let text = VERSION_1;
        let cut = &text[..text.len() / 2];
        let edited = text.replace("0.02", "0.5");
        let upwards = text.replace("_rejects/prints.csv", "../../prints.csv");
        let mode = text.replace("0640", "9999");
        let sealed = checksum::sealed(text);
        assert_eq!(read(&sealed).unwrap(), read(text).unwrap());
        let count = sealed.replace("\"rows_read\": 0", "\"rows_read\": 9");
        assert_ne!(count, sealed);
        for text in ["", "{}", "null", cut, &edited, &upwards, &mode, &count] {
            assert!(matches!(read(text), Err(ManifestError::Unreadable(_))), "{text}");
        }
    }
}
