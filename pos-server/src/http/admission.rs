//! How many requests are worked on at once, and for how long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

    /// Does `work` in one of the places, which it may give back before it ends.
    ///
    /// # Errors
    /// [`Refused::Full`] before `work` is called at all, [`Refused::TooSlow`] after it was dropped.
    pub async fn run<T, F: Future<Output = T>>(
        &self,
        work: impl FnOnce(Place) -> F,
    ) -> Result<T, Refused> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refused::Full)?;
        let place = Place::new(permit, self.taken.clone());
        // This clone frees the place at the latest when the work has ended or was dropped, even if
        // a task of its own goes on.
        let _given_back = GiveBack(place.clone());
        timeout(self.longest, work(place)).await.map_err(|_| Refused::TooSlow)
    }
}

/// A place that a request holds. Clones are one place.
#[derive(Clone, Debug)]
pub struct Place(Arc<Mutex<Option<Held>>>);

impl Place {
    fn new(permit: OwnedSemaphorePermit, taken: Gauge) -> Self {
        taken.inc();
        Self(Arc::new(Mutex::new(Some(Held { _permit: permit, taken }))))
    }

    /// Makes room for others, for a request that from now on only waits for an institution: one
    /// that is silent would otherwise fill all places, and the others be refused with it.
    pub fn give_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

struct GiveBack(Place);

impl Drop for GiveBack {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    taken: Gauge,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.taken.dec();
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
        let (first, second) = tokio::join!(admission.run(|_| pending::<()>()), async {
            assert_eq!(taken.get(), 1);
            admission.run(|_| async { unreachable!("no place is free") }).await
        });
        assert_eq!(second, Err::<(), _>(Refused::Full));
        assert_eq!(first, Err(Refused::TooSlow));
        assert_eq!(taken.get(), 0);
        assert_eq!(admission.run(|_| ready(7)).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_given_back_is_free_while_its_request_waits() {
        let taken = Gauge::default();
        let admission = Admission::new(1, Duration::from_secs(70), taken.clone());
        let waits = |place: Place| {
            place.give_back();
            pending::<()>()
        };
        let (first, second) = tokio::join!(admission.run(waits), async {
            assert_eq!(taken.get(), 0);
            admission.run(|_| ready(7)).await
        });
        assert_eq!(second, Ok(7));
        assert_eq!(first, Err(Refused::TooSlow), "its time is bounded all the same");
        // A task that outlives its request does not hold the place.
        let kept = admission.run(ready).await.unwrap();
        assert_eq!(admission.run(|_| ready(8)).await, Ok(8));
        drop(kept);
        assert_eq!(taken.get(), 0);
    }
}
