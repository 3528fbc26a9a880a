//! Answers as a fault wants them.

use pos_protocol::institution::{
    Body, CheckAnswer, InstitutionCode, OperationAnswer, ReversalAnswer,
};
use pos_protocol::money::{Amount, Currency, Money};
use tokio::time::sleep;

use super::{Institution, Reply};
use crate::fault::{Fault, Met};
use crate::line::OnLine;

/// An answer whose echoes a fault can bend.
pub(super) trait Bent: Body {
    /// The answer with another amount, order, currency or operation, where it has one.
    fn bent(self, fault: Fault) -> Self;
}

impl Institution {
    /// What a fault does before anything is processed: the reply to a call that is not taken in.
    pub(super) async fn before(met: Option<Met>) -> Option<Reply> {
        match met? {
            Met { fault: Fault::Lost, .. } => Some(Reply::on(OnLine::Silent)),
            Met { fault: Fault::Cut, .. } => Some(Reply::on(OnLine::Cut)),
            Met { fault: Fault::SlowArrival, delay } => {
                sleep(delay).await;
                None
            }
            _ => None,
        }
    }

    /// The answer to a call that was processed, as the fault wants it.
    pub(super) async fn spoil<T: Bent>(&self, answer: T, met: Option<Met>) -> Reply {
        let Some(Met { fault, delay }) = met else { return Reply::good(&answer) };
        let good = Reply::good(&answer);
        match fault {
            Fault::Lost | Fault::Cut | Fault::SlowArrival => good,
            Fault::NoAnswer => Reply::on(OnLine::Silent),
            Fault::DelayedAnswer => {
                sleep(delay).await;
                good
            }
            Fault::AnswerTwice => Reply { on_line: OnLine::Twice, ..good },
            Fault::ProcessedThenCut => Reply::on(OnLine::Cut),
            Fault::Garbage => Reply { on_line: OnLine::Garbage, ..good },
            Fault::GarbledBody => {
                let half = good.body.len() / 2;
                let body = good.body.get(..half).unwrap_or_default().to_vec();
                Reply { body, ..good }
            }
            Fault::Unsigned => Reply { signed: false, ..good },
            Fault::WrongAmount
            | Fault::LessAmount
            | Fault::OtherOrder
            | Fault::OtherCurrency
            | Fault::OtherOperation => Reply::good(&answer.bent(fault)),
            Fault::Error500 => self.refuse(InstitutionCode::Internal, "switched on by a test"),
            Fault::BadGateway => {
                let body = b"<html><h1>502 Bad Gateway</h1></html>".to_vec();
                Reply { status: 502, body, ..Reply::on(OnLine::Written) }
            }
        }
    }
}

impl Bent for OperationAnswer {
    fn bent(self, fault: Fault) -> Self {
        let another = |mut octets: [u8; 16]| {
            octets[15] ^= 1;
            octets
        };
        let another = |id: pos_protocol::id::OperationId| {
            pos_protocol::id::OperationId::from_octets(another(*id.octets()))
        };
        match (self, fault) {
            (Self::Outcome(mut outcome), Fault::OtherOperation) => {
                outcome.operation_id = another(outcome.operation_id);
                Self::Outcome(outcome)
            }
            (Self::NotProcessed { operation_id, time }, Fault::OtherOperation) => {
                Self::NotProcessed { operation_id: another(operation_id), time }
            }
            (Self::NotFound { operation_id, time }, Fault::OtherOperation) => {
                Self::NotFound { operation_id: another(operation_id), time }
            }
            (Self::Outcome(mut outcome), _) => {
                if fault == Fault::OtherOrder {
                    outcome.order_id = another_order();
                }
                let money = Money { amount: outcome.amount, currency: outcome.currency };
                let money = bent_money(money, fault);
                (outcome.amount, outcome.currency) = (money.amount, money.currency);
                Self::Outcome(outcome)
            }
            (other, _) => other,
        }
    }
}

impl Bent for CheckAnswer {
    fn bent(self, fault: Fault) -> Self {
        let order_id = if fault == Fault::OtherOrder { another_order() } else { self.order_id };
        Self { order_id, money: bent_money(self.money, fault), ..self }
    }
}

impl Bent for ReversalAnswer {
    fn bent(self, fault: Fault) -> Self {
        let order_id = if fault == Fault::OtherOrder { another_order() } else { self.order_id };
        Self { order_id, money: bent_money(self.money, fault), ..self }
    }
}

fn another_order() -> pos_protocol::id::OrderId {
    "another-order".parse().expect("the words are an order id")
}

fn bent_money(money: Money, fault: Fault) -> Money {
    let minor = money.amount.minor();
    let amount = |minor| Amount::new(minor).unwrap_or(money.amount);
    match fault {
        // One more, so that it cannot pass for a partial approval; and less, so that it can.
        Fault::WrongAmount => Money { amount: amount(minor.saturating_add(1)), ..money },
        Fault::LessAmount => Money { amount: amount(minor.saturating_sub(1)), ..money },
        Fault::OtherCurrency if money.currency == Currency::JPY => {
            Money { currency: Currency::KRW, ..money }
        }
        Fault::OtherCurrency => Money { currency: Currency::JPY, ..money },
        _ => money,
    }
}
