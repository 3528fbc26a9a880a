//! What can go wrong on purpose.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::payment::OperationKind;
use serde::{Deserialize, Serialize};

/// How one call goes wrong. All but [`Lost`](Self::Lost), [`Cut`](Self::Cut) and
/// [`SlowArrival`](Self::SlowArrival) process the operation first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Processed, and no answer; the line stays open.
    NoAnswer,
    /// Not processed, and no answer: as if the call had never arrived.
    Lost,
    /// Processed at once, answered after the delay.
    DelayedAnswer,
    /// Taken in only after the delay, so that it may be late.
    SlowArrival,
    /// Processed, and the answer is written twice.
    AnswerTwice,
    /// Processed, then the line is cut.
    ProcessedThenCut,
    /// The line is cut before anything is processed.
    Cut,
    /// Processed, and the answer is octets that are no HTTP.
    Garbage,
    /// Processed, and the answer is a signed body that is not JSON.
    GarbledBody,
    /// Processed, and the answer carries no signature.
    Unsigned,
    /// Processed rightly, but the answer names another amount.
    WrongAmount,
    /// Processed, and answered with a signed 500.
    Error500,
    /// Processed, and answered as a proxy in between would: an unsigned 502 page.
    BadGateway,
}

impl Fault {
    /// Every fault, in the order of the test instruments.
    pub const ALL: [Self; 13] = [
        Self::NoAnswer,
        Self::Lost,
        Self::DelayedAnswer,
        Self::SlowArrival,
        Self::AnswerTwice,
        Self::ProcessedThenCut,
        Self::Cut,
        Self::Garbage,
        Self::GarbledBody,
        Self::Unsigned,
        Self::WrongAmount,
        Self::Error500,
        Self::BadGateway,
    ];

    /// The word for it on the control address.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Lost => "lost",
            Self::DelayedAnswer => "delayed_answer",
            Self::SlowArrival => "slow_arrival",
            Self::AnswerTwice => "answer_twice",
            Self::ProcessedThenCut => "processed_then_cut",
            Self::Cut => "cut",
            Self::Garbage => "garbage",
            Self::GarbledBody => "garbled_body",
            Self::Unsigned => "unsigned",
            Self::WrongAmount => "wrong_amount",
            Self::Error500 => "error500",
            Self::BadGateway => "bad_gateway",
        }
    }
}

/// How long the special numbers delay.
pub const DELAY: Duration = Duration::from_secs(5);

/// A fault that the control address switched on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// What goes wrong.
    pub fault: Fault,
    /// For [`Fault::DelayedAnswer`] and [`Fault::SlowArrival`].
    #[serde(default)]
    pub delay_ms: u64,
    /// How many operations it meets; for ever where it is not said.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only operations of these kinds; all where it is not said.
    #[serde(default)]
    pub operations: Option<Vec<OperationKind>>,
    /// Only this test instrument, by its name; any where it is not said.
    #[serde(default)]
    pub instrument: Option<String>,
    /// Inquiries and nothing else. Of the faults they know silence, cut and delay.
    #[serde(default)]
    pub inquiries: bool,
}

/// The faults that are switched on, oldest first.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<PlannedFault>>);

impl Faults {
    /// Switches one on.
    pub fn add(&self, fault: PlannedFault) {
        self.lock().push(fault);
    }

    /// Switches all off.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What is on.
    pub fn list(&self) -> Vec<PlannedFault> {
        self.lock().clone()
    }

    /// The fault that meets this operation, counted down; none as a rule.
    pub fn meet(&self, kind: OperationKind, instrument: Option<&str>) -> Option<(Fault, Duration)> {
        self.first(|one| {
            !one.inquiries
                && one.operations.as_ref().is_none_or(|kinds| kinds.contains(&kind))
                && one.instrument.as_deref().is_none_or(|name| instrument == Some(name))
        })
    }

    /// The fault that meets this inquiry.
    pub fn meet_inquiry(&self) -> Option<(Fault, Duration)> {
        self.first(|one| one.inquiries)
    }

    fn first(&self, meets: impl Fn(&PlannedFault) -> bool) -> Option<(Fault, Duration)> {
        let mut faults = self.lock();
        let at = faults.iter().position(meets)?;
        let met = faults.get_mut(at)?;
        let found = (met.fault, Duration::from_millis(met.delay_ms));
        if let Some(times) = &mut met.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                faults.remove(at);
            }
        }
        Some(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PlannedFault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> PlannedFault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_fault_meets_what_it_was_planned_for_and_as_often() {
        let faults = Faults::default();
        faults.add(planned(r#"{"fault":"lost","times":2,"operations":["refund"]}"#));
        faults.add(planned(r#"{"fault":"delayed_answer","delay_ms":7,"instrument":"approve"}"#));
        assert_eq!(faults.meet(OperationKind::Sale, None), None);
        let delayed = Some((Fault::DelayedAnswer, Duration::from_millis(7)));
        assert_eq!(faults.meet(OperationKind::Sale, Some("approve")), delayed);
        for _ in 0..2 {
            let lost = Some((Fault::Lost, Duration::ZERO));
            assert_eq!(faults.meet(OperationKind::Refund, None), lost);
        }
        assert_eq!(faults.meet(OperationKind::Refund, None), None);
        assert_eq!(faults.list().len(), 1);
        faults.clear();
        assert_eq!(faults.meet(OperationKind::Sale, Some("approve")), None);
    }

    #[test]
    fn a_fault_goes_by_one_word() {
        for fault in Fault::ALL {
            let json = serde_json::to_string(&fault).unwrap();
            assert_eq!(json, format!("\"{}\"", fault.word()));
        }
    }
}
