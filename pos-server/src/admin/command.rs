//! Every command with its arguments, as the command line reads it and the socket carries it.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use pos_protocol::Timestamp;
use pos_protocol::id::{
    ContractId, ContractNumber, InstitutionId, OperationId, PosId, ShopId, TaskId,
};
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::money::Amount;
use pos_protocol::wire::MailAddress;
use serde::{Deserialize, Serialize};

use crate::connectors::SettlementLine;
use crate::connectors::institution_protocol::conformance::read_instruments;

/// What an operator can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Institutions that settle payments
    #[command(subcommand)]
    Institution(InstitutionCommand),
    /// Shops, the operator's customers
    #[command(subcommand)]
    Shop(ShopCommand),
    /// Virtual POSes of a shop, and the contracts on them
    #[command(subcommand)]
    Pos(PosCommand),
    /// Keys with which a shop signs its calls
    #[command(subcommand)]
    Key(KeyCommand),
    /// What the server asks a person to decide
    #[command(subcommand)]
    Task(TaskCommand),
    /// The record of every decision about money, keys and settings
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Copy the database into the data folder, for `pos-server backup`; typed by nobody.
    #[command(skip)]
    Snapshot,
    /// A step of `pos-server reconcile`, which travels like a command and is typed by nobody.
    #[command(skip)]
    Reconcile(ReconcileStep),
}

/// Compares a day with an institution's settlement file.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Reconcile {
    /// The institution
    #[arg(long = "institution", value_name = "INSTITUTION")]
    pub institution_id: InstitutionId,
    /// Its settlement file of one day
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What one step of a run of `pos-server reconcile` asks for. The program that reads the file asks for
/// one step after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconcileStep {
    /// In which form the institution's files come.
    Format {
        /// The institution.
        institution_id: InstitutionId,
    },
    /// Compare these lines.
    Lines {
        /// The day.
        day: ReconcileDay,
        /// At most 500.
        lines: Vec<SettlementLine>,
    },
    /// The file was read to its end.
    Finish {
        /// The day.
        day: ReconcileDay,
    },
    /// Look for what no file names, from this operation on.
    Missing {
        /// The day.
        day: ReconcileDay,
        /// The last operation of the page before.
        after: Option<OperationId>,
    },
}

/// Which day is reconciled, in which run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileDay {
    /// The institution.
    pub institution_id: InstitutionId,
    /// The date, as the institution counts days: YYYYMMDD.
    pub day: u32,
    /// Its first moment.
    pub from_ms: Timestamp,
    /// The first moment after it.
    pub until_ms: Timestamp,
    /// When the run began.
    pub run_ms: Timestamp,
    /// How many tasks may still be made.
    pub tasks_left: u64,
}

/// Commands about institutions.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstitutionCommand {
    /// Register an institution and test the connection; prints the operator's public key, which it
    /// must be given. It goes live when the test passes, else by `institution enable`
    Add(Box<InstitutionAdd>),
    /// List the institutions
    List,
    /// Test the connection to an institution and route payments to it
    Enable {
        /// The institution
        institution_id: InstitutionId,
    },
    /// Stop routing payments to an institution; inquiries go on
    Disable {
        /// The institution
        institution_id: InstitutionId,
    },
    /// Check whether an endpoint keeps the rules of the institution protocol; moves test money
    Check(Box<InstitutionCheck>),
}

/// Registers an institution.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct InstitutionAdd {
    /// A name of your own for it: a-z, 0-9 and hyphen
    pub institution_id: InstitutionId,
    /// Where it answers: scheme, host and port
    #[arg(long, value_parser = https_url)]
    pub url: String,
    /// PEM file of the certificates that its TLS certificate must lead to; needed for https
    #[arg(long = "ca", value_name = "FILE", value_parser = read_pem)]
    pub ca: Option<PemText>,
    /// The Ed25519 key that signs its answers (43 characters of base64url)
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub verify_key: PublicKey,
    /// The Ed25519 key that signs its seal key sets (43 characters of base64url)
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub seal_root: PublicKey,
}

/// Runs the conformance check against an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct InstitutionCheck {
    /// Where it answers
    #[arg(value_parser = https_url)]
    pub url: String,
    /// The Ed25519 key that signs its answers (43 characters of base64url)
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub verify_key: PublicKey,
    /// The Ed25519 key that signs its seal key sets (43 characters of base64url)
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub seal_root: PublicKey,
    /// A contract number that it knows
    #[arg(long, value_name = "NUMBER")]
    pub contract: ContractNumber,
    /// JSON file with its test instruments: an array of objects with `name` (`approve`, or a
    /// decline reason) and `instrument` (what is sealed); without it no payment is checked
    #[arg(long, value_name = "FILE", value_parser = read_instrument_list)]
    pub instruments: Option<InstrumentList>,
    /// PEM file of the certificates that its TLS certificate must lead to; needed for https
    #[arg(long = "ca", value_name = "FILE", value_parser = read_pem)]
    pub ca: Option<PemText>,
}

/// Commands about shops.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShopCommand {
    /// Admit a shop; prints its user id and enrolment code
    Add(ShopAdd),
    /// List the shops, a thousand at most; the last one leads to those behind it
    List {
        /// Only the shops behind this one
        #[arg(long, value_name = "SHOP")]
        after: Option<ShopId>,
    },
    /// Show one shop with its POSes and contracts
    Show {
        /// The shop
        shop_id: ShopId,
    },
    /// Make a new enrolment code; an unused earlier one ends
    Code {
        /// The shop
        shop_id: ShopId,
    },
}

/// Admits a shop.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct ShopAdd {
    /// The shop's name
    #[arg(long, value_parser = line_of_text)]
    pub name: String,
    /// Where notices to the shop go
    #[arg(long, value_parser = mail_address)]
    pub email: Option<String>,
}

/// Commands about virtual POSes and their contracts.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PosCommand {
    /// Give a shop a POS
    Add(PosAdd),
    /// List a shop's POSes with their contracts
    List {
        /// The shop
        shop_id: ShopId,
    },
    /// Register a contract on a POS
    Contract(ContractAdd),
    /// Let a contract take payments
    ContractEnable {
        /// The contract
        contract_id: ContractId,
    },
    /// Stop a contract from taking payments; refunds and inquiries go on
    ContractDisable {
        /// The contract
        contract_id: ContractId,
    },
}

/// Gives a shop a POS.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct PosAdd {
    /// The shop
    pub shop_id: ShopId,
    /// The POS's name
    #[arg(long, value_parser = line_of_text)]
    pub name: String,
    /// What it is used for
    #[arg(long, value_enum, default_value_t)]
    pub purpose: Purpose,
}

/// What a POS is used for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A web shop
    #[default]
    Web,
    /// Orders by telephone
    Phone,
    /// A fair or another event
    Event,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::Web, Self::Phone, Self::Event];

    /// The word for it, on the wire and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Phone => "phone",
            Self::Event => "event",
        }
    }
}

/// Registers a contract on a POS.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct ContractAdd {
    /// The POS
    pub pos_id: PosId,
    /// The institution that the contract is with
    #[arg(long = "institution", value_name = "INSTITUTION")]
    pub institution_id: InstitutionId,
    /// The number under which the institution keeps the shop
    #[arg(long)]
    pub number: ContractNumber,
}

/// Commands about keys.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyCommand {
    /// List a shop's keys
    List {
        /// The shop
        shop_id: ShopId,
    },
    /// End a key at once
    Revoke {
        /// The shop
        shop_id: ShopId,
        /// The key
        #[arg(allow_hyphen_values = true)]
        key_id: KeyId,
    },
}

/// Commands about the audit.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditCommand {
    /// Look for rows that were edited, deleted, swapped or cut off; ends with 1 when there are any
    Verify,
}

/// Commands about tasks.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCommand {
    /// List the open tasks, oldest first, a thousand at most
    List,
    /// Show one task
    Show {
        /// The task
        task_id: TaskId,
    },
    /// Close a task, and say what became of its operation where that needs a person
    Resolve(TaskResolve),
}

/// Closes a task.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct TaskResolve {
    /// The task
    pub task_id: TaskId,
    /// What became of the operation, where it needs a person; ask the institution first
    #[arg(long = "as", value_name = "WHAT", value_enum)]
    pub outcome: Option<Resolution>,
    /// With `--as done`: how much, in minor units of the payment's currency
    #[arg(long, value_name = "MINOR", required_if_eq("outcome", "done"), value_parser = read_amount)]
    pub amount: Option<Amount>,
    /// What you found out and from whom; kept with the task
    #[arg(long, value_name = "TEXT", value_parser = read_note)]
    pub note: String,
}

/// What a person found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It was done; of a reverse: the original stands
    Done,
    /// The institution refused it
    Declined,
    /// It was never processed
    NotSent,
    /// It counts for nothing: it was undone
    Reversed,
}

/// The text of a PEM file. The command line reads the file, so that a running server never opens
/// a path that a caller names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PemText(pub String);

impl fmt::Debug for PemText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemText({} octets)", self.0.len())
    }
}

fn read_pem(path: &str) -> Result<PemText, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| cause.to_string())?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(PemText(text))
    } else {
        Err("the file holds no PEM certificate".into())
    }
}

/// The octets of a file of test instruments. They are not secret, but no log needs them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentList(pub String);

impl fmt::Debug for InstrumentList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstrumentList({} octets)", self.0.len())
    }
}

fn read_instrument_list(path: &str) -> Result<InstrumentList, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| cause.to_string())?;
    read_instruments(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(InstrumentList(text))
}

/// An address of an institution: HTTPS, or plain HTTP on loopback for an adapter beside us.
fn https_url(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be an https address such as https://pay.example.jp without user, \
                        query and fragment; http only on loopback";
    let url: hyper::Uri = text.parse().map_err(|_| RULE)?;
    let host = url.host().ok_or(RULE)?;
    let loopback = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    let scheme = match url.scheme_str() {
        Some("https") => true,
        Some("http") => loopback,
        _ => false,
    };
    let clean = !text.contains(['@', '?', '#']);
    if scheme && clean { Ok(text.trim_end_matches('/').into()) } else { Err(RULE) }
}

fn line_of_text(text: &str) -> Result<String, &'static str> {
    let length = text.chars().count();
    if text.trim() != text || !(1..=100).contains(&length) || text.chars().any(char::is_control) {
        return Err("must be 1 to 100 characters on one line, without spaces at either end");
    }
    Ok(text.into())
}

fn read_note(text: &str) -> Result<String, &'static str> {
    let length = text.chars().count();
    if !(1..=1_000).contains(&length) || text.chars().any(char::is_control) {
        return Err("must be 1 to 1000 characters on one line");
    }
    Ok(text.into())
}

fn read_amount(text: &str) -> Result<Amount, String> {
    let minor = text.parse().map_err(|_| "must be minor units, 1 to 999999999999".to_owned())?;
    Amount::new(minor).map_err(|_| "must be minor units, 1 to 999999999999".to_owned())
}

fn mail_address(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be a mail address such as shop@example.jp";
    text.parse::<MailAddress>().map(|address| address.as_str().into()).map_err(|_| RULE)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn read(line: &str) -> Result<Command, String> {
        let words = std::iter::once("pos-server").chain(line.split_ascii_whitespace());
        Line::try_parse_from(words).map(|line| line.command).map_err(|error| error.to_string())
    }

    const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const SHOP: &str = "shp_014d2pf2dbzzzzzzzzzzzzzzzz";

    #[test]
    fn an_institution_is_described_completely() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\nAA==\n").unwrap();
        let command = read(&format!(
            "institution add sakura-card --url https://127.0.0.1:9000/ --verify-key {KEY} \
             --seal-root {KEY} --ca {}",
            ca.display()
        ));
        let Ok(Command::Institution(InstitutionCommand::Add(add))) = &command else {
            panic!("{command:?}");
        };
        assert_eq!(add.url, "https://127.0.0.1:9000");
        assert!(add.ca.as_ref().unwrap().0.starts_with("-----BEGIN"));
        // The socket carries the same.
        let command = command.unwrap();
        let line = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&line).unwrap(), command);
    }

    /// base64url has the hyphen among its digits.
    #[test]
    fn a_key_may_begin_with_a_hyphen() {
        let key = "-ZozBUzwTRP9Hl3ZPYeZZiaCT044YXUhe0oaoO6rY74";
        for line in [
            format!(
                "institution check https://a.jp --verify-key {key} --seal-root {key} --contract 1"
            ),
            format!("institution add a --url https://a.jp --verify-key {key} --seal-root {key}"),
            format!("key revoke {SHOP} {key}"),
        ] {
            assert!(read(&line).is_ok(), "{line}: {:?}", read(&line));
        }
    }

    #[test]
    fn every_command_reads_and_travels() {
        let contract = "con_014d2pf2dbzzzzzzzzzzzzzzzz";
        let pos = "pos_014d2pf2dbzzzzzzzzzzzzzzzz";
        for line in [
            "institution list".to_owned(),
            "institution enable sakura-card".to_owned(),
            "institution disable sakura-card".to_owned(),
            format!(
                "institution check https://a.jp --verify-key {KEY} --seal-root {KEY} --contract 1"
            ),
            "shop add --name Hanako --email hanako@example.jp".to_owned(),
            "shop list".to_owned(),
            format!("shop show {SHOP}"),
            format!("shop code {SHOP}"),
            format!("pos add {SHOP} --name Web --purpose phone"),
            format!("pos list {SHOP}"),
            format!("pos contract {pos} --institution sakura-card --number 4980012345"),
            format!("pos contract-enable {contract}"),
            format!("pos contract-disable {contract}"),
            format!("key list {SHOP}"),
            format!("key revoke {SHOP} kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            "audit verify".to_owned(),
            "task list".to_owned(),
            "task show tsk_014d2pf2dbzzzzzzzzzzzzzzzz".to_owned(),
            "task resolve tsk_014d2pf2dbzzzzzzzzzzzzzzzz --note asked".to_owned(),
            "task resolve tsk_014d2pf2dbzzzzzzzzzzzzzzzz --as not-sent --note asked".to_owned(),
            "task resolve tsk_014d2pf2dbzzzzzzzzzzzzzzzz --as done --amount 1200 --note a"
                .to_owned(),
        ] {
            let command = read(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let carried = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&carried).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn a_full_step_of_a_reconciliation_fits_into_a_line_of_the_socket() {
        let line = SettlementLine {
            operation_id: OperationId::from_octets([0xff; 16]),
            kind: pos_protocol::payment::OperationKind::Authorise,
            contract_number: "9".repeat(32).parse().unwrap(),
            order_id: "o".repeat(64).parse().unwrap(),
            reference: Some("\\".repeat(64)),
            amount: Amount::new(999_999_999_999).unwrap(),
            currency: pos_protocol::Currency::JPY,
            time: Timestamp::from_ms(999_999_999_999_999),
        };
        let day = ReconcileDay {
            institution_id: "sakura-card".parse().unwrap(),
            day: 20_261_126,
            from_ms: Timestamp::from_ms(999_999_999_999_999),
            until_ms: Timestamp::from_ms(999_999_999_999_999),
            run_ms: Timestamp::from_ms(999_999_999_999_999),
            tasks_left: 1_000,
        };
        let lines = vec![line; 500];
        let command = Command::Reconcile(ReconcileStep::Lines { day, lines });
        let carried = serde_json::to_string(&command).unwrap();
        assert!(carried.len() < 1 << 19, "{}", carried.len());
        assert_eq!(serde_json::from_str::<Command>(&carried).unwrap(), command);
        assert!(read("reconcile").unwrap_err().contains("unrecognized"), "typed by nobody");
    }

    #[test]
    fn wrong_arguments_say_what_they_must_be() {
        let add = |rest: &str| {
            let required = format!("--verify-key {KEY} --seal-root {KEY}");
            read(&format!("institution add {rest} {required}")).unwrap_err()
        };
        assert!(add("Sakura --url https://a.jp").contains("beginning with a letter"));
        assert!(add("s --url http://a.jp").contains("http only on loopback"));
        assert!(add("s --url https://a.jp?x=1").contains("without user, query"));
        assert!(add("s --url https://a.jp --ca /no/such").contains("No such file"));
        assert!(read("shop show shp_1").unwrap_err().contains("exactly as the server wrote it"));
        assert!(read("shop add --name a --email b").unwrap_err().contains("shop@example.jp"));
        let resolve =
            |rest: &str| read(&format!("task resolve tsk_014d2pf2dbzzzzzzzzzzzzzzzz {rest}"));
        assert!(resolve("--as done --note a").unwrap_err().contains("--amount"));
        assert!(resolve("--as done --amount 0 --note a").unwrap_err().contains("999999999999"));
        assert!(resolve("--as reversed").unwrap_err().contains("--note"));
        assert!(
            read(&format!("pos add {SHOP} --name a --purpose x")).unwrap_err().contains("phone")
        );
    }
}
