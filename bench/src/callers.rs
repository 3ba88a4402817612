//! Many who do the same at the same time.

use std::time::{Duration, Instant};

use crate::cpu_time;

/// What many callers came to.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// How often it was done.
    pub count: u64,
    /// How long that took.
    pub took: Duration,
    /// The processor time of all threads of this process meanwhile.
    pub cpu: Duration,
}

impl Done {
    /// How often in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds of processor time for each.
    #[must_use]
    pub fn cpu_for_one(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.count as f64
    }
}

/// Lets so many tasks do this again and again for that long. It is told which of them it is and how often
/// it has been done by that one.
///
/// # Panics
/// When a task does.
pub async fn callers<F>(
    callers: u32,
    turn: Duration,
    once: impl Fn(u32, u32) -> F + Clone + Send + 'static,
) -> Done
where
    F: Future<Output = ()> + Send,
{
    let (began, billed) = (Instant::now(), cpu_time());
    let tasks = (0..callers).map(|caller| {
        let once = once.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while began.elapsed() < turn {
                once(caller, count).await;
                count += 1;
            }
            u64::from(count)
        })
    });
    let mut count = 0;
    for task in tasks.collect::<Vec<_>>() {
        count += task.await.expect("a task that does not fail");
    }
    Done {
        count,
        took: began.elapsed(),
        cpu: cpu_time() - billed,
    }
}
