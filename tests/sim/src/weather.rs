//! How bad a world is: what goes wrong how often. Each world draws a mixture of its own, in which some
//! kinds of faults do not occur at all, so that others show what they do alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::chance::Chance;
use crate::trace::{Fault, Trace};

/// What the world does to messages, of a thousand each.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    request_lost: u64,
    answer_lost: u64,
    cut: u64,
    late: u64,
    doubled: u64,
    reordered: u64,
    bad_gateway: u64,
    garbled: u64,
}

/// The weather of a world.
pub struct Weather {
    chance: Chance,
    mixture: Mixture,
    calm: AtomicBool,
    /// Of ten worlds, the strength of everything but messages.
    pub(crate) crashes: u64,
    pub(crate) disk: u64,
    pub(crate) clock: u64,
    pub(crate) outages: u64,
}

/// What becomes of one message and of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// How long the message takes.
    pub there: Duration,
    /// It comes once more, so much later.
    pub again: Option<Duration>,
    /// What happens to it or to its answer, besides.
    pub fate: Fate,
    /// How long the answer takes.
    pub back: Duration,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It never comes.
    RequestLost,
    /// It comes, and the answer does not.
    AnswerLost,
    /// The line is cut before it comes.
    CutBefore,
    /// The line is cut when it was taken in.
    CutAfter,
    /// A proxy answers in its place; it does not come.
    GatewayBefore,
    /// A proxy answers in place of the institution or the server, which took it in.
    GatewayAfter,
    /// The answer is spoilt.
    Garbled,
}

impl Weather {
    /// The weather of a world, drawn from its seed.
    pub fn draw(chance: Chance) -> Self {
        let mut strength = |usual: u64| match chance.below(6) {
            0 => 0,
            1 => usual / 2,
            2 => usual.saturating_mul(2),
            _ => usual,
        };
        let mixture = Mixture {
            request_lost: strength(30),
            answer_lost: strength(30),
            cut: strength(30),
            late: strength(30),
            doubled: strength(40),
            reordered: strength(50),
            bad_gateway: strength(15),
            garbled: strength(15),
        };
        let [crashes, disk, clock, outages] = [10; 4].map(&mut strength);
        Self { chance, mixture, calm: AtomicBool::new(true), crashes, disk, clock, outages }
    }

    /// Lets the storm begin or end.
    pub fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
    }

    /// Whether nothing goes wrong.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// What becomes of a message on this line.
    pub fn passage(&self, trace: &Trace, line: &str) -> Passage {
        let chance = &self.chance;
        let (there, back) = (chance.span(1, 20), chance.span(1, 20));
        let mut passage = Passage { there, again: None, fate: Fate::Answered, back };
        if self.is_calm() {
            return passage;
        }
        let all = self.mixture;
        let met = |of_a_thousand, fault| {
            let met = chance.happens(of_a_thousand);
            if met {
                trace.fault(fault, line);
            }
            met
        };
        if met(all.reordered, Fault::Reordered) {
            passage.there = chance.span(200, 1_500);
        }
        if met(all.late, Fault::Late) {
            let late = chance.span(1_000, 15_000);
            if chance.happens(500) {
                passage.there = late;
            } else {
                passage.back = late;
            }
        }
        if met(all.doubled, Fault::Doubled) {
            passage.again = Some(match chance.below(3) {
                0 => Duration::ZERO,
                1 => chance.span(1, 1_000),
                _ => chance.span(1_000, 20_000),
            });
        }
        let either = |one, other| if chance.happens(500) { one } else { other };
        if met(all.request_lost, Fault::RequestLost) {
            passage.fate = Fate::RequestLost;
        } else if met(all.answer_lost, Fault::AnswerLost) {
            passage.fate = Fate::AnswerLost;
        } else if met(all.cut, Fault::LineCut) {
            passage.fate = either(Fate::CutBefore, Fate::CutAfter);
        } else if met(all.bad_gateway, Fault::BadGateway) {
            passage.fate = either(Fate::GatewayBefore, Fate::GatewayAfter);
        } else if met(all.garbled, Fault::AnswerGarbled) {
            passage.fate = Fate::Garbled;
        }
        passage
    }
}
