//! The time limit of one try: a flag that stops a task alone.
//!
//! A task looks at one flag. With a limit that flag is its own, and a thread sets it when the run is to
//! stop or the time is up. Does not know what a task does; one that never looks is not ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How soon a task with a limit hears that the run is to stop.
const POLL: Duration = Duration::from_millis(20);

/// Does some work within a limit, and says whether it was stopped because the time was up.
pub(super) fn within<T>(
    limit: Option<Duration>,
    cancel: &AtomicBool,
    work: impl FnOnce(&AtomicBool) -> T,
) -> (T, bool) {
    let Some(limit) = limit else { return (work(cancel), false) };
    let (stop, late) = (AtomicBool::new(false), AtomicBool::new(false));
    let (working, ended) = mpsc::channel::<()>();
    let (stop_now, is_late) = (&stop, &late);
    let watch = move || {
        let began = Instant::now();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let cancelled = cancel.load(Ordering::Relaxed);
            if cancelled || left.is_zero() {
                is_late.store(!cancelled, Ordering::Relaxed);
                stop_now.store(true, Ordering::Relaxed);
                return;
            }
            if ended.recv_timeout(left.min(POLL)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    let done = thread::scope(|scope| {
        // Dropped even by a panic, before this scope waits for the thread.
        let _working = working;
        scope.spawn(watch);
        work(&stop)
    });
    (done, late.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until_stopped(stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_flag_is_set_when_the_time_is_up() {
        let never = AtomicBool::new(false);
        assert!(within(Some(Duration::from_millis(30)), &never, until_stopped).1);
        assert!(!never.load(Ordering::Relaxed), "the run goes on");
    }

    #[test]
    fn what_ends_in_time_is_not_late_and_nobody_waits_for_the_limit() {
        let never = AtomicBool::new(false);
        assert_eq!(within(Some(Duration::from_secs(3_600)), &never, |_| 7), (7, false));
        assert_eq!(within(None, &never, |_| 7), (7, false));
    }

    #[test]
    fn a_stop_of_the_run_is_no_lateness() {
        let stopped = AtomicBool::new(true);
        assert!(!within(Some(Duration::from_secs(3_600)), &stopped, until_stopped).1);
    }

    #[test]
    fn a_panic_does_not_wait_for_the_limit() {
        let limited = || {
            within(Some(Duration::from_secs(3_600)), &AtomicBool::new(false), |_| panic!("soon"));
        };
        assert!(std::panic::catch_unwind(limited).is_err());
    }
}
