//! What is printed: a table for people, and one last line for scripts.

use std::fmt;

use crate::figures::{Spread, Waits};
use crate::run::{Outcome, Rounds};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, agreed, .. } = self;
        let (ratio, [disk50, disk99, _]) = (self.cpu_ratio, tail(&self.disk));
        writeln!(
            f,
            "cpu_ratio {:.2} ({:.2} to {:.2}): CPU of pos-server for a payment over CPU of the echo \
             for a call; median of {} rounds, each between two of echo",
            ratio.median, ratio.least, ratio.most, plan.rounds
        )?;
        let connections = format!("closed loop, {} connections", plan.connections);
        row(f, "echo", &self.echo, &connections)?;
        row(f, "payment", &self.payment, &connections)?;
        row(f, "quote", &self.quote, &connections)?;
        let [open50, open99, open999] = tail(&self.open);
        writeln!(
            f,
            "payment  at a constant {:.0} payments/s (open loop, {} payments): p50 {open50:.2} ms, \
             p99 {open99:.2} ms, p99.9 {open999:.2} ms, the institution's own time included",
            self.open_per_second,
            self.open.count()
        )?;
        writeln!(
            f,
            "disk     raw fdatasync of 4 KiB, {} times: p50 {disk50:.2} ms, p99 {disk99:.2} ms",
            self.disk.count()
        )?;
        writeln!(
            f,
            "memory   idle {}, at {} connections {}, at 512 connections {} (peak {})",
            mib(self.idle.now),
            plan.connections,
            mib(self.loaded.now),
            mib(self.many.now),
            mib(self.many.peak)
        )?;
        writeln!(
            f,
            "ledger   {} operations, {} minor units: institution, server and client agree",
            agreed.operations, agreed.minor
        )?;
        write!(
            f,
            "cpu_ratio={:.2} cpu_us_per_payment={:.0} payments_per_s={:.0} p99_ms={open99:.2} \
             ledger=equal",
            ratio.median, self.payment.cpu_us.median, self.payment.per_second.median
        )
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, rounds: &Rounds, how: &str) -> fmt::Result {
    let [p50, p99, p999] = tail(&rounds.waits);
    writeln!(
        f,
        "{name:8} {} µs of CPU a call, {}/s ({how}, {} calls): p50 {p50:.2} ms, p99 {p99:.2} ms, \
         p99.9 {p999:.2} ms",
        spread(rounds.cpu_us),
        spread(rounds.per_second),
        rounds.waits.count()
    )
}

fn spread(of: Spread) -> String {
    format!("{:.0} ({:.0} to {:.0})", of.median, of.least, of.most)
}

/// p50, p99 and p99.9 in milliseconds.
fn tail(waits: &Waits) -> [f64; 3] {
    [500, 990, 999].map(|share| waits.per_mille(share))
}

fn mib(octets: u64) -> String {
    format!("{:.1} MiB", octets as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::Agreed;
    use crate::process::Memory;
    use crate::run::Plan;

    #[test]
    fn the_last_line_is_for_scripts() {
        let one = |value| Spread { median: value, least: value, most: value };
        let waits = || Waits::of([Duration::from_micros(12_346)]);
        let rounds = |cpu, rate| Rounds { cpu_us: one(cpu), per_second: one(rate), waits: waits() };
        let memory = Memory { now: 20 << 20, peak: 30 << 20 };
        let outcome = Outcome {
            plan: Plan { rounds: 7, payments: 4_000, connections: 128 },
            cpu_ratio: one(7.918),
            echo: rounds(40.2, 20_000.0),
            payment: rounds(318.4, 2_511.0),
            quote: rounds(130.0, 6_000.0),
            open_per_second: 1255.0,
            open: waits(),
            disk: waits(),
            idle: memory,
            loaded: memory,
            many: memory,
            agreed: Agreed { operations: 44_000, minor: 99 },
        };
        let text = outcome.to_string();
        assert_eq!(
            text.lines().last().unwrap(),
            "cpu_ratio=7.92 cpu_us_per_payment=318 payments_per_s=2511 p99_ms=12.35 ledger=equal"
        );
        assert!(text.contains("peak 30.0 MiB"), "{text}");
    }
}
