//! The shop in Rust: the module itself, waited for as a binding waits for it.

use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use pos_connect::wire::WireOperationState;
use pos_connect::{Amount, Config, Connection, Money, Order, Setup};
use tokio::runtime::Builder;

use super::shop::{self, Start};
use crate::error::BenchError;

/// Runs until its input ends.
pub(crate) fn run() -> Result<(), BenchError> {
    let failed = |cause: &dyn std::fmt::Display| BenchError::Shop {
        name: "the shop in Rust".into(),
        said: cause.to_string(),
    };
    let mut lines = io::stdin().lock().lines();
    let mut line = || lines.next().transpose().map_err(BenchError::system("reading"));
    let start: Start =
        serde_json::from_str(&line()?.unwrap_or_default()).map_err(|cause| failed(&cause))?;
    let config = Config::new(&start.server_url)
        .and_then(|config| config.with_authority(&start.authority))
        .map_err(|cause| failed(&cause))?
        .with_ca_pem(start.ca_pem);
    let setup = Setup::in_folder(config, start.folder).map_err(|cause| failed(&cause))?;
    // As `bindings/api` makes it.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(BenchError::system("making a runtime"))?;
    let connection = runtime.block_on(Connection::open(setup)).map_err(|cause| failed(&cause))?;
    let mut orders = start.orders.into_iter();
    while let Some(line) = line()? {
        let (what, count) = line.split_once(' ').unwrap_or((&line, ""));
        let count: usize = count.parse().map_err(|cause| failed(&cause))?;
        let mut took = Vec::with_capacity(count);
        if what == "pay" {
            for one in orders.by_ref().take(count) {
                let began = Instant::now();
                // Whoever links the module reads the texts of an order, too.
                let order = read(&one).ok_or_else(|| failed(&"an order that is none"))?;
                let paid = runtime.block_on(connection.pay(&order, None));
                let paid = paid.map_err(|cause| failed(&cause))?;
                took.push(began.elapsed().as_nanos());
                if paid.state != WireOperationState::Done {
                    return Err(failed(&"a payment that is not done"));
                }
            }
        } else {
            let began = Instant::now();
            for _ in 0..count {
                std::hint::black_box(connection.key_id().to_string());
            }
            took.push(began.elapsed().as_nanos());
        }
        let took: Vec<_> = took.iter().map(ToString::to_string).collect();
        writeln!(io::stdout(), "[{}]", took.join(",")).map_err(BenchError::system("answering"))?;
    }
    Ok(())
}

fn read(one: &shop::Order) -> Option<Order> {
    let money =
        Money { amount: Amount::new(one.amount).ok()?, currency: one.currency.parse().ok()? };
    let envelope = serde_json::from_str(&one.envelope).ok()?;
    Some(Order::new(one.contract_id.parse().ok()?, one.order_id.parse().ok()?, money, envelope))
}
