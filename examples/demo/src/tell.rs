//! How the story is told: chapters, lines, progress while something takes time, a summary.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use pos_tests::BedError;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The bed did not do what it was asked.
    #[error(transparent)]
    Bed(#[from] BedError),
    /// A claim of the story is not true.
    #[error("not true: {0}")]
    Claim(String),
    /// The module refused or gave up.
    #[error("the connection module: {0}")]
    Module(#[from] pos_connect::Error),
    /// An instrument could not be sealed.
    #[error("sealing: {0}")]
    Seal(#[from] pos_connect::SealError),
    /// The system gives no signals.
    #[error("waiting for Ctrl-C: {0}")]
    Signal(#[source] io::Error),
}

/// Writes the story and counts its claims.
pub(crate) struct Teller {
    claims: u32,
    began: Instant,
    chapters: Vec<(String, Instant)>,
}

impl Teller {
    /// Nothing is told yet.
    pub(crate) fn new() -> Self {
        Self { claims: 0, began: Instant::now(), chapters: Vec::new() }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str, about: &str) {
        self.chapters.push((title.to_owned(), Instant::now()));
        if io::stdout().is_terminal() {
            say(&format!("\n\u{1b}[1m{title}\u{1b}[0m: {about}"));
        } else {
            say(&format!("\n{title}: {about}"));
        }
    }

    /// One line of the story.
    pub(crate) fn line(&self, text: &str) {
        say(&format!("  {text}"));
    }

    /// A claim: printed when it is true, the end of the story when it is not.
    pub(crate) fn claim(&mut self, text: &str, holds: bool) -> Result<(), Failure> {
        if !holds {
            return Err(Failure::Claim(text.to_owned()));
        }
        self.claims = self.claims.saturating_add(1);
        self.line(text);
        Ok(())
    }

    /// Shows that something is going on until it is done.
    pub(crate) async fn waiting<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        let mut seconds: u32 = 0;
        loop {
            tokio::select! {
                done = &mut work => {
                    if seconds > 1 {
                        write("\n");
                    }
                    return done;
                }
                _ = ticks.tick() => {
                    seconds = seconds.saturating_add(1);
                    match seconds {
                        0 | 1 => {}
                        2 => write(&format!("  {what} .")),
                        _ => write("."),
                    }
                }
            }
        }
    }

    /// The last line of a story that was told to its end.
    pub(crate) fn summary(&self) {
        let now = Instant::now();
        let ends = self.chapters.iter().skip(1).map(|(_, began)| *began).chain([now]);
        let took: Vec<_> = self
            .chapters
            .iter()
            .zip(ends)
            .map(|((title, began), end)| format!("{title} {:.2} s", seconds(end, *began)))
            .collect();
        say(&format!("\nIt took: {}", took.join(", ")));
        let (claims, total) = (self.claims, seconds(now, self.began));
        say(&format!("demo: {claims} claims checked, all true, {total:.1} s"));
    }

    /// The logs of the processes, before [`failed`](Self::failed) says what is wrong.
    pub(crate) fn logs(&self, logs: &str) {
        say(&format!("\n{logs}"));
    }

    /// The last line of one that was not.
    pub(crate) fn failed(&self, why: &str) {
        say(&format!("\ndemo: FAILED after {} claims: {why}", self.claims));
    }
}

fn seconds(end: Instant, began: Instant) -> f64 {
    end.duration_since(began).as_secs_f64()
}

fn say(line: &str) {
    write(&format!("{line}\n"));
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    // A reader that has gone, such as `head`, is no reason to fail.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
