//! From a command to what does it: one function each, all of them thin.

use std::sync::Arc;

use pos_protocol::id::{ContractId, InstitutionId, PosId, ShopId, TaskId};
use pos_protocol::key::KeyId;
use pos_protocol::payment::{Decision, OperationState};
use pos_protocol::wire::KeyRole;

use super::command::{
    AuditCommand, Command, ContractAdd, InstitutionAdd, InstitutionCheck, InstitutionCommand,
    KeyCommand, PosAdd, PosCommand, Purpose, ReconcileDay, ReconcileStep, Resolution, ShopAdd,
    ShopCommand, TaskCommand, TaskResolve,
};
use super::{
    AdminError, Answer, Check, ContractRow, InstitutionRow, InstitutionTaskDetail, KeyRow, Kind,
    Mark, PosRow, ShopDetail, ShopRow, TaskDetail, TaskRow,
};
use crate::app::App;
use crate::audit::{self, AuditError};
use crate::connectors::CallKey;
use crate::connectors::institution_protocol::conformance::{self, Target, Verdict};
use crate::data_folder::SNAPSHOT;
use crate::env::{Clock, Entropy};
use crate::payments::reconcile::{self, ReconcileError, Run, Tally};
use crate::payments::tasks::{self, Found, ResolveError};
use crate::pos::enrolment::{self, ON_SCREEN};
use crate::pos::institutions::{self, InstitutionError, NewInstitution};
use crate::store::verbs::{AddContract, AddPos, EndKey, KeyChanged, SetContractEnabled};
use crate::store::{StoreError, rows, sqlite};
use crate::telemetry::logs::chain;

type Reply = Result<Answer, AdminError>;

/// At most so many rows are listed.
const LISTED: u32 = 1_000;

/// Does what `command` says.
///
/// # Errors
/// [`AdminError`] says what was refused and why; nothing was changed then.
pub async fn execute(app: &App, command: Command) -> Reply {
    match command {
        Command::Institution(command) => match command {
            InstitutionCommand::Add(it) => institution_add(app, *it).await,
            InstitutionCommand::List => institution_list(app).await,
            InstitutionCommand::Enable { institution_id } => {
                institution_switch(app, institution_id, true).await
            }
            InstitutionCommand::Disable { institution_id } => {
                institution_switch(app, institution_id, false).await
            }
            InstitutionCommand::Check(it) => institution_check(&Prober::of(app), *it).await,
        },
        Command::Shop(command) => match command {
            ShopCommand::Add(it) => shop_add(app, it).await,
            ShopCommand::List { after } => shop_list(app, after).await,
            ShopCommand::Show { shop_id } => shop_show(app, shop_id).await,
            ShopCommand::Code { shop_id } => shop_code(app, shop_id).await,
        },
        Command::Pos(command) => match command {
            PosCommand::Add(it) => pos_add(app, it).await,
            PosCommand::List { shop_id } => Ok(Answer::Poses { poses: poses(app, shop_id).await? }),
            PosCommand::Contract(it) => contract_add(app, it).await,
            PosCommand::ContractEnable { contract_id } => {
                contract_switch(app, contract_id, true).await
            }
            PosCommand::ContractDisable { contract_id } => {
                contract_switch(app, contract_id, false).await
            }
        },
        Command::Key(command) => match command {
            KeyCommand::List { shop_id } => key_list(app, shop_id).await,
            KeyCommand::Revoke { shop_id, key_id } => key_revoke(app, shop_id, key_id).await,
        },
        Command::Audit(AuditCommand::Verify) => audit_verify(app).await,
        Command::Task(command) => match command {
            TaskCommand::List => task_list(app).await,
            TaskCommand::Show { task_id } => task_show(app, task_id).await,
            TaskCommand::Resolve(it) => task_resolve(app, it).await,
        },
        Command::Reconcile(step) => reconcile_step(app, step).await,
        Command::Snapshot => snapshot(app).await,
    }
}

/// The process that has the database makes the copy, in its own folder: it opens no path that a caller
/// names, and a copy never outlives it.
async fn snapshot(app: &App) -> Reply {
    let number: String = app.entropy.array::<8>().iter().map(|it| format!("{it:02x}")).collect();
    let path = app.folder.path().join(format!("{SNAPSHOT}{number}"));
    let Some(database) = app.config.database_file() else {
        const SENTENCE: &str = "the database is PostgreSQL: back it up by its own tools";
        return Err(AdminError::new(Kind::Invalid, SENTENCE));
    };
    let copy = path.clone();
    let copying = tokio::task::spawn_blocking(move || {
        sqlite::snapshot(&database, &copy).inspect_err(|_| {
            // What was begun is good for nothing.
            let _ = std::fs::remove_file(&copy);
        })
    });
    match copying.await {
        Ok(Ok(())) => Ok(Answer::Snapshot { path }),
        Ok(Err(error)) => Err(AdminError::new(Kind::Internal, chain(&error))),
        Err(_) => Err(AdminError::new(Kind::Unavailable, "the server ends: begin again")),
    }
}

async fn reconcile_step(app: &App, step: ReconcileStep) -> Reply {
    match step {
        ReconcileStep::Format { institution_id } => {
            Ok(Answer::SettlementFormat { format: reconcile::format(app, &institution_id)? })
        }
        ReconcileStep::Lines { day, lines } => {
            let tally = reconcile::compare(app, &run_of(day)?, &lines).await?;
            Ok(Answer::Compared { tally, next: None })
        }
        ReconcileStep::Finish { day } => {
            reconcile::finish(app, &run_of(day)?).await?;
            Ok(Answer::Compared { tally: Tally::default(), next: None })
        }
        ReconcileStep::Missing { day, after } => {
            let (tally, next) = reconcile::missing(app, &run_of(day)?, after).await?;
            Ok(Answer::Compared { tally, next })
        }
    }
}

fn run_of(day: ReconcileDay) -> Result<Run, AdminError> {
    let number = rows::SettlementDay::from_number(day.day);
    let settlement = rows::SettlementRow {
        day: number.map_err(|error| AdminError::new(Kind::Invalid, error.to_string()))?,
        from: day.from_ms,
        until: day.until_ms,
        run: day.run_ms,
    };
    Ok(Run { institution: day.institution_id, settlement, tasks_left: day.tasks_left })
}

async fn institution_add(app: &App, new: InstitutionAdd) -> Reply {
    let institution_id = new.institution_id;
    let new = NewInstitution {
        id: institution_id.clone(),
        url: new.url,
        ca_pem: new.ca.map(|pem| pem.0),
        verify_key: new.verify_key,
        seal_root: new.seal_root,
    };
    let untested = match institutions::add(app, new).await {
        Ok(()) => None,
        Err(InstitutionError::Untested(fault)) => Some(fault.to_string()),
        Err(error) => return Err(error.into()),
    };
    let operator_key = app.keys.institution_call.public();
    Ok(Answer::InstitutionAdded { institution_id, operator_key, untested })
}

async fn institution_list(app: &App) -> Reply {
    let rows = app.store.read(|reader| reader.institutions()).await?;
    Ok(Answer::Institutions { institutions: rows.iter().map(institution_row).collect() })
}

/// One that cannot be read is shown as such, and the others with it.
fn institution_row(row: &rows::InstitutionRow) -> InstitutionRow {
    let record = institutions::record(row);
    let damaged = record.is_err();
    let (methods, currencies) = record.map_or_else(
        |_| (Vec::new(), Vec::new()),
        |record| {
            let currencies = record.capabilities.currencies.iter().map(|terms| terms.currency);
            let currencies = currencies.collect();
            (record.capabilities.methods, currencies)
        },
    );
    InstitutionRow {
        institution_id: row.id.clone(),
        name: row.name.to_string(),
        url: row.url.to_string(),
        enabled: row.enabled,
        damaged,
        methods,
        currencies,
    }
}

async fn institution_switch(app: &App, id: InstitutionId, enabled: bool) -> Reply {
    institutions::switch(app, &id, enabled).await?;
    Ok(Answer::InstitutionSwitched { institution_id: id, enabled })
}

/// What the conformance check needs of a server: whom it calls as, and the machine.
pub(super) struct Prober {
    call_key: CallKey,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Prober {
    pub(super) fn of(app: &App) -> Self {
        Self {
            call_key: app.institutions.call_key().clone(),
            clock: Arc::clone(&app.clock),
            entropy: Arc::clone(&app.entropy),
        }
    }
}

pub(super) async fn institution_check(prober: &Prober, check: InstitutionCheck) -> Reply {
    let list = check.instruments.as_ref().map_or("[]", |list| &list.0);
    let instruments = conformance::read_instruments(list.as_bytes())
        .map_err(|error| AdminError::new(Kind::Invalid, error.to_string()))?;
    let target = Target {
        url: check.url.clone(),
        ca_pem: check.ca.map(|pem| pem.0),
        verify_key: check.verify_key,
        seal_root: check.seal_root,
        contract_number: check.contract,
        instruments,
    };
    let Prober { call_key, clock, entropy } = prober;
    let running = conformance::run(&target, call_key, Arc::clone(clock), &**entropy);
    let report = Box::pin(running)
        .await
        .map_err(|error| AdminError::new(Kind::Invalid, error.to_string()))?;
    let conclusion = report.conclusion();
    let checks = report.checks.into_iter().map(|one| {
        let rule = format!("{} (INSTITUTION.md {})", one.rule, one.section);
        let (mark, seen) = match one.verdict {
            Verdict::Kept => (Mark::Kept, String::new()),
            Verdict::Broken(why) => (Mark::Broken, why),
            Verdict::NotOffered(why) => (Mark::NotOffered, why),
            Verdict::NotChecked(why) => (Mark::NotChecked, why),
        };
        Check { rule, mark, seen }
    });
    Ok(Answer::Conformance { url: check.url, conclusion, checks: checks.collect() })
}

async fn shop_add(app: &App, new: ShopAdd) -> Reply {
    let admitted = enrolment::admit(app, &new.name, new.email.as_deref(), ON_SCREEN).await?;
    Ok(Answer::EnrolmentCode {
        shop_id: admitted.shop.id,
        user_id: admitted.shop.user_id,
        enrolment_code: admitted.code,
        not_after_ms: admitted.shop.created_at.plus(ON_SCREEN),
    })
}

async fn shop_list(app: &App, after: Option<ShopId>) -> Reply {
    let rows = app.store.read(move |reader| reader.shops(after, LISTED.saturating_add(1))).await?;
    let (rows, more) = cut(rows);
    let mut shops = Vec::with_capacity(rows.len());
    for row in &rows {
        shops.push(shop_row(app, row).await?);
    }
    Ok(Answer::Shops { shops, more })
}

/// What is listed, and whether there is more of it.
fn cut<T>(mut rows: Vec<T>) -> (Vec<T>, bool) {
    let most = LISTED as usize;
    let more = rows.len() > most;
    rows.truncate(most);
    (rows, more)
}

async fn shop_show(app: &App, id: ShopId) -> Reply {
    let row = shop(app, id).await?;
    let email = row.email.as_deref().map(str::to_owned);
    let (shop, poses) = (shop_row(app, &row).await?, poses(app, id).await?);
    Ok(Answer::Shop(ShopDetail { shop, email, poses }))
}

async fn shop_code(app: &App, id: ShopId) -> Reply {
    let row = shop(app, id).await?;
    let not_after_ms = app.clock.now().plus(ON_SCREEN);
    let code = enrolment::new_code(app, id, ON_SCREEN).await?;
    let enrolment_code = code.ok_or_else(|| missing("shop"))?;
    Ok(Answer::EnrolmentCode { shop_id: id, user_id: row.user_id, enrolment_code, not_after_ms })
}

async fn shop(app: &App, id: ShopId) -> Result<rows::ShopRow, AdminError> {
    let found = app.store.read(move |reader| reader.shop(id)).await?;
    found.ok_or_else(|| missing("shop"))
}

async fn shop_row(app: &App, row: &rows::ShopRow) -> Result<ShopRow, AdminError> {
    let user = row.user_id;
    let login = app.store.read(move |reader| reader.login(user)).await?;
    Ok(ShopRow {
        shop_id: row.id,
        name: row.name.to_string(),
        user_id: row.user_id,
        registered: login.is_some_and(|login| login.password_hash.is_some()),
        added_at_ms: row.created_at,
    })
}

async fn pos_add(app: &App, new: PosAdd) -> Reply {
    let now = app.clock.now();
    let pos = rows::PosRow {
        id: PosId::fresh(now, app.entropy.array()),
        name: new.name.into(),
        purpose: new.purpose.word().into(),
        created_at: now,
    };
    let pos_id = pos.id;
    if !app.store.add_pos(AddPos { shop: new.shop_id, pos }).await? {
        return Err(missing("shop"));
    }
    Ok(Answer::PosAdded { pos_id })
}

async fn poses(app: &App, shop: ShopId) -> Result<Vec<PosRow>, AdminError> {
    self::shop(app, shop).await?;
    let contracts = app.store.read(move |reader| reader.contracts(shop)).await?;
    let poses = app.store.read(move |reader| reader.poses(shop)).await?;
    let with_contracts = |pos: rows::PosRow| PosRow {
        pos_id: pos.id,
        name: pos.name.to_string(),
        purpose: Purpose::ALL
            .into_iter()
            .find(|known| known.word() == &*pos.purpose)
            .unwrap_or_default(),
        contracts: contracts
            .iter()
            .filter(|contract| contract.pos == pos.id)
            .map(|contract| ContractRow {
                contract_id: contract.id,
                institution_id: contract.institution.clone(),
                number: contract.number.clone(),
                enabled: contract.enabled,
            })
            .collect(),
    };
    Ok(poses.into_iter().map(with_contracts).collect())
}

async fn contract_add(app: &App, new: ContractAdd) -> Reply {
    let shop = app.store.read(move |reader| reader.shop_of_pos(new.pos_id)).await?;
    let shop = shop.ok_or_else(|| missing("POS"))?;
    let now = app.clock.now();
    let contract = rows::ContractRow {
        id: ContractId::fresh(now, app.entropy.array()),
        pos: new.pos_id,
        institution: new.institution_id,
        number: new.number,
        enabled: true,
        created_at: now,
    };
    let contract_id = contract.id;
    if !app.store.add_contract(AddContract { shop, contract }).await? {
        let message = "there is no such institution, or the POS has a contract with this number \
                       there already; `pos-server pos list` shows what stands";
        return Err(AdminError::new(Kind::Conflict, message));
    }
    Ok(Answer::ContractAdded { contract_id })
}

async fn contract_switch(app: &App, contract: ContractId, enabled: bool) -> Reply {
    let shop = app.store.read(move |reader| reader.shop_of_contract(contract)).await?;
    let shop = shop.ok_or_else(|| missing("contract"))?;
    let set = SetContractEnabled { shop, contract, enabled, now: app.clock.now() };
    if !app.store.set_contract_enabled(set).await? {
        return Err(missing("contract"));
    }
    Ok(Answer::ContractSwitched { contract_id: contract, enabled })
}

async fn key_list(app: &App, shop: ShopId) -> Reply {
    self::shop(app, shop).await?;
    let now = app.clock.now();
    let rows = app.store.read(move |reader| reader.keys(shop)).await?;
    let keys = rows.iter().map(|row| KeyRow {
        key_id: row.public.id(),
        kind: match row.role {
            KeyRole::Module => "module".into(),
            KeyRole::Session => "session".into(),
        },
        state: match (row.is_live(now), row.ends_at, row.role) {
            (false, ..) => "ended".into(),
            (true, Some(_), KeyRole::Module) => "overlapping".into(),
            (true, ..) => "active".into(),
        },
        added_at_ms: row.created_at,
        not_after_ms: row.ends_at,
    });
    Ok(Answer::Keys { keys: keys.collect() })
}

async fn key_revoke(app: &App, shop: ShopId, key: KeyId) -> Reply {
    let end = EndKey { shop, claim: None, key, now: app.clock.now() };
    match app.store.end_key(end).await? {
        KeyChanged::Yes => Ok(Answer::KeyRevoked { key_id: key }),
        KeyChanged::NotFound => Err(missing("key of this shop")),
        KeyChanged::KeyReused | KeyChanged::Taken => {
            Err(AdminError::new(Kind::Internal, "ending a key answered what it never answers"))
        }
    }
}

async fn audit_verify(app: &App) -> Reply {
    let report = audit::verify(app).await?;
    Ok(Answer::Audit {
        chains: report.verified.chains,
        rows: report.verified.rows,
        checkpoints: report.checkpoints,
        unsigned: report.unsigned,
        gaps: report.gaps,
        findings: report.verified.findings.iter().map(ToString::to_string).collect(),
    })
}

async fn task_list(app: &App) -> Reply {
    let most = LISTED.saturating_add(1);
    let rows = app.store.read(move |reader| reader.tasks(most)).await?;
    let about = app.store.read(move |reader| reader.institution_tasks(most)).await?;
    let about = about.into_iter().map(institution_task_row);
    let mut tasks: Vec<_> = rows.into_iter().map(task_row).chain(about).collect();
    tasks.sort_by_key(|task| (task.opened_at_ms, task.task_id));
    let (tasks, more) = cut(tasks);
    Ok(Answer::Tasks { tasks, more })
}

async fn task_show(app: &App, id: TaskId) -> Reply {
    Ok(task_detail(tasks::find(app, id).await?))
}

async fn task_resolve(app: &App, it: TaskResolve) -> Reply {
    let decision = match (it.outcome, it.amount) {
        (None, None) => None,
        (Some(Resolution::Done), Some(amount)) => Some(Decision::Done(amount)),
        (Some(Resolution::Declined), None) => Some(Decision::Declined),
        (Some(Resolution::NotSent), None) => Some(Decision::NotSent),
        (Some(Resolution::Reversed), None) => Some(Decision::Reversed),
        (_, Some(_)) | (Some(Resolution::Done), None) => {
            let message = "--amount belongs to --as done, and to nothing else";
            return Err(AdminError::new(Kind::Invalid, message));
        }
    };
    Ok(task_detail(tasks::resolve(app, it.task_id, decision, &it.note).await?))
}

fn task_detail(found: Found) -> Answer {
    let (task, payment) = match found {
        Found::Operation(task, payment) => (task, payment),
        Found::Institution(task) => {
            return Answer::InstitutionTask(Box::new(InstitutionTaskDetail {
                note: task.note.as_deref().map(str::to_owned),
                task: institution_task_row(task),
            }));
        }
    };
    let one = payment.operation(task.operation);
    let evidence = one.map(|one| one.evidence.clone()).unwrap_or_default();
    Answer::Task(Box::new(TaskDetail {
        note: task.note.as_deref().map(str::to_owned),
        institution_id: payment.institution.clone(),
        contract_number: payment.contract_number.clone(),
        order_id: payment.order_id.clone(),
        operation: one.map(|one| one.kind),
        state: one.map_or("gone", |one| one.state.wire()).to_owned(),
        amount: one.map_or(payment.amount, |one| one.amount),
        currency: payment.currency,
        begun_at_ms: one.map_or(payment.created_at, |one| one.created_at),
        reference: evidence.reference.as_deref().map(str::to_owned),
        raw_code: evidence.raw_code.as_deref().map(str::to_owned),
        asked: one.map_or(0, |one| one.inquiries),
        needs_decision: one.is_some_and(|one| one.state == OperationState::NeedsHuman),
        task: task_row(task),
    }))
}

fn task_row(row: rows::TaskRow) -> TaskRow {
    TaskRow {
        task_id: row.id,
        text: row.text.to_string(),
        institution_id: None,
        shop_id: Some(row.shop),
        payment_id: Some(row.payment),
        operation_id: Some(row.operation),
        opened_at_ms: row.created_at,
        closed_at_ms: row.resolved_at,
    }
}

fn institution_task_row(row: rows::InstitutionTask) -> TaskRow {
    TaskRow {
        task_id: row.id,
        text: row.text.to_string(),
        institution_id: Some(row.institution),
        shop_id: row.shop,
        payment_id: row.payment,
        operation_id: row.operation,
        opened_at_ms: row.created_at,
        closed_at_ms: row.resolved_at,
    }
}

fn missing(what: &str) -> AdminError {
    AdminError::new(Kind::NotFound, format!("there is no such {what}"))
}

impl From<AuditError> for AdminError {
    fn from(error: AuditError) -> Self {
        Self::new(Kind::Internal, chain(&error))
    }
}

impl From<ReconcileError> for AdminError {
    fn from(error: ReconcileError) -> Self {
        let kind = match &error {
            ReconcileError::NoFiles | ReconcileError::TooMany => Kind::Invalid,
            ReconcileError::NoSuchInstitution => Kind::NotFound,
            ReconcileError::Store(_) => Kind::Internal,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<ResolveError> for AdminError {
    fn from(error: ResolveError) -> Self {
        let kind = match &error {
            ResolveError::Closed | ResolveError::Moved => Kind::Conflict,
            ResolveError::DoesNotFit(_)
            | ResolveError::NeedsDecision
            | ResolveError::NothingToDecide => Kind::Invalid,
            ResolveError::NotFound => Kind::NotFound,
            ResolveError::Store(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::new(Kind::Internal, format!("the shop database did not answer: {}", chain(&error)))
    }
}

impl From<InstitutionError> for AdminError {
    fn from(error: InstitutionError) -> Self {
        let kind = match &error {
            InstitutionError::Damaged | InstitutionError::Store(_) => Kind::Internal,
            InstitutionError::Exists => Kind::Conflict,
            InstitutionError::NotFound => Kind::NotFound,
            InstitutionError::Record(_) => Kind::Invalid,
            InstitutionError::Untested(_) => Kind::Unavailable,
        };
        Self::new(kind, chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use pos_protocol::key::SigningKey;

    use super::*;

    #[test]
    fn a_list_says_when_it_was_cut() {
        assert_eq!(cut((0..1_000).collect()), ((0..1_000).collect::<Vec<_>>(), false));
        assert_eq!(cut((0..1_001).collect()), ((0..1_000).collect::<Vec<_>>(), true));
    }

    #[test]
    fn a_damaged_institution_is_listed_as_such() {
        let key = SigningKey::from_seed(&[1; 32]).public();
        let row = rows::InstitutionRow {
            id: "sakura-card".parse().unwrap(),
            name: "Sakura".into(),
            name_ja: "Sakura".into(),
            url: "https://sakura.example".into(),
            ca_pem: None,
            verify_key: key,
            seal_root: key,
            seal_key_version: 0,
            capabilities: "{".into(),
            enabled: true,
        };
        let listed = institution_row(&row);
        assert!(listed.damaged && listed.methods.is_empty());
        let text = Answer::Institutions { institutions: vec![listed] }.text();
        assert!(text.contains("sakura-card  Sakura  damaged"), "{text}");
        assert!(!institution_row(&rows::InstitutionRow { capabilities: "".into(), ..row }).damaged);
    }
}
