//! Trials of mutants, side by side.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Tries all of them on as many threads as there are processors; answers what was found.
pub(crate) fn in_parallel<T: Sync>(
    trials: &[T],
    attempt: impl Fn(&T) -> Option<String> + Sync,
) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(what) = attempt(trial) {
                        found.lock().expect("no panic under it").push(what);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no panic under it")
}
