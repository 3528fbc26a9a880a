//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pos_protocol::id::ContractNumber;
use pos_protocol::key::PublicKey;

use crate::house::House;
use crate::running::Options;
use crate::tls::TlsFiles;

/// An institution to talk to: card acquirer, bank and prepaid issuer, each with its own ledger.
#[derive(Debug, Parser)]
#[command(name = "pos-institution", version)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve all three institutions in one process.
    All(Serve),
    /// Serve the card acquirer `sakura-card`.
    Card(Serve),
    /// Serve the bank `aozora-bank`.
    Bank(Serve),
    /// Serve the prepaid issuer `momiji-prepaid`.
    Prepaid(Serve),
    /// Make or change the seal keys and sign their sets with the root keys; stop the service first.
    Keys {
        /// The folder with keys and ledgers.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// The folder with keys and ledgers; made when it is not there.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the card acquirer listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    card_listen: SocketAddr,
    /// Where the bank listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    bank_listen: SocketAddr,
    /// Where the prepaid issuer listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    prepaid_listen: SocketAddr,
    /// The loopback port of the control address.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    control_port: u16,
    /// An operator's call key: the `x` of its JWK, as `pos-server institution add` prints it.
    #[arg(long, value_name = "X")]
    operator_key: Vec<PublicKey>,
    /// A shop's contract number, known to every institution served.
    #[arg(long, value_name = "NUMBER")]
    contract: Vec<ContractNumber>,
    /// The CA certificate in PEM, when the certificate is not to be made.
    #[arg(long, value_name = "FILE", requires_all = ["tls_certificate", "tls_key"])]
    tls_ca: Option<PathBuf>,
    /// The certificate chain in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_key: Option<PathBuf>,
    /// Speak plain HTTP, on loopback addresses only.
    #[arg(long, conflicts_with = "tls_ca")]
    plain: bool,
    /// How long after its begin an operation may still arrive: 1000 to 60000.
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1_000..=60_000))]
    processing_limit_ms: u32,
    /// End when standard input closes, beside SIGTERM and SIGINT.
    #[arg(long)]
    pub until_stdin_closes: bool,
}

impl Serve {
    /// The options of a service of these houses.
    pub fn options(&self, houses: &[House]) -> Options {
        let address = |house| match house {
            House::Card => self.card_listen,
            House::Bank => self.bank_listen,
            House::Prepaid => self.prepaid_listen,
        };
        let given = self.tls_ca.clone().zip(self.tls_certificate.clone()).zip(self.tls_key.clone());
        Options {
            data: self.data.clone(),
            houses: houses.iter().map(|house| (*house, address(*house))).collect(),
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, self.control_port)),
            operator_keys: self.operator_key.clone(),
            contracts: self.contract.clone(),
            tls_files: given.map(|((ca, certificate), key)| TlsFiles { ca, certificate, key }),
            plain: self.plain,
            processing_limit_ms: self.processing_limit_ms,
        }
    }
}
