//! The example institution as a process: three institutions, each with its ledger.

use std::sync::Arc;

use pos_protocol::id::{ContractNumber, InstitutionId, OperationId};
use pos_protocol::key::PublicKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::error::BedError;
use crate::folder::Folder;
use crate::line::{Place, Request};
use crate::process::{Process, free_ports};

const PROGRAM: &str = "pos-institution";

/// Operations that one page of a ledger holds.
const PAGE: usize = 5_000;

/// One institution, as the operator registers it.
#[derive(Clone, Debug, Deserialize)]
pub struct Institution {
    /// What it expects to be called.
    pub id: InstitutionId,
    /// Where it answers.
    pub url: String,
    /// What its certificate leads to.
    pub ca_pem: String,
    /// Signs its answers, in base64url.
    pub verify_key: String,
    /// Signs its seal key sets, in base64url.
    pub seal_root: String,
}

impl Institution {
    /// The key that signs its seal key sets.
    ///
    /// # Errors
    /// [`BedError::Unknown`] when it announced none.
    pub fn root(&self) -> Result<PublicKey, BedError> {
        self.seal_root.parse().map_err(|_| BedError::Unknown(format!("root key of {}", self.id)))
    }
}

#[derive(Deserialize)]
struct Announcement {
    institutions: Vec<Institution>,
    control_url: String,
}

/// A test instrument: what it is called, what is sealed, and what it does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestInstrument {
    /// Whose it is.
    pub institution: InstitutionId,
    /// `approve`, a decline reason, `small_balance`, `pending`, or `fault:` and a fault.
    pub name: String,
    /// Its number.
    pub number: String,
    /// What is sealed, as JSON.
    pub instrument: Value,
    /// What it does.
    pub does: Value,
}

/// An institution's books as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Whether all entries add up to nothing and every balance is the sum of its entries.
    pub balanced: bool,
    /// Operations that were taken in.
    pub operations: u64,
    /// Operations that moved money more than once.
    pub moved_twice: u64,
    /// Sums of what stands, a contract and currency each.
    pub totals: Vec<LedgerTotals>,
    /// How many operations stand in which state.
    pub states: Vec<(String, u64)>,
}

/// Sums in minor units of the operations that stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTotals {
    /// The shop's number.
    pub contract: String,
    /// The currency.
    pub currency: String,
    /// By sales and authorises.
    pub authorised: u64,
    /// By sales and captures.
    pub captured: u64,
    /// By voids.
    pub released: u64,
    /// By refunds.
    pub refunded: u64,
    /// What the shop's account holds.
    pub shop_balance: i64,
}

/// One operation in an institution's books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerOperation {
    /// Its row.
    pub row: i64,
    /// Its id.
    pub operation_id: OperationId,
    /// What it was to move.
    pub kind: String,
    /// The shop's number.
    pub contract: ContractNumber,
    /// The shop's order.
    pub order_id: String,
    /// The currency.
    pub currency: String,
    /// What was asked for, in minor units.
    pub asked: u64,
    /// What moved; 0 unless the state is `done`.
    pub moved: u64,
    /// `done`, `declined`, `pending`, `not_processed` or `reversed`.
    pub state: String,
    /// Why it was declined.
    pub reason: Option<String>,
    /// How often it moved money.
    pub effects: u64,
}

/// The three institutions, with their control address.
#[derive(Debug)]
pub struct Institutions {
    folder: Arc<Folder>,
    arguments: Vec<String>,
    all: Vec<Institution>,
    control_url: String,
    control: Place,
    running: Mutex<Option<Process>>,
}

impl Institutions {
    /// Starts them on ports of their own.
    ///
    /// # Errors
    /// [`BedError::Ended`] with the log when they do not come up.
    pub async fn start(folder: Arc<Folder>, processing_limit_ms: u32) -> Result<Self, BedError> {
        let [card, bank, prepaid, control] = free_ports()?;
        let mut arguments =
            ["all", "--data", "institutions", "--until-stdin-closes"].map(str::to_owned).to_vec();
        for (name, value) in [
            ("--card-listen", format!("127.0.0.1:{card}")),
            ("--bank-listen", format!("127.0.0.1:{bank}")),
            ("--prepaid-listen", format!("127.0.0.1:{prepaid}")),
            ("--control-port", control.to_string()),
            ("--processing-limit-ms", processing_limit_ms.to_string()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        let (process, announced) = start_process(&folder, &arguments).await?;
        let Announcement { institutions: all, control_url } = announced;
        let control = Place::new(&control_url, "")?;
        let running = Mutex::new(Some(process));
        Ok(Self { folder, arguments, all, control_url, control, running })
    }

    /// All three: card, bank, prepaid.
    pub fn all(&self) -> &[Institution] {
        &self.all
    }

    /// Their ids in the same order.
    pub fn ids(&self) -> Vec<InstitutionId> {
        self.all.iter().map(|one| one.id.clone()).collect()
    }

    /// Where faults are switched and ledgers are read.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// Kills the process. Nothing listens at the institutions' addresses then.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn kill(&self) -> Result<(), BedError> {
        match self.running.lock().await.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Starts the process again on the same addresses and ledgers; kills it first where it runs.
    ///
    /// # Errors
    /// [`BedError::Ended`] with the log when it does not come up.
    pub async fn restart(&self) -> Result<(), BedError> {
        self.kill().await?;
        let mut running = self.running.lock().await;
        *running = Some(start_process(&self.folder, &self.arguments).await?.0);
        Ok(())
    }

    /// Lets them take calls that the operator signs.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn add_operator(&self, key: &PublicKey) -> Result<(), BedError> {
        let key = pos_protocol::text::base64url(key.octets());
        self.command("/control/operator-key", json!({ "key": key })).await
    }

    /// Tells one of them of a shop.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn add_contract(&self, id: &InstitutionId, number: &str) -> Result<(), BedError> {
        self.command("/control/contracts", json!({ "number": number, "institution": id })).await
    }

    /// Switches a fault on, as the institution's README describes it: `{"fault":"lost","times":1}`.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn add_fault(&self, fault: Value) -> Result<(), BedError> {
        self.command("/control/faults", fault).await
    }

    /// Switches every fault off.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn clear_faults(&self) -> Result<(), BedError> {
        let request = Request { method: "DELETE".into(), ..Request::get("/control/faults") };
        self.control.json(&request).await.map(drop)
    }

    /// What is switched on, by the institution's id.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn faults(&self) -> Result<Value, BedError> {
        self.control.json(&Request::get("/control/faults")).await
    }

    /// Lets one of them break a rule of the protocol, or none.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn set_quirk(&self, id: &str, quirk: Option<&str>) -> Result<(), BedError> {
        let body = json!({ "quirk": quirk, "institution": id });
        let request = Request::post("/control/quirk", &body);
        self.control.json(&Request { method: "PUT".into(), ..request }).await.map(drop)
    }

    /// Every test instrument of every institution.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn instruments(&self) -> Result<Vec<TestInstrument>, BedError> {
        let all = self.control.json(&Request::get("/control/instruments")).await?;
        serde_json::from_value(all).map_err(BedError::answer("the test instruments"))
    }

    /// One institution's books.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn ledger(&self, id: &str) -> Result<Ledger, BedError> {
        let target = format!("/control/ledger?institution={id}");
        let mut report = self.control.json(&Request::get(target)).await?;
        serde_json::from_value(report[id].take()).map_err(BedError::answer("a ledger"))
    }

    /// The books of all three, by the institution's id.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn ledgers(&self) -> Result<Vec<(InstitutionId, Ledger)>, BedError> {
        let mut all = Vec::new();
        for one in &self.all {
            all.push((one.id.clone(), self.ledger(one.id.as_str()).await?));
        }
        Ok(all)
    }

    /// One operation in an institution's books, if it has arrived there.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn operation(
        &self,
        id: &InstitutionId,
        operation: OperationId,
    ) -> Result<Option<LedgerOperation>, BedError> {
        let target = format!("/control/ledger/{id}/operations/{operation}");
        match self.control.json(&Request::get(target)).await {
            Ok(found) => {
                serde_json::from_value(found).map(Some).map_err(BedError::answer("an operation"))
            }
            Err(BedError::Refused { status: 404, .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Every operation in an institution's books, oldest first.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn operations(&self, id: &str) -> Result<Vec<LedgerOperation>, BedError> {
        let mut all: Vec<LedgerOperation> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last.row);
            let target = format!("/control/ledger/{id}/operations?after={after}&limit={PAGE}");
            let page = self.control.json(&Request::get(target)).await?;
            let page: Vec<_> =
                serde_json::from_value(page).map_err(BedError::answer("a page of a ledger"))?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The settlement file of a day with these bounds, in milliseconds since 1970.
    ///
    /// # Errors
    /// What the control address said.
    pub async fn settlement(
        &self,
        id: &str,
        day: &str,
        from_ms: u64,
        until_ms: u64,
    ) -> Result<String, BedError> {
        let query = format!("day={day}&from_ms={from_ms}&until_ms={until_ms}");
        let target = format!("/control/settlement/{id}?{query}");
        let response = self.control.send(&Request::get(&target)).await?;
        if response.status != 200 {
            let (status, body) = (response.status, response.json());
            return Err(BedError::Refused { url: target, status, body });
        }
        String::from_utf8(response.body).map_err(|_| BedError::Unknown("text of a file".into()))
    }

    /// The end of the log.
    pub async fn tail(&self) -> String {
        self.running.lock().await.as_ref().map_or_else(String::new, Process::tail)
    }

    async fn command(&self, target: &str, body: Value) -> Result<(), BedError> {
        self.control.json(&Request::post(target, &body)).await.map(drop)
    }
}

async fn start_process(
    folder: &Folder,
    arguments: &[String],
) -> Result<(Process, Announcement), BedError> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Process::start(PROGRAM, &arguments, folder).await
}
