//! The log: one layer to stderr, one to a file that stays below a size, both text or both JSON.
//!
//! A text line is the time in UTC (RFC 3339), the level, the message and its fields; a JSON line
//! holds the same. Lines about progress are in the file always, but on stderr only as JSON: as
//! text, [`Display`] prints them itself. For a collector of logs, which has a clock of its own, a
//! line on stderr is text and begins with its level. Does not know events.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, layer};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

use super::console::Console;
use super::progress::{Display, Mode, TARGET};
use super::rotate::{Limits, RotatingWriter};
use crate::settings::{Level, LogFormat, LogSettings};

/// How to log.
#[derive(Debug, Clone)]
pub struct LogOptions<'a> {
    /// As configured.
    pub settings: &'a LogSettings,
    /// `-v` counted up, `-q` down: below 0 stderr shows errors only, each step above 0 logs a level
    /// more, on stderr and in the file.
    pub verbosity: i8,
    /// Whether somebody looks at stderr.
    pub stderr_is_terminal: bool,
    /// Whether there is a log file; without, no folder is made.
    pub to_file: bool,
    /// Whether a program reads stderr that looks for levels and groups, as Airflow does.
    pub collected: bool,
}

/// The log and the console of this process, for as long as it is held.
pub struct LogGuard {
    console: Console,
    mode: Mode,
    file: Option<Arc<RotatingWriter>>,
}

impl LogGuard {
    /// A display of progress that goes with the log.
    pub fn display(&self) -> Display {
        Display::new(self.console.clone(), self.mode)
    }

    /// The log file that is written now.
    pub fn log_file(&self) -> Option<PathBuf> {
        self.file.as_ref()?.path()
    }
}

/// Starts logging. A log folder that cannot be written is a warning on stderr, no failure.
pub fn init(options: &LogOptions<'_>) -> LogGuard {
    let (subscriber, guard) = build(options);
    // Fails only if something is set already: then that one logs, as it must in a test.
    let _ = subscriber.try_init();
    guard
}

fn build(options: &LogOptions<'_>) -> (impl Subscriber + Send + Sync + use<>, LogGuard) {
    let settings = options.settings;
    let collected = options.collected;
    let console = match collected {
        true => Console::with_levels(),
        false => Console::new(options.stderr_is_terminal),
    };
    let format = if collected { LogFormat::Text } else { settings.format };
    let quiet = options.verbosity < 0 || !settings.console;
    let mode = match (quiet, format) {
        (true, _) => Mode::Quiet,
        (false, LogFormat::Json) => Mode::Hidden,
        (false, LogFormat::Text) if console.bars().is_hidden() => Mode::Lines,
        (false, LogFormat::Text) => Mode::Bars,
    };
    let level = more(settings.level, options.verbosity);
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if settings.console {
        let level = if options.verbosity < 0 { LevelFilter::ERROR } else { level };
        let json = format == LogFormat::Json;
        let shown = filter_fn(move |facts: &Metadata<'_>| json || facts.target() != TARGET);
        let colour = anstream::AutoStream::choice(&std::io::stderr());
        let colour = options.stderr_is_terminal && colour != anstream::ColorChoice::Never;
        let lines = match collected {
            true => levels_layer(writing_to(&console)),
            false => format_layer(format, writing_to(&console), colour),
        };
        layers.push(lines.with_filter(level.and(shown)).boxed());
    }
    let file =
        options.to_file.then(|| Arc::new(open_file(settings, &console, options.verbosity < 0)));
    if let Some(file) = &file {
        let lines = format_layer(settings.format, file.clone(), false);
        layers.push(lines.with_filter(level).boxed());
    }
    (tracing_subscriber::registry().with(layers), LogGuard { console, mode, file })
}

fn writing_to(console: &Console) -> impl Fn() -> Console + Send + Sync + use<> {
    let console = console.clone();
    move || console.clone()
}

fn open_file(settings: &LogSettings, console: &Console, silent: bool) -> RotatingWriter {
    let limits =
        Limits { max_file_bytes: settings.max_file_bytes, backup_count: settings.backup_count };
    let console = console.clone();
    let warn = Box::new(move |text: &str| {
        if !silent {
            console.say(tracing::Level::WARN, &format!("warning: {text}"));
        }
    });
    RotatingWriter::open(&settings.dir.join(&settings.file), limits, std::process::id(), warn)
}

/// The configured level, and one more for each `-v`.
fn more(level: Level, verbosity: i8) -> LevelFilter {
    const LEVELS: [LevelFilter; 5] = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let configured = match level {
        Level::Error => 0,
        Level::Warn => 1,
        Level::Info => 2,
        Level::Debug => 3,
        Level::Trace => 4,
    };
    LEVELS[(configured + usize::from(verbosity.max(0) as u8)).min(LEVELS.len() - 1)]
}

fn format_layer<W>(
    format: LogFormat,
    writer: W,
    colour: bool,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = layer().with_writer(writer).with_ansi(colour).with_target(false);
    match (format, colour) {
        (LogFormat::Json, _) => lines.json().flatten_event(true).with_span_list(false).boxed(),
        (LogFormat::Text, true) => lines.boxed(),
        (LogFormat::Text, false) => lines.fmt_fields(PlainFields(DefaultFields::new())).boxed(),
    }
}

/// Lines that begin with their level and have no time.
fn levels_layer<W>(writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let fields = PlainFields(DefaultFields::new());
    layer().with_writer(writer).with_ansi(false).fmt_fields(fields).event_format(Levels).boxed()
}

struct Levels;

impl<S, N> FormatEvent<S, N> for Levels
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", event.metadata().level())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Fields without colour. A type of its own, for layers with the same type of fields share what
/// was formatted for a span, and the file would have the colours of the terminal in it.
struct PlainFields(DefaultFields);

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Event, EventSink};
    use std::path::Path;

    fn settings(dir: &Path, format: LogFormat) -> LogSettings {
        LogSettings {
            level: Level::Info,
            format,
            dir: dir.to_owned(),
            file: "pipeline.log".to_owned(),
            max_file_bytes: 1 << 20,
            backup_count: 2,
            console: true,
        }
    }

    /// What is logged to stderr and to the file.
    fn logged(settings: &LogSettings, verbosity: i8, log: impl FnOnce(&LogGuard)) -> [String; 2] {
        logged_for(false, settings, verbosity, log)
    }

    fn logged_for(
        collected: bool,
        settings: &LogSettings,
        verbosity: i8,
        log: impl FnOnce(&LogGuard),
    ) -> [String; 2] {
        let (stderr_is_terminal, to_file) = (false, true);
        let options = LogOptions { settings, verbosity, stderr_is_terminal, to_file, collected };
        let (subscriber, guard) = build(&options);
        tracing::subscriber::with_default(subscriber, || log(&guard));
        let file = fs_err::read_to_string(settings.dir.join(&settings.file));
        let heard = guard.console.heard.lock().unwrap().clone();
        [heard, file.unwrap_or_default()]
    }

    fn three_levels() {
        tracing::debug!("small");
        tracing::info!(task = "features", rows = 3, "usual");
        tracing::error!("large");
    }

    #[test]
    fn a_text_line_begins_with_time_and_level() {
        let dir = tempfile::tempdir().unwrap();
        let logs = logged(&settings(dir.path(), LogFormat::Text), 0, |_| three_levels());
        assert_eq!(logs[0].lines().count(), 2);
        for log in &logs {
            let line = log.lines().next().unwrap();
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.ends_with('Z') && time.len() == "2020-11-01T00:00:00.000000Z".len());
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
            assert_eq!(rest.trim_start(), "INFO usual task=\"features\" rows=3");
        }
    }

    #[test]
    fn a_json_line_holds_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for log in logged(&settings(dir.path(), LogFormat::Json), 0, |_| three_levels()) {
            let line: serde_json::Value =
                serde_json::from_str(log.lines().next().unwrap()).unwrap();
            assert_eq!(line["level"], "INFO");
            assert_eq!(line["message"], "usual");
            assert_eq!(line["task"], "features");
            assert_eq!(line["rows"], 3);
            let time = line["timestamp"].as_str().unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        }
    }

    #[test]
    fn quiet_leaves_errors_on_stderr_and_all_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let [console, file] =
            logged(&settings(dir.path(), LogFormat::Text), -1, |_| three_levels());
        assert!(console.contains("large") && console.lines().count() == 1, "{console}");
        assert_eq!(file.lines().count(), 2);
    }

    #[test]
    fn verbose_logs_a_level_more() {
        let dir = tempfile::tempdir().unwrap();
        for log in logged(&settings(dir.path(), LogFormat::Text), 1, |_| three_levels()) {
            assert_eq!(log.lines().count(), 3);
        }
    }

    #[test]
    fn without_a_console_only_the_file_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path(), LogFormat::Text);
        settings.console = false;
        let [console, file] = logged(&settings, 0, |_| three_levels());
        assert_eq!(console, "");
        assert_eq!(file.lines().count(), 2);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("file"), "").unwrap();
        let settings = settings(&dir.path().join("file"), LogFormat::Text);
        let [console, _] = logged(&settings, 0, |_| three_levels());
        assert!(console.starts_with("warning: cannot write the log in `"), "{console}");
        assert_eq!(console.lines().count(), 3);
        let [console, _] = logged(&settings, -1, |_| ());
        assert_eq!(console, "");
    }

    #[test]
    fn progress_is_printed_once_and_logged_once() {
        let dir = tempfile::tempdir().unwrap();
        let started = Event::Started { task: "features", index: 1, total: 2, reasons: &[] };
        let text = settings(dir.path(), LogFormat::Text);
        let [console, file] = logged(&text, 0, |guard| guard.display().event(&started));
        assert_eq!(console, "🚀 start: features\n");
        assert!(file.contains("INFO 🚀 start: features task=\"features\""), "{file}");

        let dir = tempfile::tempdir().unwrap();
        let json = settings(dir.path(), LogFormat::Json);
        let [console, _] = logged(&json, 0, |guard| guard.display().event(&started));
        let line: serde_json::Value = serde_json::from_str(&console).unwrap();
        assert_eq!(line["message"], "🚀 start: features");
    }

    #[test]
    fn for_a_collector_lines_begin_with_their_level_and_tasks_are_groups() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), LogFormat::Json);
        let task = "features";
        let events = [
            Event::Started { task, index: 1, total: 2, reasons: &[] },
            Event::Failed {
                task,
                seconds: 1.0,
                exit: crate::exit_code::ExitCode::Input,
                message: "no file\n  at all",
                hint: Some("make one"),
            },
            Event::Blocked { task: "quality", by: task },
        ];
        let [console, file] = logged_for(true, &settings, 0, |guard| {
            three_levels();
            let display = guard.display();
            events.iter().for_each(|event| display.event(event));
        });
        assert_eq!(
            console,
            "INFO usual task=\"features\" rows=3\nERROR large\n\
             ::group::features\nINFO 🚀 start: features\n\
             ERROR ❌ failed: features: no file\nERROR   at all\nERROR    hint: make one\n\
             ::endgroup::\n\
             ::group::quality\nWARN 🚧 blocked: quality by features\n::endgroup::\n"
        );
        assert!(file.lines().all(|line| line.starts_with('{')), "{file}");
        let [console, _] = logged_for(true, &settings, -1, |guard| {
            let display = guard.display();
            events.iter().for_each(|event| display.event(event));
        });
        assert!(
            console.lines().all(|line| line.starts_with("ERROR ") || line.starts_with("WARN "))
        );
    }

    #[test]
    fn colours_of_the_terminal_do_not_get_into_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), LogFormat::Text);
        let console = Console::new(false);
        let file = Arc::new(open_file(&settings, &console, false));
        let layers = [
            format_layer(LogFormat::Text, writing_to(&console), true),
            format_layer(LogFormat::Text, file, false),
        ];
        let subscriber = tracing_subscriber::registry().with(Vec::from(layers));
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("task", id = "features").entered();
            tracing::info!("inside");
        });
        assert!(console.heard.lock().unwrap().contains('\u{1b}'));
        let file = fs_err::read_to_string(dir.path().join("pipeline.log")).unwrap();
        assert!(file.ends_with(" INFO task{id=\"features\"}: inside\n"), "{file}");
        assert!(!file.contains('\u{1b}'));
    }
}
