//! Racing: many requests at the same moment.

use std::{
    future::Future,
    panic,
    sync::{Arc, Barrier},
    thread,
};

use tokio::{runtime::Handle, task};

/// Runs these at the same moment, each on a thread of its own, and answers what they answered, in
/// the order given.
///
/// Tasks of a case share its one thread, so that whatever a driver does between two awaits looks
/// atomic to them. Here it does not.
pub(crate) async fn together<T, F>(racers: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let racers: Vec<F> = racers.into_iter().collect();
    let start = Arc::new(Barrier::new(racers.len()));
    let running: Vec<_> = racers
        .into_iter()
        .map(|racer| {
            let start = Arc::clone(&start);
            let runtime = Handle::current();
            task::spawn_blocking(move || {
                start.wait();
                runtime.block_on(racer)
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(running.len());
    for racer in running {
        answers.push(match racer.await {
            Ok(answer) => answer,
            Err(error) => panic::resume_unwind(error.into_panic()),
        });
    }
    answers
}

/// Lets the other racers go on, whether they are threads or tasks: between a look and what is done
/// because of it.
pub(crate) async fn gap() {
    thread::yield_now();
    task::yield_now().await;
}
