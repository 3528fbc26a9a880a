//! A bed and who pays there: the connections, the instruments that were sealed, and the books at the end.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::id::PaymentId;
use pos_protocol::key::SigningKey;
use pos_tests::Bed;
use pos_tests::raw::Caller;

use crate::calls::Payments;
use crate::error::BenchError;
use crate::ledger::{self, Agreed};
use crate::load::{Lines, Pace};
use crate::measured::{Measured, measure};
use crate::process;

/// Who pays at one bed.
pub(crate) struct Payer {
    pub(crate) bed: Bed,
    /// The server's process.
    pub(crate) process: u32,
    pub(crate) lines: Lines,
    payments: Arc<Payments>,
    next: usize,
}

impl Payer {
    /// Connects and seals so many instruments, each for one payment within ten minutes.
    pub(crate) async fn new(
        bed: Bed,
        connections: usize,
        sealed: usize,
    ) -> Result<Self, BenchError> {
        let process = bed.server.process_id().await?;
        let payments = Arc::new(Payments::seal(&bed, caller(&bed), sealed)?);
        let lines = Lines::connect(&bed.server.tls_place()?, connections).await?;
        Ok(Self { bed, process, lines, payments, next: 0 })
    }

    /// The next so many payments. What a round leaves because its time is up is not made.
    pub(crate) async fn pay(&mut self, count: usize, pace: Pace) -> Result<Measured, BenchError> {
        let numbers = self.take(count);
        measure(self.process, &mut self.lines, &self.payments, numbers, pace).await
    }

    /// The same where threads of the server come and go: CPU to hundredths of a second.
    pub(crate) async fn pay_roughly(
        &mut self,
        count: usize,
        pace: Pace,
    ) -> Result<Measured, BenchError> {
        let numbers = self.take(count);
        let before = process::rough_cpu_time(self.process)?;
        let round = self.lines.run(&self.payments, numbers, pace).await?;
        let cpu = process::rough_cpu_time(self.process)?.saturating_sub(before);
        Ok(Measured { round, cpu })
    }

    /// Other connections from now on: the server closes those that were silent for long.
    pub(crate) async fn connect(&mut self, connections: usize) -> Result<(), BenchError> {
        self.lines = Lines::connect(&self.bed.server.tls_place()?, connections).await?;
        Ok(())
    }

    /// One who signs the shop's calls.
    pub(crate) fn caller(&self) -> Caller {
        caller(&self.bed)
    }

    /// Compares the books of institution, server and client.
    pub(crate) async fn agreed(&self) -> Result<Agreed, BenchError> {
        ledger::check(&self.bed, &self.caller(), &self.payments.paid(), None).await
    }

    /// The same in a store that held payments before: only those behind `older` count.
    pub(crate) async fn agreed_behind(&self, older: PaymentId) -> Result<Agreed, BenchError> {
        ledger::check(&self.bed, &self.caller(), &self.payments.paid(), Some(older)).await
    }

    fn take(&mut self, count: usize) -> Range<usize> {
        let first = self.next;
        self.next = first.saturating_add(count);
        first..self.next
    }
}

/// The server gives back what the password of the registration took 1.1 s later, and tells nobody.
pub(crate) async fn rest() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn caller(bed: &Bed) -> Caller {
    bed.caller_with(SigningKey::from_seed(&bed.shop().key.seed()))
}
