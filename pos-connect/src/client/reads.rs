//! What can be asked without changing anything.

use pos_protocol::id::{IdempotencyKey, OrderId, PaymentId, PosId};
use pos_protocol::wire::{
    HistoryPage, KeyStatus, MethodsAnswer, PaymentView, QuoteAnswer, QuoteRequest, route,
};

use super::Connection;
use super::drive::json;
use crate::error::Error;
use crate::exchange::{Call, Effect, key_status};
use crate::journal::Entry;

/// Which part of the history is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only payments older than this one: [`HistoryPage::next`] of the page before.
    pub after: Option<PaymentId>,
    /// How many at most, 1 to 100; 50 unless told.
    pub limit: Option<u8>,
    /// Only payments of this POS.
    pub pos_id: Option<PosId>,
}

impl Connection {
    /// Everything that the shop can be paid by now, on one POS or on all. May be kept for as long as
    /// the answer says. A seal key set that is not its institution's is left out, and so are the
    /// contracts of an institution whose root key is not the one known: a [`quote`](Self::quote) for
    /// one of them says so.
    ///
    /// # Errors
    /// As for every call.
    pub async fn methods(&self, pos_id: Option<PosId>) -> Result<MethodsAnswer, Error> {
        let mut call = Call::get(route::METHODS);
        if let Some(pos_id) = pos_id {
            call.query = format!("pos={pos_id}");
        }
        let mut answer: MethodsAnswer = self.ask(call).await?;
        self.check_methods(&mut answer).await;
        Ok(answer)
    }

    /// Which contract a payment would use, or why none can be used. Ask when the shopper has chosen
    /// how to pay; nothing is stored.
    ///
    /// # Errors
    /// `FixTheRequest` naming the field; `GiveUp` (`seal_root_changed`, `seal_keys_refused`) when
    /// the seal keys are not the institution's. That no contract fits is no error: the answer says
    /// why.
    pub async fn quote(&self, request: &QuoteRequest) -> Result<QuoteAnswer, Error> {
        let answer = self.ask(Call::post(route::QUOTES, json(request), Effect::Read)).await?;
        self.check_quote(&answer).await?;
        Ok(answer)
    }

    /// One payment with all its operations.
    ///
    /// # Errors
    /// `FixTheRequest` (`not_found`) where the shop has none of this id.
    pub async fn payment(&self, payment_id: PaymentId) -> Result<PaymentView, Error> {
        let path = route::PAYMENT.replace("{payment_id}", &payment_id.to_string());
        self.ask(Call::get(path)).await
    }

    /// The payment of an order: the one that stands or may stand, else the latest.
    ///
    /// # Errors
    /// `FixTheRequest` (`not_found`) where the order has none.
    pub async fn payment_of_order(&self, order_id: &OrderId) -> Result<PaymentView, Error> {
        self.ask(Call::get(route::ORDER.replace("{order_id}", order_id.as_str()))).await
    }

    /// What the server has under an idempotency key. `Nothing` is no proof that nothing will be:
    /// [`resume`](Self::resume) knows when it is.
    ///
    /// # Errors
    /// As for every call.
    pub async fn operation(&self, key: &IdempotencyKey) -> Result<KeyStatus, Error> {
        let path = route::OPERATION.replace("{idempotency_key}", key.as_str());
        let body = self.ask_octets(Call::get(path)).await?;
        key_status(&body).map_err(|unreadable| self.unreadable(unreadable))
    }

    /// One page of the history, newest payments first.
    ///
    /// # Errors
    /// `FixTheRequest` for a limit outside 1 to 100.
    pub async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, Error> {
        let after = query.after.map(|id| format!("after={id}"));
        let limit = query.limit.map(|limit| format!("limit={limit}"));
        let pos = query.pos_id.map(|id| format!("pos={id}"));
        let mut call = Call::get(route::PAYMENTS);
        call.query = [after, limit, pos].into_iter().flatten().collect::<Vec<_>>().join("&");
        self.ask(call).await
    }

    /// The history page by page, from where the query begins.
    pub fn pages(&self, query: HistoryQuery) -> Pages {
        Pages { connection: self.clone(), query: Some(query) }
    }

    /// The payments that this shop's software has under way at this server, or had when it was
    /// ended: settle each with [`resume`](Self::resume) after a start. Nothing is asked of the
    /// server.
    ///
    /// # Errors
    /// `GiveUp` (`journal`) when the journal cannot be read at all.
    pub async fn in_flight(&self) -> Result<InFlight, Error> {
        let owner = self.owner().map_err(|error| self.told(error))?;
        let found = self.journal().entries().await.map_err(|cause| self.told(cause.into()))?;
        let mut open = found.readable;
        open.retain(|entry| entry.owner == owner);
        let unreadable = found.unreadable.into_iter().map(|entry| {
            let error = Error::from(entry.cause).in_doubt();
            self.told(error.about(entry.key.as_ref()))
        });
        Ok(InFlight { open, unreadable: unreadable.collect() })
    }
}

/// What the journal holds of this shop at this server.
#[derive(Debug)]
pub struct InFlight {
    /// The payments under way, in no order.
    pub open: Vec<Entry>,
    /// One error of kind `AskForStatus` for each entry that cannot be read, whosever it is. Where
    /// its key is known, [`Connection::operation`] tells what the server has under it; once a person
    /// has seen to it, [`Connection::dismiss`] takes it out.
    pub unreadable: Vec<Error>,
}

/// Goes through the history a page at a time.
#[derive(Debug)]
pub struct Pages {
    connection: Connection,
    query: Option<HistoryQuery>,
}

impl Pages {
    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// As for [`Connection::history`]; the same page is fetched when asked again.
    pub async fn next(&mut self) -> Result<Option<HistoryPage>, Error> {
        let Some(query) = &self.query else { return Ok(None) };
        let page = self.connection.history(query).await?;
        let next = page.next.map(|after| HistoryQuery { after: Some(after), ..query.clone() });
        self.query = next;
        Ok(Some(page))
    }
}
