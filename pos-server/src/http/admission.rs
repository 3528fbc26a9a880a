//! How many requests are worked on at once, and for how long.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Why a request was not worked on to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many requests as allowed are being worked on; nothing of this one was begun.
    #[error("too many requests at once")]
    Full,
    /// The handler took too long and was dropped. What it had handed to tasks of their own, a
    /// payment above all, goes on.
    #[error("the request took too long")]
    TooSlow,
}

/// A bounded number of places, each for a bounded time. There is no queue behind them: a caller
/// that is told to come again loses less than one that waits past its own deadline.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    longest: Duration,
    taken: Gauge,
}

impl Admission {
    /// `places` requests at once, each for at most `longest`; `taken` counts those under way.
    pub fn new(places: usize, longest: Duration, taken: Gauge) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), longest, taken }
    }

    /// Does `work` in one of the places.
    ///
    /// # Errors
    /// [`Refused::Full`] before `work` is polled at all, [`Refused::TooSlow`] after it was dropped.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Refused> {
        let _place = self.places.try_acquire().map_err(|_| Refused::Full)?;
        let _counted = Counted::begin(&self.taken);
        timeout(self.longest, work).await.map_err(|_| Refused::TooSlow)
    }
}

struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_in_number_and_time() {
        let taken = Gauge::default();
        let admission = Admission::new(1, Duration::from_secs(70), taken.clone());
        let (first, second) = tokio::join!(admission.run(pending::<()>()), async {
            assert_eq!(taken.get(), 1);
            admission.run(async { unreachable!("no place is free") }).await
        });
        assert_eq!(second, Err::<(), _>(Refused::Full));
        assert_eq!(first, Err(Refused::TooSlow));
        assert_eq!(taken.get(), 0);
        assert_eq!(admission.run(ready(7)).await, Ok(7));
    }
}
