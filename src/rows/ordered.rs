//! Working on parts in parallel and taking their results in order, in bounded memory.
//!
//! A worker that runs ahead waits: each part may have [`AHEAD`] results that nobody took yet, and
//! no part is begun that is further from the one being taken than there are threads, and one.
//! Knows nothing of what a part or a result is.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};

/// Results of one part that may wait to be taken.
const AHEAD: usize = 1;

/// Where a worker puts the results of its part.
#[derive(Debug)]
pub struct Emitter<T, E>(SyncSender<Result<T, E>>);

/// Nobody takes results any more: the caller failed, the worker should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned;

impl<T, E> Emitter<T, E> {
    /// Hands over a result; waits while too many lie there.
    pub fn emit(&self, result: T) -> Result<(), Abandoned> {
        self.0.send(Ok(result)).map_err(|_| Abandoned)
    }
}

/// Which part is being taken; beyond the last when nobody takes any more.
#[derive(Debug, Default)]
struct Turn {
    part: Mutex<usize>,
    changed: Condvar,
}

impl Turn {
    fn set(&self, part: usize) {
        *self.part.lock().unwrap_or_else(PoisonError::into_inner) = part;
        self.changed.notify_all();
    }

    /// Waits until the part being taken is at least this one.
    fn wait_for(&self, part: usize) {
        let current = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(current, |current| *current < part));
    }
}

type Sender<T, E> = Mutex<Option<Emitter<T, E>>>;
type Channels<T, E> = (Vec<Sender<T, E>>, Vec<Receiver<Result<T, E>>>);

/// Runs `work` on every part with up to `threads` threads and gives the results of the first
/// part, then the second and so on, to `take`, which runs on the calling thread.
///
/// Stops at the first error, of `take` or of `work`, in order of parts; a worker that is
/// [`Abandoned`] should return `Ok`. A panic of `work` goes on in the caller.
pub fn in_order<P, T, E>(
    parts: &[P],
    threads: usize,
    work: impl Fn(&P, &Emitter<T, E>) -> Result<(), E> + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E>
where
    P: Sync,
    T: Send,
    E: Send,
{
    let (senders, mut receivers): Channels<T, E> = parts
        .iter()
        .map(|_| {
            let (sender, receiver) = sync_channel(AHEAD);
            (Mutex::new(Some(Emitter(sender))), receiver)
        })
        .unzip();
    let threads = threads.clamp(1, parts.len().max(1));
    let next = AtomicUsize::new(0);
    let turn = Turn::default();
    std::thread::scope(|scope| {
        let worker = || {
            let result = catch_unwind(AssertUnwindSafe(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(part) = parts.get(index) else { return };
                    turn.wait_for(index.saturating_sub(threads + 1));
                    let Some(emitter) = close(&senders[index]) else { return };
                    if let Err(error) = work(part, &emitter) {
                        // An error that nobody takes is an error of an abandoned part.
                        let _ = emitter.0.send(Err(error));
                    }
                }
            }));
            // Parts that nobody began must not be waited for.
            if result.is_err() {
                senders.iter().for_each(|sender| drop(close(sender)));
            }
            result
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let result = receivers.drain(..).enumerate().try_for_each(|(part, results)| {
            turn.set(part);
            results.into_iter().try_for_each(|item| item.and_then(&mut take))
        });
        turn.set(usize::MAX);
        drop(receivers);
        senders.iter().for_each(|sender| drop(close(sender)));
        for worker in workers {
            if let Err(panic) | Ok(Err(panic)) = worker.join() {
                resume_unwind(panic);
            }
        }
        result
    })
}

fn close<T, E>(sender: &Sender<T, E>) -> Option<Emitter<T, E>> {
    sender.lock().ok()?.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(part: &u32, out: &Emitter<u32, String>) -> Result<(), String> {
        for number in 0..20 {
            if out.emit(part * 100 + number).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    #[test]
    fn results_come_in_the_order_of_parts() {
        let parts: Vec<u32> = (0..9).collect();
        for threads in 1..4 {
            let mut seen = Vec::new();
            let result = in_order(&parts, threads, numbers, |number| {
                seen.push(number);
                Ok(())
            });
            assert_eq!(result, Ok(()));
            assert_eq!(seen.len(), 180);
            assert!(seen.is_sorted());
        }
    }

    #[test]
    fn an_error_of_either_side_ends_it() {
        let parts: Vec<u32> = (0..9).collect();
        let taken = in_order(&parts, 2, numbers, |number| {
            if number == 305 { Err("taken".to_owned()) } else { Ok(()) }
        });
        assert_eq!(taken, Err("taken".to_owned()));
        let work = |part: &u32, out: &Emitter<u32, String>| {
            if *part == 4 { Err("worked".to_owned()) } else { numbers(part, out) }
        };
        let mut seen = 0;
        let result = in_order(&parts, 2, work, |_| {
            seen += 1;
            Ok(())
        });
        assert_eq!((result, seen), (Err("worked".to_owned()), 80));
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_is_not_waited_for() {
        let parts: Vec<u32> = (0..9).collect();
        let work = |part: &u32, _: &Emitter<u32, String>| {
            assert!(*part != 3, "on purpose");
            Ok(())
        };
        let _ = in_order(&parts, 1, work, |_| Ok(()));
    }
}
