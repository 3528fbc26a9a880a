//! Whether an institution answers: a circuit breaker for each, so that a silent one takes no new
//! payments, and holds nobody up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After so many exchanges in a row without an answer its work is hastened when it answers again …
const SILENT_AFTER: u32 = 3;

/// … and after so many nothing new is sent, but for one try after each wait.
const OPEN_AFTER: u32 = 10;

/// Waits between tries while it is silent: each twice the one before.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What one institution's exchanges came to. All times are monotonic.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Exchanges in a row that brought no answer.
    unanswered: u32,
    open: Option<Open>,
}

/// The breaker is open: the next try, and how long after it the one after that.
#[derive(Clone, Copy, Debug)]
struct Open {
    next_try: Duration,
    wait: Duration,
}

/// What an exchange changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It answers again after a silence: what is open there can be found out now.
    Back,
    /// It has fallen silent.
    Silent,
}

impl Health {
    /// Notes how an exchange went.
    pub fn heard(&self, answered: bool, now: Duration) -> Option<News> {
        let state = &mut *self.lock();
        if answered {
            let was_silent = state.unanswered >= SILENT_AFTER;
            *state = State::default();
            return was_silent.then_some(News::Back);
        }
        state.unanswered = state.unanswered.saturating_add(1);
        if state.unanswered < OPEN_AFTER {
            return None;
        }
        match &mut state.open {
            // Those that were on their way when it opened say nothing new.
            Some(open) if now < open.next_try => None,
            Some(open) => {
                open.wait = open.wait.saturating_mul(2).min(LONGEST_WAIT);
                open.next_try = now.saturating_add(open.wait);
                None
            }
            None => {
                let next_try = now.saturating_add(SHORTEST_WAIT);
                state.open = Some(Open { next_try, wait: SHORTEST_WAIT });
                Some(News::Silent)
            }
        }
    }

    /// Whether something new may be sent to it. Asking takes nothing.
    pub fn is_well(&self, now: Duration) -> bool {
        self.lock().open.is_none_or(|open| now >= open.next_try)
    }

    /// The same of somebody who sends it now: while it is silent, one after each wait may.
    pub fn may_try(&self, now: Duration) -> bool {
        match &mut self.lock().open {
            None => true,
            Some(open) if now < open.next_try => false,
            Some(open) => {
                open.next_try = now.saturating_add(open.wait);
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn silent(seconds: u64) -> Health {
        let health = Health::default();
        for n in 1..=10 {
            let news = health.heard(false, at(seconds));
            assert_eq!(news, (n == 10).then_some(News::Silent), "{n}");
        }
        health
    }

    #[test]
    fn an_answer_after_a_silence_is_news_once() {
        let health = Health::default();
        for fault in [false, false] {
            assert_eq!(health.heard(fault, at(1)), None);
        }
        assert_eq!(health.heard(true, at(1)), None, "two in a row are no silence");
        for _ in 0..3 {
            assert_eq!(health.heard(false, at(2)), None);
        }
        assert!(health.is_well(at(2)));
        assert_eq!(health.heard(true, at(3)), Some(News::Back));
        assert_eq!(health.heard(true, at(4)), None);
    }

    #[test]
    fn while_it_is_silent_one_try_follows_each_wait_and_waits_grow() {
        let health = silent(100);
        assert!(!health.is_well(at(100)) && !health.may_try(at(100)));
        assert!(health.is_well(at(101)), "asking takes nothing");
        assert!(health.may_try(at(101)));
        assert!(!health.may_try(at(101)), "one at a time");
        let mut now = 102;
        for wait in [2, 4, 8, 16, 30, 30] {
            assert_eq!(health.heard(false, at(now)), None);
            assert!(!health.may_try(at(now + wait - 1)), "{wait}");
            now += wait;
            assert!(health.may_try(at(now)), "{wait}");
            // Its answer does not come within a wait.
            now += wait;
        }
        assert_eq!(health.heard(true, at(now)), Some(News::Back));
        assert!(health.may_try(at(now)) && health.may_try(at(now)));
    }

    #[test]
    fn what_was_on_its_way_when_it_fell_silent_lengthens_no_wait() {
        let health = silent(100);
        for _ in 0..50 {
            assert_eq!(health.heard(false, at(100)), None);
        }
        assert!(health.may_try(at(101)));
    }
}
