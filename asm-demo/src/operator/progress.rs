//! How far a long command is, and whether it is to end.

use std::{
    future,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;

/// What is told after each batch how far it is, and answers whether to go on.
pub(super) type Tell<'a, P> = &'a mut dyn FnMut(&P) -> ControlFlow<()>;

/// Goes through a store, tells how far it is, and says what became of it: also of what failed on the
/// way, so that the next one goes on there.
pub(super) async fn walk<P: Clone, T>(
    through: impl AsyncFnOnce(Tell<'_, P>) -> asm_session::Result<P>,
    mut tell: impl FnMut(&Progress, &P) -> ControlFlow<()>,
    say: impl FnOnce(P) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (bar, mut last) = (Progress::begin(), None);
    let walked = through(&mut |progress| {
        last = Some(progress.clone());
        tell(&bar, progress)
    })
    .await;
    bar.end();
    match (walked, last) {
        (Ok(progress), _) => say(progress),
        (Err(error), Some(progress)) => say(progress).and(Err(error.into())),
        (Err(error), None) => Err(error.into()),
    }
}

/// A bar on a terminal, nothing else elsewhere.
pub(super) struct Progress(ProgressBar);

/// How many parts the bar has.
const PARTS: u64 = 10_000;

impl Progress {
    pub(super) fn begin() -> Self {
        let bar = ProgressBar::new(PARTS);
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} % {msg} {eta}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Which part is done, from 0 to 1, if that is known, and what there is to say about it.
    pub(super) fn show(&self, done: Option<f64>, words: String) {
        match done {
            Some(done) => self.0.set_position((done * PARTS as f64) as u64),
            None => self.0.unset_length(),
        }
        self.0.set_message(words);
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// Whether somebody has pressed Ctrl-C since; a second time ends the process.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(super) fn listen() -> Self {
        let interrupt = Self(Arc::default());
        let told = Arc::clone(&interrupt.0);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            told.store(true, Ordering::Relaxed);
            match tokio::signal::ctrl_c().await {
                Ok(()) => std::process::exit(130),
                Err(_) => future::pending().await,
            }
        });
        interrupt
    }

    pub(super) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
