//! One bar for each running task, on a terminal.
//!
//! Draws; what stands beside a bar is worded in [`super::lines`].

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::console::Console;

const TICK: Duration = Duration::from_millis(120);

/// The bar of a task, gone when dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar below all others.
    pub fn new(console: &Console, task: &str) -> Bar {
        let bar = console.bars().add(ProgressBar::no_length());
        bar.set_style(style("{spinner:.cyan} {prefix:19} {wide_msg}"));
        bar.set_prefix(task.to_owned());
        bar.enable_steady_tick(TICK);
        Bar(bar)
    }

    /// Shows how far the step is, and the words beside it.
    pub fn show(&self, done: u64, total: Option<u64>, words: String) {
        if self.0.length() != total {
            match total {
                Some(total) => {
                    self.0
                        .set_style(style("{spinner:.cyan} {prefix:19} [{bar:12.cyan}] {wide_msg}"));
                    self.0.set_length(total);
                }
                None => {
                    self.0.set_style(style("{spinner:.cyan} {prefix:19} {wide_msg}"));
                    self.0.unset_length();
                }
            }
        }
        self.0.set_position(done);
        self.0.set_message(words);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse is a mistake that a test finds; the usual bar will do.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    /// A terminal that keeps what it was told to show.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> std::io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_shows_its_task_and_the_words_and_leaves_nothing() {
        let screen = Screen::default();
        let console = Console::drawing_on(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let bar = Bar::new(&console, "extract.prints");
        bar.show(1, None, "one row".to_owned());
        bar.show(50, Some(100), "50/100 rows".to_owned());
        bar.0.force_draw();
        let shown = screen.0.lock().unwrap().clone();
        assert!(shown.contains("extract.prints"), "{shown}");
        assert!(shown.contains("50/100 rows") && shown.contains("━━━"), "{shown}");
        drop(bar);
        assert_eq!(screen.0.lock().unwrap().trim(), "");
    }
}
