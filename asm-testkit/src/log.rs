//! What a thread logs.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::{DefaultGuard, set_default},
};

use crate::canaries::Canaries;

/// Keeps every line that this thread logs from now on, at any level, until it is dropped.
///
/// ```
/// use asm_testkit::Log;
///
/// let log = Log::capture();
/// tracing::warn!(codec = "lz4", "stored as it is");
/// let lines = log.take_warnings();
/// assert_eq!(lines[0].text, r#"message=stored as it is codec="lz4" "#);
/// assert!(log.take().is_empty());
/// ```
#[derive(Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    _guard: DefaultGuard,
}

/// One line of a [`Log`].
#[derive(Clone, Debug)]
pub struct Line {
    /// How bad it is.
    pub level: Level,
    /// All its fields with their names, the message being one.
    pub text: String,
}

impl Log {
    /// From now on, on this thread.
    #[must_use]
    pub fn capture() -> Self {
        let lines = Arc::default();
        let _guard = set_default(Recorder {
            lines: Some(Arc::clone(&lines)),
        });
        Self { lines, _guard }
    }

    /// What was logged so far, or since the last time, which is forgotten then.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut lock(&self.lines))
    }

    /// The warnings, and what is worse, that were logged so far, or since the last time.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<Line> {
        let lines = self.take().into_iter();
        lines.filter(|line| line.level <= Level::WARN).collect()
    }
}

/// Takes every event and span, keeps the lines if somebody wants them, and lets the canaries of the
/// case look at all.
pub(crate) struct Recorder {
    lines: Option<Arc<Mutex<Vec<Line>>>>,
}

impl Recorder {
    pub(crate) fn that_keeps_nothing() -> Self {
        Self { lines: None }
    }

    /// The fields, which the canaries have seen.
    fn text(target: &str, record: impl FnOnce(&mut Text)) -> String {
        let mut text = Text(String::new());
        record(&mut text);
        for canaries in Canaries::near() {
            canaries.heard(&format!("the log of {target}"), text.0.clone());
        }
        text.0
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        Self::text(span.metadata().target(), |text| span.record(text));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        Self::text("a span", |text| values.record(text));
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let text = Self::text(target, |text| event.record(text));
        if let Some(lines) = &self.lines {
            lock(lines).push(Line { level, text });
        }
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

fn lock(lines: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
