//! The words for what happens in a run, one line each, in the form of the first version.
//!
//! Pure functions: no clock, no terminal.

use super::pace::seconds_left;
use crate::progress::Unit;

pub(super) fn start(task: &str) -> String {
    format!("🚀 start: {task}")
}

pub(super) fn done(task: &str, seconds: f64) -> String {
    format!("✅ done: {task} (duration: {seconds:.2}s)")
}

/// As [`done`], for a result of `run` that was still in the store.
pub(super) fn restored(task: &str, run: &str, seconds: f64) -> String {
    format!("♻️  restored: {task} from run {run} (duration: {seconds:.2}s)")
}

pub(super) fn up_to_date(task: &str) -> String {
    format!("⏭️  up to date: {task}")
}

/// Of `total` things `done` are done, the last of them `what`.
pub(super) fn processed(done: u64, total: u64, what: &str) -> String {
    format!("📈 [{done}/{total}] ({:.1}%) processed {what}", percent(done, total))
}

pub(super) fn waiting(task: &str, holder: &str) -> String {
    format!("⏳ waiting for {holder} ({task})")
}

pub(super) fn warning(task: &str, text: &str) -> String {
    format!("⚠️  {task}: {text}")
}

pub(super) fn failed(task: &str, message: &str, hint: Option<&str>) -> String {
    format!("❌ failed: {task}: {message}{}", below(hint))
}

/// As [`blocked`], where it is not a task of this run that stands in the way.
pub(super) fn refused(task: &str, message: &str, hint: Option<&str>) -> String {
    format!("🚧 blocked: {task}: {message}{}", below(hint))
}

fn below(hint: Option<&str>) -> String {
    hint.map(|hint| format!("\n   hint: {hint}")).unwrap_or_default()
}

pub(super) fn retrying(task: &str, message: &str, after: &str, retry: u32, of: u32) -> String {
    format!("🔁 retrying in {after} ({retry} of {of}): {task}: {message}")
}

pub(super) fn not_begun(task: &str) -> String {
    format!("⏸️  not begun: {task}, for another task failed")
}

pub(super) fn blocked(task: &str, by: &str) -> String {
    format!("🚧 blocked: {task} by {by}")
}

pub(super) fn cancelled(task: &str) -> String {
    format!("🛑 stopped: {task}")
}

/// The end of a run: how many tasks came out in which way.
pub(super) fn all_done(counts: &[(usize, &str)], seconds: f64) -> String {
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let told = if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") };
    format!("🏁 {told} (duration: {seconds:.2}s)")
}

/// How far a step got: `📈 [1,000/4,000 rows] (25.0%) extract.prints: 500 rows/s, ETA 0:06`.
pub(super) fn advanced(
    what: &str,
    done: u64,
    total: Option<u64>,
    unit: Unit,
    per_second: Option<u64>,
) -> String {
    let share = match total {
        Some(total) => format!(
            "[{}/{}] ({:.1}%)",
            bare_amount(done, unit),
            amount(total, unit),
            percent(done, total)
        ),
        None => format!("[{}]", amount(done, unit)),
    };
    format!("📈 {share} {what}{}", pace(done, total, unit, per_second))
}

/// What stands beside a bar, short enough for 80 columns: `1.0K/4.0K rows, 500/s, ETA 0:06`.
pub(super) fn beside_bar(
    done: u64,
    total: Option<u64>,
    unit: Unit,
    per_second: Option<u64>,
) -> String {
    let amount = |count| if unit == Unit::Bytes { bytes(count) } else { short(count) };
    let mut words = amount(done);
    if let Some(total) = total {
        words += &format!("/{}", amount(total));
    }
    words += match unit {
        Unit::Rows => " rows",
        Unit::Steps => " steps",
        Unit::Bytes => "",
    };
    if let Some(per_second) = per_second.filter(|_| unit != Unit::Steps) {
        words += &format!(", {}/s{}", amount(per_second), eta(done, total, per_second));
    }
    words
}

fn pace(done: u64, total: Option<u64>, unit: Unit, per_second: Option<u64>) -> String {
    let Some(per_second) = per_second.filter(|_| unit != Unit::Steps) else {
        return String::new();
    };
    format!(": {}/s{}", amount(per_second, unit), eta(done, total, per_second))
}

fn eta(done: u64, total: Option<u64>, per_second: u64) -> String {
    let seconds = total.and_then(|total| seconds_left(done, total, per_second));
    seconds.map(|seconds| format!(", ETA {}", clock(seconds))).unwrap_or_default()
}

fn percent(done: u64, total: u64) -> f64 {
    if total == 0 { 100.0 } else { done as f64 * 100.0 / total as f64 }
}

fn amount(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Rows => format!("{} rows", grouped(count)),
        Unit::Steps => format!("{} steps", grouped(count)),
        Unit::Bytes => bytes(count),
    }
}

/// An amount before another one of the same unit, which need not be said twice.
fn bare_amount(count: u64, unit: Unit) -> String {
    if unit == Unit::Bytes { bytes(count) } else { grouped(count) }
}

fn bytes(count: u64) -> String {
    let mut size = count as f64;
    let mut name = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        (size, name) = (size / 1024.0, next);
    }
    if name == "B" { format!("{count} B") } else { format!("{size:.1} {name}") }
}

/// `999`, `1.2K`, `12.3M`.
fn short(count: u64) -> String {
    let mut size = count as f64;
    let mut name = "";
    for next in ["K", "M", "G", "T"] {
        // What would be rounded up to 1000.0 is told in the next unit.
        if size < 999.95 {
            break;
        }
        (size, name) = (size / 1000.0, next);
    }
    if name.is_empty() { count.to_string() } else { format!("{size:.1}{name}") }
}

/// `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0:07`, `12:00`, `1:02:03`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_of_the_first_version() {
        assert_eq!(start("extract.prints"), "🚀 start: extract.prints");
        assert_eq!(processed(2, 5, "taps"), "📈 [2/5] (40.0%) processed taps");
        assert_eq!(done("extract.prints", 12.341), "✅ done: extract.prints (duration: 12.34s)");
        assert_eq!(up_to_date("features"), "⏭️  up to date: features");
        assert_eq!(blocked("features", "extract.taps"), "🚧 blocked: features by extract.taps");
        assert_eq!(waiting("features", "pid 7 on a"), "⏳ waiting for pid 7 on a (features)");
    }

    #[test]
    fn a_failure_has_its_hint_below() {
        assert_eq!(failed("a", "no file", None), "❌ failed: a: no file");
        assert_eq!(
            failed("a", "no file", Some("make one")),
            "❌ failed: a: no file\n   hint: make one"
        );
    }

    #[test]
    fn the_end_counts_what_there_was() {
        let counts = [(6, "done"), (0, "failed"), (2, "up to date")];
        assert_eq!(all_done(&counts, 3.2), "🏁 6 done, 2 up to date (duration: 3.20s)");
        assert_eq!(all_done(&[(0, "done")], 0.0), "🏁 nothing to do (duration: 0.00s)");
    }

    #[test]
    fn progress_has_rows_rate_and_time_left() {
        assert_eq!(
            advanced("extract.prints", 1_250_000, Some(10_000_000), Unit::Rows, Some(1_250_000)),
            "📈 [1,250,000/10,000,000 rows] (12.5%) extract.prints: 1,250,000 rows/s, ETA 0:07"
        );
        assert_eq!(
            advanced("extract.prints", 1_250, None, Unit::Rows, Some(100)),
            "📈 [1,250 rows] extract.prints: 100 rows/s"
        );
        assert_eq!(
            advanced("a", 3 << 29, Some(3 << 30), Unit::Bytes, Some(1 << 20)),
            "📈 [1.5 GiB/3.0 GiB] (50.0%) a: 1.0 MiB/s, ETA 25:36"
        );
        assert_eq!(advanced("a", 1, Some(4), Unit::Steps, Some(9)), "📈 [1/4 steps] (25.0%) a");
        assert_eq!(advanced("a", 0, Some(0), Unit::Rows, None), "📈 [0/0 rows] (100.0%) a");
    }

    #[test]
    fn the_words_beside_a_bar_fit_into_80_columns() {
        assert_eq!(beside_bar(5, Some(10), Unit::Rows, None), "5/10 rows");
        assert_eq!(beside_bar(5, None, Unit::Rows, Some(2)), "5 rows, 2/s");
        assert_eq!(beside_bar(1 << 20, None, Unit::Bytes, Some(2048)), "1.0 MiB, 2.0 KiB/s");
        let long = beside_bar(999_900, Some(999_900_000), Unit::Rows, Some(199_949));
        assert_eq!(long, "999.9K/999.9M rows, 199.9K/s, ETA 1:23:16");
        assert!(long.len() < 80 - "⠒ preprocess.payments [............] ".chars().count());
    }

    #[test]
    fn numbers_are_easy_to_read() {
        for (count, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")]
        {
            assert_eq!(grouped(count), text);
        }
        for (count, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 50, "1024.0 TiB")]
        {
            assert_eq!(bytes(count), text);
        }
        for (count, text) in [
            (999, "999"),
            (1_000, "1.0K"),
            (999_949, "999.9K"),
            (999_950, "1.0M"),
            (1 << 50, "1125.9T"),
        ] {
            assert_eq!(short(count), text);
        }
        for (seconds, text) in [(0, "0:00"), (61, "1:01"), (3723, "1:02:03")] {
            assert_eq!(clock(seconds), text);
        }
    }
}
