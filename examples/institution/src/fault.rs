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
    /// Processed rightly, but the answer names one minor unit less: no partial approval that was
    /// asked for.
    LessAmount,
    /// Processed rightly, but the answer names another order.
    OtherOrder,
    /// Processed rightly, but the answer names another currency.
    OtherCurrency,
    /// Processed rightly, but the answer names another operation.
    OtherOperation,
}

impl Fault {
    /// Every fault, in the order of the test instruments.
    pub const ALL: [Self; 17] = [
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
        Self::LessAmount,
        Self::OtherOrder,
        Self::OtherCurrency,
        Self::OtherOperation,
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
            Self::LessAmount => "less_amount",
            Self::OtherOrder => "other_order",
            Self::OtherCurrency => "other_currency",
            Self::OtherOperation => "other_operation",
        }
    }

    const fn delays(self) -> bool {
        matches!(self, Self::DelayedAnswer | Self::SlowArrival)
    }
}

/// How long a fault delays where nothing else is said.
pub const DELAY: Duration = Duration::from_secs(5);

/// The calls that a fault can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// Money movements.
    Operations,
    /// Questions what became of one.
    Inquiries,
    /// Questions whether one would pass.
    Checks,
    /// Reversals.
    Reversals,
}

/// A call that arrives: whether a fault meets it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// What is called.
    pub calls: Calls,
    /// Of which kind, for a money movement.
    pub kind: Option<OperationKind>,
    /// The name of the test instrument, where there is one.
    pub instrument: Option<&'a str>,
}

/// A fault that meets a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// What goes wrong.
    pub fault: Fault,
    /// How long a fault that delays does so.
    pub delay: Duration,
}

/// A fault that the control address switched on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// What goes wrong.
    pub fault: Fault,
    /// For [`Fault::DelayedAnswer`] and [`Fault::SlowArrival`]: 5000 where it is not said.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// How many calls it meets; for ever where it is not said.
    #[serde(default)]
    pub times: Option<u32>,
    /// Which calls it meets: money movements where it is not said.
    #[serde(default = "operations")]
    pub on: Vec<Calls>,
    /// Only money movements of these kinds; all where it is not said.
    #[serde(default)]
    pub operations: Option<Vec<OperationKind>>,
    /// Only this test instrument, by its name; any where it is not said.
    #[serde(default)]
    pub instrument: Option<String>,
}

fn operations() -> Vec<Calls> {
    vec![Calls::Operations]
}

impl PlannedFault {
    /// Why this fault would never meet a call, or do nothing when it does.
    pub fn useless(&self) -> Option<&'static str> {
        let on = |calls| self.on.contains(&calls);
        let of_new = |kinds: &Vec<OperationKind>| kinds.iter().any(|kind| kind.begins_payment());
        if self.times == Some(0) {
            Some("`times` must be at least 1")
        } else if self.on.is_empty() || self.operations.as_ref().is_some_and(Vec::is_empty) {
            Some("`on` and `operations` must name at least one, or be left out")
        } else if self.delay_ms.is_some() && !self.fault.delays() {
            Some("`delay_ms` belongs to `delayed_answer` and `slow_arrival`")
        } else if self.operations.is_some() && !on(Calls::Operations) {
            Some("`operations` needs `operations` in `on`")
        } else if self.instrument.is_some() && (on(Calls::Inquiries) || on(Calls::Reversals)) {
            Some("inquiries and reversals have no instrument")
        } else if self.instrument.is_some()
            && self.operations.as_ref().is_some_and(|kinds| !of_new(kinds))
        {
            Some("captures, voids and refunds have no instrument")
        } else if self.fault == Fault::OtherOperation && on(Calls::Checks) {
            Some("a check has no operation id")
        } else {
            None
        }
    }

    fn meets(&self, arrival: Arrival<'_>) -> bool {
        self.on.contains(&arrival.calls)
            && arrival.kind.is_none_or(|kind| {
                self.operations.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            })
            && self.instrument.as_deref().is_none_or(|name| arrival.instrument == Some(name))
    }
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

    /// The fault that meets this call, counted down; none as a rule.
    pub fn meet(&self, arrival: Arrival<'_>) -> Option<Met> {
        let mut faults = self.lock();
        let at = faults.iter().position(|one| one.meets(arrival))?;
        let met = faults.get_mut(at)?;
        let delay = met.delay_ms.map_or(DELAY, Duration::from_millis);
        let found = Met { fault: met.fault, delay };
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

    fn operation(kind: OperationKind, instrument: Option<&str>) -> Arrival<'_> {
        Arrival { calls: Calls::Operations, kind: Some(kind), instrument }
    }

    #[test]
    fn a_fault_meets_what_it_was_planned_for_and_as_often() {
        let faults = Faults::default();
        faults.add(planned(r#"{"fault":"lost","times":2,"operations":["refund"]}"#));
        faults.add(planned(r#"{"fault":"delayed_answer","delay_ms":7,"instrument":"approve"}"#));
        faults.add(planned(r#"{"fault":"slow_arrival","on":["inquiries"]}"#));
        assert_eq!(faults.meet(operation(OperationKind::Sale, None)), None);
        let delayed = Met { fault: Fault::DelayedAnswer, delay: Duration::from_millis(7) };
        let sale = operation(OperationKind::Sale, Some("approve"));
        assert_eq!(faults.meet(sale), Some(delayed));
        assert_eq!(faults.meet(Arrival { calls: Calls::Checks, kind: None, ..sale }), None);
        let refund = operation(OperationKind::Refund, None);
        for _ in 0..2 {
            assert_eq!(faults.meet(refund).map(|met| met.fault), Some(Fault::Lost));
        }
        assert_eq!(faults.meet(refund), None);
        let slow = Met { fault: Fault::SlowArrival, delay: Duration::from_secs(5) };
        let inquiry = Arrival { calls: Calls::Inquiries, kind: None, instrument: None };
        assert_eq!(faults.meet(inquiry), Some(slow));
        assert_eq!(faults.list().len(), 2);
        faults.clear();
        assert_eq!(faults.meet(sale), None);
    }

    #[test]
    fn a_fault_that_would_do_nothing_is_refused() {
        for useless in [
            r#"{"fault":"lost","times":0}"#,
            r#"{"fault":"lost","on":[]}"#,
            r#"{"fault":"lost","delay_ms":7}"#,
            r#"{"fault":"lost","on":["inquiries"],"operations":["sale"]}"#,
            r#"{"fault":"lost","on":["inquiries"],"instrument":"approve"}"#,
            r#"{"fault":"lost","operations":["refund"],"instrument":"approve"}"#,
            r#"{"fault":"other_operation","on":["checks"]}"#,
        ] {
            assert!(planned(useless).useless().is_some(), "{useless}");
        }
        for useful in [
            r#"{"fault":"lost","times":1}"#,
            r#"{"fault":"wrong_amount","on":["inquiries","checks","reversals"]}"#,
            r#"{"fault":"slow_arrival","on":["operations","checks"],"instrument":"approve"}"#,
        ] {
            assert_eq!(planned(useful).useless(), None, "{useful}");
        }
    }

    #[test]
    fn a_fault_goes_by_one_word() {
        for fault in Fault::ALL {
            let json = serde_json::to_string(&fault).unwrap();
            assert_eq!(json, format!("\"{}\"", fault.word()));
        }
    }
}
