//! What commands answer: JSON for machines, a few lines of text for people.

use std::fmt::Write as _;
use std::path::PathBuf;

use pos_protocol::Timestamp;
use pos_protocol::id::{
    ContractId, ContractNumber, InstitutionId, Method, OperationId, OrderId, PaymentId, PosId,
    ShopId, TaskId, UserId,
};
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::payment::OperationKind;
use pos_protocol::secret::SecretText;
use pos_protocol::text::base64url;
use pos_protocol::wire::TimeGap;
use pos_protocol::{Amount, Currency};
use serde::{Deserialize, Serialize};

use super::command::Purpose;
use super::table::{date, table};
use crate::connectors::SettlementFormat;
use crate::connectors::institution_protocol::conformance::Conclusion;
use crate::payments::reconcile::{Class, Tally};

/// What a command answers. In JSON, `answer` names the variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of the command, under their own names")]
pub enum Answer {
    /// What was found in the audit.
    Audit {
        /// Chains, one a run of the server or of a command that changed something.
        chains: u64,
        /// Rows of all chains.
        rows: u64,
        /// Checkpoints that they were compared with.
        checkpoints: u64,
        /// Lines of the file of checkpoints that this server's keys did not sign.
        unsigned: u64,
        /// Times that were lost in restores; what was decided then is in no chain.
        #[serde(default)]
        gaps: Vec<TimeGap>,
        /// What is wrong, a sentence each.
        findings: Vec<String>,
    },
    /// A backup was made.
    BackedUp {
        folder: PathBuf,
        /// Everything that was acknowledged before this is in it.
        made_at_ms: Timestamp,
        /// Of the database.
        octets: u64,
    },
    /// The checks in the order they were made, and what they come to.
    Conformance {
        url: String,
        conclusion: Conclusion,
        checks: Vec<Check>,
    },
    /// What a step of `pos-server reconcile` found; with `next`, another page begins behind it.
    Compared {
        tally: Tally,
        next: Option<OperationId>,
    },
    ContractAdded {
        contract_id: ContractId,
    },
    ContractSwitched {
        contract_id: ContractId,
        enabled: bool,
    },
    /// What a shop registers with. The code is shown here once and never again.
    EnrolmentCode {
        shop_id: ShopId,
        user_id: UserId,
        enrolment_code: SecretText,
        not_after_ms: Timestamp,
    },
    /// The institution verifies our calls with `operator_key`.
    /// `untested` says why the connection test failed and the institution is still off.
    InstitutionAdded {
        institution_id: InstitutionId,
        operator_key: PublicKey,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        untested: Option<String>,
    },
    InstitutionSwitched {
        institution_id: InstitutionId,
        enabled: bool,
    },
    InstitutionTask(Box<InstitutionTaskDetail>),
    Institutions {
        institutions: Vec<InstitutionRow>,
    },
    KeyRevoked {
        key_id: KeyId,
    },
    Keys {
        keys: Vec<KeyRow>,
    },
    /// The database is on PostgreSQL, and what is there is what was here.
    Moved {
        /// Where it is now.
        to: String,
        /// Whether it was only compared, and had been moved before.
        compared_only: bool,
        tables: Vec<MovedTable>,
    },
    PosAdded {
        pos_id: PosId,
    },
    Poses {
        poses: Vec<PosRow>,
    },
    /// A day was compared with its settlement file.
    Reconciled {
        institution_id: InstitutionId,
        /// The date, as the institution counts days.
        day: String,
        #[serde(flatten)]
        tally: Tally,
    },
    /// The database is restored. Everything of the gap is lost.
    Restored {
        gap: TimeGap,
        /// How often it has been.
        restores: u64,
        /// Who gets nothing new until its task is closed.
        held: Vec<InstitutionId>,
    },
    SettlementFormat {
        format: SettlementFormat,
    },
    Shop(ShopDetail),
    /// With `more`, there are others behind the last one.
    Shops {
        shops: Vec<ShopRow>,
        more: bool,
    },
    /// A copy of the database lies there; whoever asked for it takes it away.
    Snapshot {
        path: PathBuf,
    },
    Task(Box<TaskDetail>),
    /// With `more`, there are younger ones that are not shown.
    Tasks {
        tasks: Vec<TaskRow>,
        more: bool,
    },
}

/// A table that is the same on both sides of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedTable {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 of each row, added up; in base64url.
    pub digest: String,
}

/// One check of the conformance run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What the endpoint must do, as a short sentence.
    pub rule: String,
    /// What came of it.
    pub mark: Mark,
    /// What was seen, or what was missing; empty when there is nothing to add.
    pub seen: String,
}

/// What came of one check of the conformance run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The rule is kept.
    Kept,
    /// It is not.
    Broken,
    /// The institution says that it does not offer what the rule is about.
    NotOffered,
    /// Something that the check needs was missing.
    NotChecked,
}

/// An institution as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstitutionRow {
    /// The operator's name for it.
    pub institution_id: InstitutionId,
    /// Its name for people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// Whether payments are routed to it.
    pub enabled: bool,
    /// Whether what is kept of it cannot be read: enter it anew.
    pub damaged: bool,
    /// What it settles.
    pub methods: Vec<Method>,
    /// What it takes.
    pub currencies: Vec<Currency>,
}

/// A key as it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Its thumbprint.
    pub key_id: KeyId,
    /// `module` or `session`.
    pub kind: String,
    /// `active`, `overlapping`, or `ended` where its time is over; one that was revoked is not listed.
    pub state: String,
    /// When it was registered.
    pub added_at_ms: Timestamp,
    /// When it ends by itself, where it does.
    pub not_after_ms: Option<Timestamp>,
}

/// A POS with its contracts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PosRow {
    /// The POS.
    pub pos_id: PosId,
    /// Its name.
    pub name: String,
    /// What it is used for.
    pub purpose: Purpose,
    /// What is registered on it.
    pub contracts: Vec<ContractRow>,
}

/// A contract on a POS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractRow {
    /// The contract.
    pub contract_id: ContractId,
    /// With whom.
    pub institution_id: InstitutionId,
    /// The institution's number for the shop.
    pub number: ContractNumber,
    /// Whether it takes payments.
    pub enabled: bool,
}

/// A shop in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopRow {
    /// The shop.
    pub shop_id: ShopId,
    /// Its name.
    pub name: String,
    /// Its user id.
    pub user_id: UserId,
    /// Whether it has used its enrolment code.
    pub registered: bool,
    /// When it was admitted.
    pub added_at_ms: Timestamp,
}

/// A shop with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopDetail {
    /// The shop itself.
    #[serde(flatten)]
    pub shop: ShopRow,
    /// Where notices go.
    pub email: Option<String>,
    /// Its POSes.
    pub poses: Vec<PosRow>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The task.
    pub task_id: TaskId,
    /// What happened, as a sentence.
    pub text: String,
    /// The institution that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub institution_id: Option<InstitutionId>,
    /// Whose it is, where one shop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop_id: Option<ShopId>,
    /// The payment, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// The operation, where there is one. One that the institution alone knows is not found here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// When it was opened.
    pub opened_at_ms: Timestamp,
    /// When it was closed, if it was.
    pub closed_at_ms: Option<Timestamp>,
}

/// A task about an institution. Its text says all there is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstitutionTaskDetail {
    /// The task; its members are members of this.
    #[serde(flatten)]
    pub task: TaskRow,
    /// What was said when it was closed.
    pub note: Option<String>,
}

/// A task with what a person must know to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetail {
    /// The task; its members are members of this.
    #[serde(flatten)]
    pub task: TaskRow,
    /// What was said when it was closed.
    pub note: Option<String>,
    /// Who has to be asked.
    pub institution_id: InstitutionId,
    /// The shop's number there.
    pub contract_number: ContractNumber,
    /// The shop's order.
    pub order_id: OrderId,
    /// What the operation moves; none when it is not there any more.
    pub operation: Option<OperationKind>,
    /// Where it stands.
    pub state: String,
    /// What was asked for, in minor units.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// When it was begun.
    pub begun_at_ms: Timestamp,
    /// The institution's own reference, where it gave one.
    pub reference: Option<String>,
    /// The institution's own code, where it gave one.
    pub raw_code: Option<String>,
    /// How often it was asked.
    pub asked: u32,
    /// Whether closing it needs `--as`.
    pub needs_decision: bool,
}

impl Answer {
    /// The answer for a person at a terminal window; ends with a line feed.
    pub fn text(&self) -> String {
        match self {
            Self::Audit { chains, rows, checkpoints, unsigned, gaps, findings } => {
                audit([*chains, *rows, *checkpoints, *unsigned], gaps, findings)
            }
            Self::BackedUp { folder, made_at_ms, octets } => format!(
                "{}: the database of {}, {octets} octets\nThe keys are not in it: see `Backup` in \
                 OPERATIONS.md.\n",
                folder.display(),
                date(*made_at_ms)
            ),
            Self::Conformance { url, conclusion, checks } => conformance(url, *conclusion, checks),
            Self::Compared { .. } | Self::SettlementFormat { .. } | Self::Snapshot { .. } => {
                String::new()
            }
            Self::ContractAdded { contract_id } => format!("contract  {contract_id}\n"),
            Self::ContractSwitched { contract_id, enabled } => {
                format!("contract {contract_id} is {}\n", switched(*enabled))
            }
            Self::EnrolmentCode { shop_id, user_id, enrolment_code, not_after_ms } => format!(
                "shop            {shop_id}\nuser id         {user_id}\nenrolment code  {}\n\
                 good until      {}; it is shown only here\n",
                enrolment_code.expose(),
                date(*not_after_ms)
            ),
            Self::InstitutionAdded { institution_id, operator_key, untested } => format!(
                "institution   {institution_id}\noperator key  {}\n\
                 Give the operator key to the institution: it verifies our calls.\n{}",
                base64url(operator_key.octets()),
                match untested {
                    None => "The connection was tested: it is live.\n".to_owned(),
                    Some(fault) => format!(
                        "It is not live: {fault}.\nThen: pos-server institution enable {institution_id}\n"
                    ),
                }
            ),
            Self::InstitutionSwitched { institution_id, enabled } => {
                format!("institution {institution_id} is {}\n", switched(*enabled))
            }
            Self::InstitutionTask(detail) => institution_task(detail),
            Self::Institutions { institutions } => institution_table(institutions),
            Self::KeyRevoked { key_id } => format!("key {key_id} is revoked\n"),
            Self::Keys { keys } => key_table(keys),
            Self::Moved { to, compared_only, tables } => moved(to, *compared_only, tables),
            Self::PosAdded { pos_id } => format!("pos  {pos_id}\n"),
            Self::Poses { poses } => pos_table(poses),
            Self::Reconciled { institution_id, day, tally } => {
                reconciled(institution_id, day, tally)
            }
            Self::Restored { gap, restores, held } => restored(gap, *restores, held),
            Self::Shop(detail) => {
                let email = detail.email.as_deref().unwrap_or("-");
                let head = shop_table(std::slice::from_ref(&detail.shop));
                format!("{head}\nnotices to  {email}\n\n{}", pos_table(&detail.poses))
            }
            Self::Shops { shops, more } => {
                let behind = shops.last().filter(|_| *more).map_or_else(String::new, |last| {
                    format!("There are more: pos-server shop list --after {}\n", last.shop_id)
                });
                shop_table(shops) + &behind
            }
            Self::Task(detail) => task_detail(detail),
            Self::Tasks { tasks, more } => {
                let younger = if *more { "There are more, younger than these.\n" } else { "" };
                task_table(tasks) + younger
            }
        }
    }

    /// What a check came to, where the answer is that of one.
    pub fn conclusion(&self) -> Option<Conclusion> {
        match self {
            Self::Conformance { conclusion, .. } => Some(*conclusion),
            Self::Audit { unsigned, findings, .. } if *unsigned > 0 || !findings.is_empty() => {
                Some(Conclusion::Broken)
            }
            Self::Reconciled { tally, .. } if tally.differences() > 0 => Some(Conclusion::Broken),
            _ => None,
        }
    }
}

fn moved(to: &str, compared_only: bool, tables: &[MovedTable]) -> String {
    let row = |it: &MovedTable| [it.table.clone(), it.rows.to_string(), it.digest.clone()];
    let rows: Vec<_> = tables.iter().map(row).collect();
    let table = table(["TABLE", "ROWS", "DIGEST"], &rows);
    if compared_only {
        return format!("{table}{to} holds the same, and its audit verifies\n");
    }
    format!(
        "{table}The database is at {to}; every table reads back the same there, and its audit verifies.\n\
         No server starts on the file any more. Start with the new settings, and keep the file and its \
         last backup for a while.\n"
    )
}

fn conformance(url: &str, conclusion: Conclusion, checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { rule, mark, seen } in checks {
        let mark = match mark {
            Mark::Kept => "ok  ",
            Mark::Broken => "FAIL",
            Mark::NotOffered => "-   ",
            Mark::NotChecked => "MISS",
        };
        let gap = if seen.is_empty() { "" } else { ": " };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{mark}  {rule}{gap}{seen}");
    }
    let count = |wanted| checks.iter().filter(|check| check.mark == wanted).count();
    let all = checks.len();
    let _ = match conclusion {
        Conclusion::Kept => writeln!(
            text,
            "{url} keeps the institution protocol: {} of {all} rules kept, the others are about \
             what it does not offer",
            count(Mark::Kept)
        ),
        Conclusion::Broken => writeln!(
            text,
            "{url} does not keep the institution protocol: {} of {all} rules broken",
            count(Mark::Broken)
        ),
        Conclusion::Incomplete => writeln!(
            text,
            "the check of {url} is incomplete: {} of {all} rules could not be checked, none of the \
             others is broken",
            count(Mark::NotChecked)
        ),
    };
    text
}

fn switched(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn institution_table(institutions: &[InstitutionRow]) -> String {
    let rows: Vec<_> = institutions
        .iter()
        .map(|it| {
            [
                it.institution_id.to_string(),
                it.name.clone(),
                if it.damaged { "damaged" } else { switched(it.enabled) }.into(),
                joined(&it.methods),
                joined(&it.currencies),
                it.url.clone(),
            ]
        })
        .collect();
    table(["institution", "name", "state", "methods", "currencies", "url"], &rows)
}

fn key_table(keys: &[KeyRow]) -> String {
    let rows: Vec<_> = keys
        .iter()
        .map(|it| {
            [
                it.key_id.to_string(),
                it.kind.clone(),
                it.state.clone(),
                date(it.added_at_ms),
                it.not_after_ms.map_or_else(|| "-".into(), date),
            ]
        })
        .collect();
    table(["key", "kind", "state", "added", "ends"], &rows)
}

fn pos_table(poses: &[PosRow]) -> String {
    let mut rows = Vec::new();
    for pos in poses {
        let head = [pos.pos_id.to_string(), pos.name.clone(), pos.purpose.word().into()];
        let row = |contract: [String; 4]| {
            let [a, b, c] = head.clone();
            let [d, e, f, g] = contract;
            [a, b, c, d, e, f, g]
        };
        if pos.contracts.is_empty() {
            rows.push(row(["-"; 4].map(Into::into)));
        }
        rows.extend(pos.contracts.iter().map(|it| {
            row([
                it.contract_id.to_string(),
                it.institution_id.to_string(),
                it.number.to_string(),
                switched(it.enabled).into(),
            ])
        }));
    }
    table(["pos", "name", "purpose", "contract", "institution", "number", "state"], &rows)
}

fn shop_table(shops: &[ShopRow]) -> String {
    let rows: Vec<_> = shops
        .iter()
        .map(|it| {
            [
                it.shop_id.to_string(),
                it.name.clone(),
                it.user_id.to_string(),
                if it.registered { "registered" } else { "admitted" }.into(),
                date(it.added_at_ms),
            ]
        })
        .collect();
    table(["shop", "name", "user id", "state", "added"], &rows)
}

fn audit(
    [chains, rows, checkpoints, unsigned]: [u64; 4],
    gaps: &[TimeGap],
    findings: &[String],
) -> String {
    let mut text =
        format!("{rows} rows in {chains} chains, compared with {checkpoints} checkpoints\n");
    if unsigned > 0 {
        let _ = writeln!(text, "{unsigned} lines of the checkpoints are not signed by this server");
    }
    for TimeGap { from_ms, to_ms } in gaps {
        let (from, to) = (date(*from_ms), date(*to_ms));
        let _ = writeln!(text, "lost in a restore: what was decided from {from} to {to}");
    }
    for finding in findings {
        let _ = writeln!(text, "{finding}");
    }
    if unsigned == 0 && findings.is_empty() {
        text.push_str("nothing was changed\n");
    }
    text
}

fn restored(gap: &TimeGap, restores: u64, held: &[InstitutionId]) -> String {
    let (from, to) = (date(gap.from_ms), date(gap.to_ms));
    let mut text = format!(
        "The database is restored; this is restore number {restores} of it.\nEverything from {from} to \
         {to} is lost.\n"
    );
    for institution in held {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{institution} gets nothing new until its task is closed: pos-server task list"
        );
    }
    text
}

fn task_detail(detail: &TaskDetail) -> String {
    let task = &detail.task;
    let none = || "-".to_owned();
    let reference = detail.reference.clone().unwrap_or_else(none);
    let raw_code = detail.raw_code.clone().unwrap_or_else(none);
    let operation = detail.operation.as_ref().map_or_else(none, |kind| kind.wire().to_owned());
    let end = match (&detail.note, detail.needs_decision) {
        (Some(note), _) => format!("closed with   {note}\n"),
        (None, true) => format!(
            "Ask the institution, then: pos-server task resolve {} --as WHAT --note TEXT\n",
            task.task_id
        ),
        (None, false) => {
            format!("When it is seen to: pos-server task resolve {} --note TEXT\n", task.task_id)
        }
    };
    format!(
        "{}\n{}\n\ninstitution   {}, contract {}\norder         {}\n\
         operation     {operation} of {} minor units {}, begun {}\nstate         {}, asked {} \
         times\nreference     {reference}, code {raw_code}\n{end}",
        task_table(std::slice::from_ref(task)),
        task.text,
        detail.institution_id,
        detail.contract_number.as_str(),
        detail.order_id,
        detail.amount.minor(),
        detail.currency,
        date(detail.begun_at_ms),
        detail.state,
        detail.asked,
    )
}

fn institution_task(detail: &InstitutionTaskDetail) -> String {
    let task = &detail.task;
    let institution = task.institution_id.as_ref().map_or("-", InstitutionId::as_str);
    let end = detail.note.as_ref().map_or_else(
        || format!("When it is seen to: pos-server task resolve {} --note TEXT\n", task.task_id),
        |note| format!("closed with   {note}\n"),
    );
    let head = task_table(std::slice::from_ref(task));
    format!("{head}\n{}\n\ninstitution   {institution}\n{end}", task.text)
}

fn task_table(tasks: &[TaskRow]) -> String {
    let rows: Vec<_> = tasks
        .iter()
        .map(|it| {
            let whose = it.shop_id.map(|shop| shop.to_string());
            let whose = whose.or_else(|| it.institution_id.as_ref().map(ToString::to_string));
            [
                it.task_id.to_string(),
                or_dash(whose),
                or_dash(it.payment_id),
                or_dash(it.operation_id),
                date(it.opened_at_ms),
                it.closed_at_ms.map_or_else(|| "open".into(), date),
            ]
        })
        .collect();
    table(["task", "shop", "payment", "operation", "opened", "closed"], &rows)
}

fn or_dash<T: ToString>(item: Option<T>) -> String {
    item.map_or_else(|| "-".to_owned(), |item| item.to_string())
}

fn reconciled(institution: &InstitutionId, day: &str, tally: &Tally) -> String {
    let rows: Vec<_> = tally
        .sums
        .iter()
        .map(|it| {
            let class = match it.class {
                Class::Both => "both",
                Class::Differs => "differs",
                Class::OursOnly => "ours only",
                Class::TheirsOnly => "theirs only",
            };
            let amount = it.currency.decimal(it.amount);
            [class.into(), it.count.to_string(), amount, it.currency.to_string()]
        })
        .collect();
    let mut text = format!("{institution}, {day}\n\n");
    text.push_str(&table(["class", "movements", "sum", "currency"], &rows));
    text.push('\n');
    for (count, what) in [
        (tally.open, "of those that differ are open here: the institution is asked about them now"),
        (
            tally.undecided,
            "done here near the edge of the day are not in its file: the file of the \
         day beside it decides",
        ),
        (tally.tasks, "new tasks: pos-server task list"),
        (tally.untold, "differences are too many for tasks: find their cause and reconcile again"),
    ] {
        if count > 0 {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{count} {what}");
        }
    }
    if tally.differences() == 0 {
        text.push_str("there is no difference\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_the_answer_and_its_fields() {
        let answer = Answer::EnrolmentCode {
            shop_id: "shp_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            user_id: "usr_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            enrolment_code: "ABCD-EFGH".into(),
            not_after_ms: Timestamp::from_secs(1_795_417_201),
        };
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"answer":"enrolment_code","shop_id":"shp_014d2pf2dbzzzzzzzzzzzzzzzz","user_id":"usr_014d2pf2dbzzzzzzzzzzzzzzzz","enrolment_code":"ABCD-EFGH","not_after_ms":1795417201000}"#
        );
        assert!(answer.text().contains("enrolment code  ABCD-EFGH\n"));
        assert!(answer.text().contains("good until      2026-11-23 07:00:01Z"));
        assert!(!format!("{answer:?}").contains("ABCD"));
    }

    #[test]
    fn a_pos_without_contracts_still_has_its_line() {
        let pos = |contracts| PosRow {
            pos_id: "pos_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            name: "Web".into(),
            purpose: Purpose::Web,
            contracts,
        };
        let contract = ContractRow {
            contract_id: "con_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            institution_id: "sakura-card".parse().unwrap(),
            number: "4980012345".parse().unwrap(),
            enabled: false,
        };
        let text = Answer::Poses { poses: vec![pos(vec![]), pos(vec![contract])] }.text();
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(lines[1][2..], ["web", "-", "-", "-", "-"]);
        assert_eq!(
            lines[2][3..],
            ["con_014d2pf2dbzzzzzzzzzzzzzzzz", "sakura-card", "4980012345", "disabled"]
        );
    }

    #[test]
    fn a_conformance_run_ends_with_what_it_came_to() {
        let check =
            |rule: &str, mark, seen: &str| Check { rule: rule.into(), mark, seen: seen.into() };
        let run = |conclusion, checks| {
            let answer = Answer::Conformance { url: "https://a.jp".into(), conclusion, checks };
            assert_eq!(answer.conclusion(), Some(conclusion));
            answer.text()
        };
        let kept = check("signs its answers", Mark::Kept, "");
        let none = check("answers checks", Mark::NotOffered, "has none");
        assert_eq!(
            run(Conclusion::Kept, vec![kept.clone(), none.clone()]),
            "ok    signs its answers\n-     answers checks: has none\n\
             https://a.jp keeps the institution protocol: 1 of 2 rules kept, the others are about \
             what it does not offer\n"
        );
        let broken = check("signs its answers", Mark::Broken, "nothing");
        assert_eq!(
            run(Conclusion::Broken, vec![broken, none]),
            "FAIL  signs its answers: nothing\n-     answers checks: has none\n\
             https://a.jp does not keep the institution protocol: 1 of 2 rules broken\n"
        );
        let missing = check("declines", Mark::NotChecked, "no instrument");
        assert_eq!(
            run(Conclusion::Incomplete, vec![kept, missing]),
            "ok    signs its answers\nMISS  declines: no instrument\n\
             the check of https://a.jp is incomplete: 1 of 2 rules could not be checked, none of \
             the others is broken\n"
        );
    }

    #[test]
    fn a_day_is_told_by_class_and_currency_and_what_follows() {
        use crate::payments::reconcile::ClassSum;
        let sum = |class, currency, count, amount| ClassSum { class, currency, count, amount };
        let tally = Tally {
            sums: vec![
                sum(Class::Both, Currency::EUR, 1, 1_050),
                sum(Class::Both, Currency::JPY, 6, 12_800),
                sum(Class::OursOnly, Currency::JPY, 1, 700),
            ],
            undecided: 2,
            tasks: 1,
            ..Tally::default()
        };
        let institution_id = "sakura-card".parse().unwrap();
        let answer = Answer::Reconciled { institution_id, day: "2026-11-26".into(), tally };
        assert_eq!(answer.conclusion(), Some(Conclusion::Broken));
        assert_eq!(
            answer.text(),
            "sakura-card, 2026-11-26\n\n\
             class      movements  sum    currency\n\
             both       1          10.50  EUR\n\
             both       6          12800  JPY\n\
             ours only  1          700    JPY\n\n\
             2 done here near the edge of the day are not in its file: the file of the day beside it \
             decides\n\
             1 new tasks: pos-server task list\n"
        );
        // A script reads the same.
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["sums"][2]["class"], "ours_only");
        assert_eq!((&json["day"], &json["untold"]), (&"2026-11-26".into(), &0.into()));
        let same = Answer::Reconciled {
            institution_id: "sakura-card".parse().unwrap(),
            day: "2026-11-26".into(),
            tally: Tally::default(),
        };
        assert_eq!(same.conclusion(), None);
        assert!(same.text().ends_with("there is no difference\n"));
    }

    #[test]
    fn a_restore_tells_what_was_lost_and_who_is_held() {
        let at = Timestamp::from_secs;
        let gap = TimeGap { from_ms: at(1_795_417_201), to_ms: at(1_795_420_801) };
        let held = vec!["sakura-card".parse().unwrap()];
        assert_eq!(
            Answer::Restored { gap, restores: 1, held }.text(),
            "The database is restored; this is restore number 1 of it.\n\
             Everything from 2026-11-23 07:00:01Z to 2026-11-23 08:00:01Z is lost.\n\
             sakura-card gets nothing new until its task is closed: pos-server task list\n"
        );
    }
}
