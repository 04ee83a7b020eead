//! What a load refuses, and in which words.

use proptest::prelude::*;

use super::*;

#[test]
fn values_out_of_range_or_of_a_wrong_type_say_what_is_allowed() {
    let wrong = [
        ("processing.chunk_size", &["0", "-1", "1.5", "1e4", "ten", "'10'", "[1]", "{a: 1}"][..]),
        ("processing.max_memory_mb", &["127", "18446744073709551616"]),
        ("processing.target_window_days", &["0", "36501"]),
        ("processing.lookback_window_days", &["0", "36501"]),
        ("processing.encoding", &["latin-1", "8"]),
        ("processing.n_workers", &["-1", "1025"]),
        ("processing.validate_schema", &["1", "yes", "'true'"]),
        ("processing.max_reject_rate", &["-0.1", "1.01", ".nan", ".inf", "'0.1'"]),
        ("quality.min_data_quality_score", &["2"]),
        ("quality.rules.rejects.severity", &["fatal", "false"]),
        ("quality.rules.rejects.threshold", &["1.5"]),
        ("quality.rules.gold_not_empty.threshold", &["-1", "0.5"]),
        ("logging.level", &["LOUD", "10"]),
        ("logging.format", &["xml"]),
        ("logging.log_file", &["''", "a/b", "..", "7"]),
        ("logging.max_file_size_mb", &["0"]),
        ("logging.backup_count", &["-1"]),
        ("validation.as_of", &["20201130", "2020-11-31", "tomorrow"]),
        (
            "validation.business_rules.max_payment_amount",
            &["0", "-5", "1000000000000.0000000000000001", "1e13", "1_000", ".inf", "much"],
        ),
        ("validation.business_rules.min_timestamp_days_ago", &["0", "36501"]),
        ("validation.thresholds.min_records_per_user", &["-1"]),
        ("sources.prints.files", &["[]", "''", "[a, '']", "[1]", "[[a]]", "{a: b}"]),
        ("preprocess.dedupe.taps", &["remove"]),
        ("store.keep", &["0"]),
        ("store.path", &["''", "'  '", "5", "[a]"]),
        ("data_paths.raw", &["''", "true"]),
    ];
    for (key, values) in wrong {
        for value in values {
            let error = Project::new().params(&nest(key, value)).error();
            let start = format!("`config/params.yaml:{}`: `{key}` must ", key.split('.').count());
            assert!(error.starts_with(&start), "{key}={value}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
    let error = Project::new().params("processing:\n  chunk_size: 1e4\n").error();
    let expected = "`processing.chunk_size` must be an integer of at least 1, not `1e4`";
    assert_eq!(error, format!("`config/params.yaml:2`: {expected}"));
}

#[test]
fn a_value_that_is_right_but_for_its_quotes_or_its_emptiness_is_told_so() {
    for (key, value, expected) in [
        (
            "processing.chunk_size",
            "\"100\"",
            "an integer of at least 1, not the text `100`; drop the quotes",
        ),
        (
            "processing.validate_schema",
            "'true'",
            "`true` or `false`, not the text `true`; drop the quotes",
        ),
        (
            "processing.max_reject_rate",
            "'0.1'",
            "a number from 0 to 1, not the text `0.1`; drop the quotes",
        ),
        // Wrong without its quotes too.
        ("processing.chunk_size", "'0'", "an integer of at least 1, not `0`"),
        ("processing.chunk_size", "''", "an integer of at least 1, not ``"),
        (
            "sources.taps.files",
            "[]",
            "a list of one or more file names or globs, not an empty list",
        ),
    ] {
        let error = Project::new().params(&nest(key, value)).error();
        assert!(error.ends_with(&format!("`{key}` must be {expected}")), "{error}");
    }
}

#[test]
fn an_as_of_outside_the_calendar_of_rows_says_what_the_bounds_are() {
    for given in ["0000-01-01", "9999-12-31", "9999-12-31T23:59:59-00:01"] {
        let error = Project::new().set(&format!("validation.as_of={given}")).error();
        let expected = "`validation.as_of` must be a date from 0001-01-01 to 9999-12-30 or an \
                        instant from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z, not ";
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_file_is_named_even_if_it_is_the_project_folder() {
    let mut project = Project::new();
    project.sources.files.push(project.folder.path().join("."));
    let error = project.error();
    let start = format!("configuration file `{}", project.folder.path().display());
    assert!(error.starts_with(&start), "{error}");
    assert!(error.contains("cannot be read: Is a directory"), "{error}");
}

#[test]
fn what_turns_out_wrong_later_is_named_at_the_place_that_gave_it() {
    let project = Project::new().params("sources:\n  taps:\n    files: '[a'\n");
    let problem = project.load().problem("sources.taps.files", "no glob");
    assert_eq!(problem.message, "`config/params.yaml:3`: `sources.taps.files`: no glob");
    assert_eq!((problem.line, problem.key.as_deref()), (Some(3), Some("sources.taps.files")));
}

#[test]
fn null_is_an_error_for_a_value_and_nothing_for_a_section() {
    for key in KEYS.iter().filter(|key| key.kind != Kind::AsOf) {
        for null in ["null", "~", ""] {
            let error = Project::new().params(&nest(key.name, null)).error();
            assert!(error.contains("not null; leave it out"), "{}: {error}", key.name);
        }
    }
    let loaded = Project::new().params("logging:\nquality:\n  rules:\n    rejects:\n").load();
    assert_eq!(loaded.values, Project::new().load().values);
    for empty in ["", "# nothing\n", "---\n", "{}"] {
        assert_eq!(Project::new().params(empty).load().values, loaded.values);
    }
    let project = Project::new().params("validation: {as_of: 2020-11-01}").env("MP_AS_OF", "null");
    assert_eq!(project.load().config.as_of().as_given(), "2026-11-23");
}

#[test]
fn an_unknown_key_is_refused_in_every_layer_with_a_suggestion() {
    let file = Project::new().params("# x\nprocessing:\n  chunksize: 5\n").error();
    let rest = "unknown key `processing.chunksize`; did you mean";
    assert_eq!(file, format!("`config/params.yaml:3`: {rest} `processing.chunk_size`?"));
    let env = Project::new().env("MP__Processing__ChunkSize", "5").error();
    assert_eq!(
        env,
        format!(
            "environment variable `MP__Processing__ChunkSize`: {rest} `MP__PROCESSING__CHUNK_SIZE`?"
        )
    );
    let set = Project::new().set("processing.chunksize=5").error();
    assert_eq!(set, format!("`--set processing.chunksize=5`: {rest} `processing.chunk_size`?"));
    for text in ["zzz: 1", "'': 1", "5: 1", "null: 1", "a.b: 1", "<<: {store: {keep: 4}}"] {
        assert!(Project::new().params(text).error().contains("unknown key `"), "{text}");
    }
    let dotted = Project::new().params("processing.chunk_size: 5").error();
    assert!(dotted.ends_with("must be written as nested keys, without dots"), "{dotted}");
    for set in ["=5", "=", "MP=1"] {
        assert!(Project::new().set(set).error().contains("unknown key"), "{set}");
    }
    assert!(Project::new().env("MP__", "x").error().contains("unknown key"));
    Project::new().env("MP_CHUNK", "x").env("mp__store__keep", "x").env("XMP__A", "1").load();
}

#[test]
fn a_file_that_is_no_map_of_keys_is_refused_with_its_line() {
    for (text, start) in [
        ("- a\n- b\n", "`config/params.yaml:1`: the document must be a map of keys, not a list"),
        ("\njust text\n", "`config/params.yaml:2`: the document must be a map of keys, not `just"),
        ("a: 1\nb: [\n", "`config/params.yaml:3`: not valid YAML: "),
        ("\tstore: 1\n", "`config/params.yaml:1`: not valid YAML: "),
        ("store: 5\n", "`config/params.yaml:1`: `store` must be a map of keys, not `5`"),
        (
            "store:\n  keep: 4\n  keep: 5\n",
            "`config/params.yaml:3`: `store.keep` is given twice, f",
        ),
        ("store: {keep: 4}\nstore: {}\n", "`config/params.yaml:2`: `store` is given twice, first "),
        ("store: {keep: !big 4}\n", "`config/params.yaml:1`: not valid YAML: store.keep: the tag"),
        ("store: {keep: 4}\n---\nstore: {}\n", "`config/params.yaml:1`: not valid YAML: "),
        ("sources: {taps: {files: *.json}}", "`config/params.yaml:1`: not valid YAML: "),
    ] {
        let error = Project::new().params(text).error();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
    let hint = Project::new().params("sources:\n  taps:\n    files: *.json\n").error();
    assert!(hint.ends_with("a glob that begins with `*` needs quotes"), "{hint}");
    let latin = Project::new().write("config/params.yaml", b"a: 1\nb: \xe9\n").error();
    assert_eq!(latin, "`config/params.yaml:2`: not UTF-8");
}

#[test]
fn a_value_of_the_environment_or_set_that_does_not_parse_names_what_gave_it() {
    for (name, given, start) in [
        (
            "MP_CHUNK_SIZE",
            "abc",
            "`processing.chunk_size` must be an integer of at least 1, not `a",
        ),
        ("MP_VALIDATE_SCHEMA", "maybe", "`processing.validate_schema` must be `true` or `false`, "),
        ("MP_CHUNK_SIZE", "[", "`processing.chunk_size` is given `[`, not valid YAML"),
        ("MP_CHUNK_SIZE", " ", "`processing.chunk_size` has no value"),
        ("MP_AS_OF", "", "`validation.as_of` has no value"),
        ("MP_LOG_LEVEL", "loud", "`logging.level` must be one of TRACE, DEBUG, INFO, WARN, WARN"),
        ("MP__LOGGING", "5", "`logging` must be a map of keys, not `5`"),
        ("MP__STORE__KEEP", "0", "`store.keep` must be an integer of at least 1, not `0`"),
        ("MP__SOURCES__TAPS__FILES", "[*.json]", "`sources.taps.files` is given `[*.json]`, not"),
    ] {
        let error = Project::new().env(name, given).error();
        let start = format!("environment variable `{name}`: {start}");
        assert!(error.starts_with(&start), "{name}={given}: {error}");
    }
    let error = Project::new().set("processing.chunk_size=abc").error();
    let start = "`--set processing.chunk_size=abc`: `processing.chunk_size` must be an integer";
    assert!(error.starts_with(start), "{error}");
    let error = Project::new().set("chunk_size").error();
    assert_eq!(error, "`--set chunk_size`: must be written as key=value");
    let twice = Project::new().env("MP__STORE__KEEP", "1").env("MP__store__keep", "2").error();
    let text =
        "environment variable `MP__store__keep`: `store.keep` is given by `MP__STORE__KEEP` too";
    assert_eq!(twice, text);
}

#[test]
fn crossed_bounds_are_named_at_the_key_that_was_given() {
    let error = Project::new().set("validation.thresholds.min_records_per_user=10001").error();
    assert_eq!(
        error,
        "`--set validation.thresholds.min_records_per_user=10001`: \
         `validation.thresholds.min_records_per_user` must be at most \
         `validation.thresholds.max_records_per_user`, but 10001 is above 10000 \
         (`validation.thresholds.max_records_per_user`: default)"
    );
    let text = "validation:\n  thresholds:\n    max_records_per_user: 0\n";
    assert!(Project::new().params(text).error().starts_with("`config/params.yaml:3`: "));
    let equal = "validation: {thresholds: {min_records_per_user: 7, max_records_per_user: 7}}";
    assert_eq!(Project::new().params(equal).load().config.quality().max_records_per_user, 7);
}

#[test]
fn all_problems_of_all_layers_are_reported_together() {
    let mut project = Project::new()
        .params("processing:\n  chunk_size: 0\n  chunk_sice: 1\nnope: 1\n")
        .file("broken.yaml", "a: [")
        .env("MP_MAX_MEMORY_MB", "1")
        .set("store.keep=0");
    // Given once more, it adds nothing.
    project.sources.files.push(project.folder.path().join("config/params.yaml"));
    project.sources.files.push("missing.yaml".into());
    project.sources.as_of = Some("x".to_owned());
    let error = load(&project.sources, today()).map(|_| ()).unwrap_err();
    assert_eq!(error.problems().len(), 8, "{error}");
    assert_eq!(error.exit_code(), crate::exit_code::ExitCode::Usage);
    let text = error.to_string();
    assert!(text.starts_with("8 problems in the configuration\n  - `config/params.yaml:2`: "));
    assert!(text.contains("\n  - configuration file `missing.yaml` cannot be read: "), "{text}");
    let second = &error.problems()[1];
    assert_eq!((second.file.as_deref(), second.line), (Some("config/params.yaml"), Some(3)));
    assert_eq!(second.key.as_deref(), Some("processing.chunk_sice"));
}

#[test]
fn a_project_folder_that_does_not_exist_is_an_error() {
    let sources = Sources { project: "/nowhere/at/all".into(), ..Sources::default() };
    let error = load(&sources, today()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "project folder `/nowhere/at/all` does not exist");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_whatever_panics(text in "\\PC{0,60}", key in 0..KEYS.len()) {
        let name = KEYS[key].name;
        let set = Project::new().set(&format!("{name}={text}")).set(&text);
        let _ = load(&set.sources, today());
        let env = Project::new().env(&generic(name), &text).env(&format!("MP__{text}"), "1");
        let _ = load(&env.sources, today());
        let _ = load(&Project::new().params(&text).sources, today());
        let _ = load(&Project::new().params(&nest(name, &text)).sources, today());
    }
}
