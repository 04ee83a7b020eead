//! Random small inputs against the naive model: few users and days, so that ties, duplicates and
//! window edges abound.

use proptest::prelude::*;
use serde_json::json;

use crate::events::{Files, Line, SOURCES, Source, When, World};
use crate::naive::{self, Dedupe, Rules};
use crate::project::Project;

#[derive(Clone, Debug)]
struct Settings {
    dedupe: [Dedupe; 3],
    target_days: i64,
    lookback_days: i64,
    as_of_day: i64,
    tiny: bool,
    threads: u32,
}

fn when() -> impl Strategy<Value = When> {
    let forms = prop_oneof![
        6 => Just(""),
        1 => Just("T00:00:00Z"),
        1 => Just("T23:59:59.999999Z"),
        1 => Just("T22:30:00-03:00"),
        1 => Just("T01:00:00.5+02:00"),
        1 => Just(" "),
    ];
    (0..16_i64, forms).prop_map(|(day, form)| {
        let date = When::november(day - 2).text;
        When::new(&format!("{date}{form}"))
    })
}

fn user() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("1"),
        2 => Just("2"),
        2 => Just("30"),
        1 => Just("ñandú"),
        1 => Just("007"),
    ]
}

fn prop() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("point"), 2 => Just("prepaid"), 1 => Just(" point")]
}

fn shown() -> impl Strategy<Value = Line> {
    let line = (when(), proptest::option::weighted(0.8, 0..3_i64), prop(), user())
        .prop_map(|(when, position, prop, user)| Line::shown(&when, position, prop, user));
    prop_oneof![12 => line, 1 => Just(Line::bad(r#"{"day": "2020-11-31", "user_id": 1}"#))]
}

fn paid() -> impl Strategy<Value = Line> {
    let line = (when(), 1..400_i64, prop(), user())
        .prop_map(|(when, cents, prop, user)| Line::paid(&when, cents % 40 + 1, prop, user));
    prop_oneof![12 => line, 1 => Just(Line::bad("2020-11-05,0,1,point"))]
}

/// Lines in one file or up to three; the names do not sort in the order of their making.
fn files(source: Source, lines: Vec<Line>, cut: usize) -> Files {
    if cut == 0 {
        return Files::from([(source.default_file().to_owned(), lines)]);
    }
    let extension = if source == Source::Payments { "csv" } else { "json" };
    let mut files = Files::new();
    for (n, part) in lines.chunks(lines.len() / (cut + 1) + 1).enumerate() {
        let name = ["b", "a", "c/d"][n];
        files.insert(format!("{}-{name}.{extension}", source.name()), part.to_vec());
    }
    files.entry(format!("{}-a.{extension}", source.name())).or_default();
    files
}

fn world() -> impl Strategy<Value = World> {
    let lines = |n| proptest::collection::vec(shown(), 0..n);
    let cut = || 0..3_usize;
    let payments = proptest::collection::vec(paid(), 0..30);
    (lines(50), lines(20), payments, (cut(), cut(), cut())).prop_map(|(p, t, y, cuts)| World {
        prints: files(Source::Prints, p, cuts.0),
        taps: files(Source::Taps, t, cuts.1),
        payments: files(Source::Payments, y, cuts.2),
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let dedupe = || prop_oneof![Just(Dedupe::Drop), Just(Dedupe::Flag), Just(Dedupe::Keep)];
    let dedupe = (dedupe(), dedupe(), dedupe()).prop_map(|(a, b, c)| [a, b, c]);
    (dedupe, 1..9_i64, 1..9_i64, 8..14_i64, any::<bool>(), 1..3_u32).prop_map(
        |(dedupe, target_days, lookback_days, as_of_day, tiny, threads)| Settings {
            dedupe,
            target_days,
            lookback_days,
            as_of_day,
            tiny,
            threads,
        },
    )
}

fn project(world: &World, settings: &Settings) -> Project {
    let mut project = Project::empty()
        .with("validation.as_of", json!(When::november(settings.as_of_day).text))
        .with("processing.target_window_days", json!(settings.target_days))
        .with("processing.lookback_window_days", json!(settings.lookback_days))
        .with("processing.max_reject_rate", json!(1.0))
        .with("processing.n_workers", json!(settings.threads))
        .with("quality.enable_quality_checks", json!(false));
    for (source, dedupe) in SOURCES.into_iter().zip(settings.dedupe) {
        project.set(&format!("preprocess.dedupe.{}", source.name()), json!(dedupe.name()));
    }
    project.write_world(world);
    if settings.tiny { project.tiny() } else { project }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn silver_and_gold_are_what_the_naive_model_says(world in world(), settings in settings()) {
        let project = project(&world, &settings);
        project.run_all();
        let view = project.view();
        let expected = naive::expect(&world, &Rules {
            as_of_us: When::november(settings.as_of_day + 1).micros,
            dedupe: settings.dedupe,
            target_days: settings.target_days,
            lookback_days: settings.lookback_days,
        });
        for (n, source) in SOURCES.into_iter().enumerate() {
            let silver = view.silver(source).without("processed_at");
            prop_assert_eq!(silver.rows, naive::silver_rows(source, &expected.silver[n]));
            let preprocess = format!("preprocess.{}", source.name());
            prop_assert_eq!(view.count(&preprocess, "duplicates"), expected.duplicates[n]);
            prop_assert_eq!(view.count(&preprocess, "rows_after_as_of"), expected.after_as_of[n]);
            let extract = format!("extract.{}", source.name());
            prop_assert_eq!(view.count(&extract, "rows_rejected"), expected.rejected[n]);
        }
        prop_assert_eq!(&view.gold().rows, &expected.gold.rows);
        let rate = view.report()["business_rules"]["taps_have_prints_rate"].as_f64();
        let [prints, taps, _] = &expected.silver;
        let want = naive::share_with(taps, prints);
        prop_assert!((rate.expect("a rate") - want).abs() < 1e-6);
    }
}
