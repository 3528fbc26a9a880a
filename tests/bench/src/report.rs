//! What is printed: a table for people, and one last line for scripts.

use std::fmt;

use crate::figures::{Spread, Waits};
use crate::measured::Rounds;
use crate::run::Outcome;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, at_rate, closed, agreed, .. } = self;
        let connections = plan.connections;
        writeln!(
            f,
            "cpu_ratio {}: CPU of pos-server for a payment over CPU of the echo for a call, median of \
             {} rounds, each between two of echo\n\n\
             open loop, a constant {} calls/s on {connections} connections",
            fine(at_rate.ratio),
            plan.rounds,
            plan.rate
        )?;
        row(f, "echo", &at_rate.echo)?;
        row(f, "payment", &at_rate.payment)?;
        row(f, "quote", &self.quote)?;
        writeln!(f, "\nclosed loop, {connections} connections")?;
        row(f, "echo", &closed.echo)?;
        row(f, "payment", &closed.payment)?;
        let saturated = "CPU of a payment over CPU of an echo, both saturated";
        writeln!(f, "  ratio    {}: {saturated}\n", fine(closed.ratio))?;
        let [p50, p99, _] = tail(&self.disk);
        let times = self.disk.count();
        writeln!(
            f,
            "disk     raw fdatasync of 4 KiB, {times} times: p50 {p50:.2} ms, p99 {p99:.2} ms"
        )?;
        let [idle, loaded, many, peak] =
            [self.idle.now, self.loaded.now, self.many.now, self.many.peak].map(mib);
        writeln!(
            f,
            "memory   idle {idle}, at {connections} connections {loaded}, at 512 {many} (peak {peak})"
        )?;
        writeln!(
            f,
            "ledger   {} operations, {} minor units: institution, server and client agree\n",
            agreed.operations, agreed.minor
        )?;
        let ([_, p99, _], payment) = (tail(&at_rate.payment.waits), &at_rate.payment);
        write!(
            f,
            "cpu_ratio={:.2} cpu_us_per_payment={:.0} payments_per_s={:.0} p99_ms={p99:.2} ledger=equal",
            at_rate.ratio.median, payment.cpu_us.median, closed.payment.per_second.median
        )
    }
}

pub(crate) fn row(f: &mut fmt::Formatter<'_>, name: &str, rounds: &Rounds) -> fmt::Result {
    let [p50, p99, p999] = tail(&rounds.waits);
    let (cpu, rate, calls) =
        (spread(rounds.cpu_us), spread(rounds.per_second), rounds.waits.count());
    writeln!(
        f,
        "  {name:8} {cpu} µs of CPU a call, {rate}/s, {calls} calls: p50 {p50:.2} ms, p99 {p99:.2} ms, \
         p99.9 {p999:.2} ms"
    )
}

pub(crate) fn spread(of: Spread) -> String {
    format!("{:.0} ({:.0} to {:.0})", of.median, of.least, of.most)
}

pub(crate) fn fine(of: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", of.median, of.least, of.most)
}

/// p50, p99 and p99.9 in milliseconds.
pub(crate) fn tail(waits: &Waits) -> [f64; 3] {
    [500, 990, 999].map(|share| waits.per_mille(share))
}

pub(crate) fn mib(octets: u64) -> String {
    format!("{:.1} MiB", octets as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Engine;
    use crate::ledger::Agreed;
    use crate::process::Memory;
    use crate::run::{Compared, Plan};

    #[test]
    fn the_last_line_is_for_scripts() {
        let one = |value| Spread { median: value, least: value, most: value };
        let waits = || Waits::of([Duration::from_micros(12_346)]);
        let rounds = |cpu, rate| Rounds { cpu_us: one(cpu), per_second: one(rate), waits: waits() };
        let memory = Memory { now: 20 << 20, peak: 30 << 20 };
        let compared = |ratio, cpu, rate| Compared {
            ratio: one(ratio),
            echo: rounds(40.2, rate),
            payment: rounds(cpu, rate),
        };
        let outcome = Outcome {
            plan: Plan { rounds: 7, rate: 1_000, connections: 128, engine: Engine::Sqlite },
            at_rate: compared(7.918, 318.4, 999.0),
            closed: compared(29.5, 250.0, 2_511.0),
            quote: rounds(130.0, 999.0),
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
