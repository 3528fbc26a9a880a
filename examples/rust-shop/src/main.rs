//! One small complete web shop: a shelf, an order, the page that seals the card, and the payment.
//!
//! The card never comes here. The shopper's page seals it to the institution, and this shop passes
//! the envelope on.

mod orders;
mod pages;
mod payment;
mod shop;
mod try_it;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use pos_connect::{Config, Connection, EnrolmentCode, Setup};
use tokio::net::TcpListener;

/// A web shop that sells tea
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Registers this shop's software with the code that the operator gave
    Register {
        #[command(flatten)]
        settings: Settings,
        user_id: String,
        code: String,
        #[arg(long, env = "SHOP_PASSWORD", hide_env_values = true)]
        password: String,
    },
    /// Opens the shop
    Serve {
        #[command(flatten)]
        settings: Settings,
        #[arg(long, default_value = "127.0.0.1:5000")]
        listen: SocketAddr,
    },
    /// Opens the shop on a test bed
    Try {
        #[arg(default_value_t = 5000)]
        port: u16,
    },
}

/// From the environment, because every installation differs in it.
#[derive(Args)]
struct Settings {
    #[arg(long, env = "POS_SERVER_URL")]
    server_url: String,
    /// For a server that has no public name
    #[arg(long, env = "POS_CA_PEM", hide_env_values = true)]
    ca_pem: Option<String>,
    /// For a server that has no public name
    #[arg(long, env = "POS_AUTHORITY")]
    authority: Option<String>,
    /// Keys, open payments and orders: put it into the backup
    #[arg(long, env = "SHOP_FOLDER")]
    folder: PathBuf,
}

impl Settings {
    fn setup(&self) -> anyhow::Result<Setup> {
        let mut config = Config::new(&self.server_url)?;
        if let Some(authority) = &self.authority {
            config = config.with_authority(authority)?;
        }
        if let Some(pem) = &self.ca_pem {
            config = config.with_ca_pem(pem);
        }
        Ok(Setup::in_folder(config, self.folder.join("pos"))?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Register { settings, user_id, code, password } => {
            register(&settings, &user_id, &code, &password).await
        }
        Command::Serve { settings, listen } => serve(&settings, listen).await,
        Command::Try { port } => Box::pin(try_it::run(port)).await,
    }
}

async fn register(
    settings: &Settings,
    user_id: &str,
    code: &str,
    password: &str,
) -> anyhow::Result<()> {
    let (user_id, code) = (user_id.parse()?, EnrolmentCode::parse(code)?);
    let registered = Connection::register(settings.setup()?, user_id, password.into(), &code);
    let (_, registration) = registered.await?;
    let shop = registration.shop_id;
    say(&format!("registered as {shop}. Write these down, they are shown once:"))?;
    for code in &registration.recovery_codes {
        say(&format!("  {}", code.expose()))?;
    }
    say(&format!("and to stop all payments: {}", registration.panic_code.expose()))
}

async fn serve(settings: &Settings, listen: SocketAddr) -> anyhow::Result<()> {
    let line = Connection::open(settings.setup()?).await?;
    let orders = orders::Orders::open(&settings.folder.join("orders.db"))?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("{listen}"))?;
    say(&format!("open at http://{}", listener.local_addr()?))?;
    let serving = axum::serve(listener, shop::routes(line, orders));
    serving.with_graceful_shutdown(asked_to_end()).await.context("serving")
}

async fn asked_to_end() {
    // Where signals cannot be heard, the shop ends by them without this.
    let _ = tokio::signal::ctrl_c().await;
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
