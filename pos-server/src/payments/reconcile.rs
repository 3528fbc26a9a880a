//! A day of an institution, compared with what its settlement file says (`payments.md` 8).
//!
//! Every movement is ours only, theirs only, both, or differs. A difference becomes a task and changes
//! nothing by itself; what is open here and settled there is asked about at once, because that file is
//! no proof (`docs/adr/0269-a-settlement-file-is-no-proof.md`).
//!
//! A run is made in steps of a few hundred lines, each of which can be repeated: the server keeps nothing
//! of it but marks on the operations, and these count only when the run has come to the file's end.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::{InstitutionId, OperationId, TaskId};
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::{OperationKind, OperationState};
use serde::{Deserialize, Serialize};

use super::recovery;
use crate::app::App;
use crate::connectors::{SettlementFormat, SettlementLine};
use crate::store::StoreError;
use crate::store::rows::{InstitutionOperation, InstitutionTask, SettlementDay, SettlementRow};
use crate::store::verbs::{MOST_ROWS, MarkSettled, OpenInstitutionTasks, RecordSettlement};

/// By so much the two clocks may differ: a call that is older is refused on either side.
const CLOCKS: Duration = Duration::from_secs(60);

/// What was begun longer before a day is not looked for in it.
const LONGEST_PENDING: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// How many reconciled days are looked through.
const DAYS: u32 = 400;

/// Why a day is not reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The institution's protocol has no such files.
    #[error("this institution writes no settlement files that the server can read")]
    NoFiles,
    /// There is no such institution, or its record cannot be used.
    #[error("there is no such institution")]
    NoSuchInstitution,
    /// The shop database did not answer.
    #[error("the shop database did not answer")]
    Store(#[from] StoreError),
    /// A step has more lines than a step may have.
    #[error("at most {MOST_ROWS} lines go together")]
    TooMany,
}

/// How an operation stands to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Both say the same.
    Both,
    /// Both know it, and say other things of it.
    Differs,
    /// Done here, and no file names it that should.
    OursOnly,
    /// In the file, and not known here.
    TheirsOnly,
}

/// How many movements of one class and currency there are, and what they come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSum {
    /// The class.
    pub class: Class,
    /// The currency, by the file where the file has the movement.
    pub currency: Currency,
    /// How many.
    pub count: u64,
    /// The sum of their amounts in minor units, by the file where the file has the movement.
    pub amount: u64,
}

/// What a step, or a whole run, has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Counts and sums, by class and currency.
    pub sums: Vec<ClassSum>,
    /// Of those that differ: how many are open here, and are asked about at once.
    pub open: u64,
    /// Done here near the edge of the day, and not in its file: the file of the neighbouring day decides.
    pub undecided: u64,
    /// Tasks that are new.
    pub tasks: u64,
    /// Differences for which no task was made, because there were too many.
    pub untold: u64,
}

impl Tally {
    /// How many movements are not the same on both sides.
    pub fn differences(&self) -> u64 {
        let differ = self.sums.iter().filter(|one| one.class != Class::Both);
        differ.fold(0, |sum, one| sum.saturating_add(one.count))
    }

    /// Adds what another step found.
    pub fn add(&mut self, other: &Self) {
        for one in &other.sums {
            self.count(one.class, one.currency, one.count, one.amount);
        }
        self.open = self.open.saturating_add(other.open);
        self.undecided = self.undecided.saturating_add(other.undecided);
        self.tasks = self.tasks.saturating_add(other.tasks);
        self.untold = self.untold.saturating_add(other.untold);
    }

    fn count(&mut self, class: Class, currency: Currency, count: u64, amount: u64) {
        let place = self
            .sums
            .binary_search_by_key(&(class, currency.code()), |it| (it.class, it.currency.code()));
        match place {
            Ok(at) => {
                if let Some(sum) = self.sums.get_mut(at) {
                    sum.count = sum.count.saturating_add(count);
                    sum.amount = sum.amount.saturating_add(amount);
                }
            }
            Err(at) => self.sums.insert(at, ClassSum { class, currency, count, amount }),
        }
    }
}

/// Which day is reconciled, in which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The institution.
    pub institution: InstitutionId,
    /// The day, with the moment at which the run began.
    pub settlement: SettlementRow,
    /// How many tasks may still be made.
    pub tasks_left: u64,
}

/// In which form the settlement files of this institution come.
///
/// # Errors
/// [`ReconcileError::NoFiles`], [`ReconcileError::NoSuchInstitution`].
pub fn format(app: &App, institution: &InstitutionId) -> Result<SettlementFormat, ReconcileError> {
    let found = app.institutions.get(institution).ok_or(ReconcileError::NoSuchInstitution)?;
    found.connector().settlement_format().ok_or(ReconcileError::NoFiles)
}

/// Compares lines of the file with what is here, and marks the operations that they name.
///
/// # Errors
/// [`ReconcileError`]: do the step again.
pub async fn compare(
    app: &App,
    run: &Run,
    lines: &[SettlementLine],
) -> Result<Tally, ReconcileError> {
    if lines.len() > MOST_ROWS as usize {
        return Err(ReconcileError::TooMany);
    }
    let day = run.settlement.day;
    let verb = MarkSettled {
        institution: run.institution.clone(),
        day,
        run: run.settlement.run,
        operations: lines.iter().map(|line| line.operation_id).collect(),
    };
    let found = app.store.mark_settled(verb).await?;
    let mut step = Step::new(run);
    for line in lines {
        match found.iter().find(|one| one.id == line.operation_id) {
            Some(ours) => step.compare(line, ours),
            None => step.theirs_only(line),
        }
    }
    step.end(app).await
}

/// Notes that the file was read to its end.
///
/// # Errors
/// [`ReconcileError`]: do the step again.
pub async fn finish(app: &App, run: &Run) -> Result<(), ReconcileError> {
    let (institution, settlement) = (run.institution.clone(), run.settlement);
    let verb = RecordSettlement { institution, settlement, now: app.clock.now() };
    let kept = app.store.record_settlement(verb).await?;
    if kept { Ok(()) } else { Err(ReconcileError::NoSuchInstitution) }
}

/// Looks for what was done here and is in no file: one page of the institution's operations behind
/// `after`, and from where the next page goes on. The run must have been finished.
///
/// # Errors
/// [`ReconcileError`]: do the step again.
pub async fn missing(
    app: &App,
    run: &Run,
    after: Option<OperationId>,
) -> Result<(Tally, Option<OperationId>), ReconcileError> {
    let Run { institution, settlement, .. } = run.clone();
    let earliest = settlement.from.minus(LONGEST_PENDING);
    let after = after.unwrap_or_else(|| OperationId::fresh(earliest, [0; 10]));
    let (page, days) = app
        .store
        .read_slow(move |reader| {
            let page = reader.operations_of(&institution, after, MOST_ROWS)?;
            Ok((page, reader.settlements(&institution, DAYS)?))
        })
        .await?;
    let mut step = Step::new(run);
    for ours in &page {
        step.look_for(ours, &days);
    }
    let last = page
        .last()
        .filter(|last| page.len() == MOST_ROWS as usize && last.created_at < settlement.until);
    Ok((step.end(app).await?, last.map(|last| last.id)))
}

/// What a step finds, until it is told.
struct Step<'r> {
    run: &'r Run,
    tally: Tally,
    differences: Vec<Difference>,
}

/// What a task is made of.
struct Difference {
    operation: OperationId,
    ours: Option<InstitutionOperation>,
    text: String,
}

impl<'r> Step<'r> {
    fn new(run: &'r Run) -> Self {
        Self { run, tally: Tally::default(), differences: Vec::new() }
    }

    fn theirs_only(&mut self, line: &SettlementLine) {
        self.count(Class::TheirsOnly, line.currency, line.amount);
        let text = format!("{} is not known here", self.said(line));
        self.differences.push(Difference { operation: line.operation_id, ours: None, text });
    }

    fn compare(&mut self, line: &SettlementLine, ours: &InstitutionOperation) {
        let Some(why) = difference(line, ours, self.run.settlement.day) else {
            self.count(Class::Both, line.currency, line.amount);
            return;
        };
        self.count(Class::Differs, line.currency, line.amount);
        if ours.state.is_open() {
            self.tally.open = self.tally.open.saturating_add(1);
        }
        let text = format!("{}; {why}", self.said(line));
        let operation = line.operation_id;
        self.differences.push(Difference { operation, ours: Some(ours.clone()), text });
    }

    /// A movement is ours only when reconciled days cover all the time in which the institution can have
    /// made it, and no file of theirs names it. What was undone, and the undoing, moved nothing where no
    /// file names the original.
    fn look_for(&mut self, ours: &InstitutionOperation, days: &[SettlementRow]) {
        let (OperationState::Done(amount), Some(ended), None) =
            (ours.state, ours.ended_at, ours.settled)
        else {
            return;
        };
        if ours.kind == OperationKind::Reverse && ours.first_settled.is_none() {
            return;
        }
        let (first, last) = (ours.created_at.minus(CLOCKS), ended.plus(CLOCKS));
        let SettlementRow { from, until, .. } = self.run.settlement;
        if last < from || until <= first {
            return;
        }
        if !covered(days, first, last) {
            self.tally.undecided = self.tally.undecided.saturating_add(1);
            return;
        }
        self.count(Class::OursOnly, ours.currency, amount);
        let InstitutionOperation { id, kind, order_id, contract_number, .. } = ours;
        let money = Money { amount, currency: ours.currency };
        let text = format!(
            "{kind} {id} (contract {contract_number}, order {order_id}) is done here with {money}, and \
             the settlement files up to {} do not name it",
            self.run.settlement.day
        );
        self.differences.push(Difference { operation: *id, ours: Some(ours.clone()), text });
    }

    fn count(&mut self, class: Class, currency: Currency, amount: Amount) {
        self.tally.count(class, currency, 1, amount.minor());
    }

    fn said(&self, line: &SettlementLine) -> String {
        let SettlementLine { operation_id, kind, contract_number, order_id, .. } = line;
        let money = Money { amount: line.amount, currency: line.currency };
        format!(
            "the settlement file of {} says: {kind} {operation_id} of {money} (contract \
             {contract_number}, order {order_id})",
            self.run.settlement.day
        )
    }

    /// Makes the tasks, and has the institution asked about what is open.
    async fn end(mut self, app: &App) -> Result<Tally, ReconcileError> {
        let told = usize::try_from(self.run.tasks_left).unwrap_or(usize::MAX);
        let told = told.min(self.differences.len());
        let untold = self.differences.len().saturating_sub(told);
        self.tally.untold = u64::try_from(untold).unwrap_or(u64::MAX);
        self.differences.truncate(told);
        if !self.differences.is_empty() {
            let now = app.clock.now();
            let tasks = self.differences.iter().map(|one| self.task(app, one, now));
            let institution = self.run.institution.clone();
            let verb = OpenInstitutionTasks { institution, tasks: tasks.collect(), now };
            let new = app.store.open_institution_tasks(verb).await?;
            self.tally.tasks = u64::try_from(new.len()).unwrap_or(u64::MAX);
        }
        if self.tally.open > 0 {
            recovery::hasten(app, &self.run.institution).await?;
        }
        Ok(self.tally)
    }

    fn task(&self, app: &App, difference: &Difference, now: Timestamp) -> InstitutionTask {
        InstitutionTask {
            id: TaskId::fresh(now, app.entropy.array()),
            created_at: now,
            institution: self.run.institution.clone(),
            shop: difference.ours.as_ref().map(|ours| ours.shop),
            payment: difference.ours.as_ref().map(|ours| ours.payment),
            operation: Some(difference.operation),
            text: difference.text.as_str().into(),
            holds: false,
            resolved_at: None,
            note: None,
        }
    }
}

/// What both know and do not say alike, as the end of a sentence.
fn difference(
    line: &SettlementLine,
    ours: &InstitutionOperation,
    day: SettlementDay,
) -> Option<String> {
    if let Some(other) = ours.settled.filter(|other| *other != day) {
        return Some(format!("the file of {other} names it too"));
    }
    let kept = [
        ("its kind", ours.kind.wire().to_owned(), line.kind.wire().to_owned()),
        ("its contract", ours.contract_number.to_string(), line.contract_number.to_string()),
        ("its order", ours.order_id.to_string(), line.order_id.to_string()),
        ("its currency", ours.currency.to_string(), line.currency.to_string()),
    ];
    if let Some((what, here, _)) = kept.into_iter().find(|(_, here, there)| here != there) {
        return Some(format!("here {what} is {here}"));
    }
    let money = |amount| Money { amount, currency: ours.currency };
    match ours.state {
        // What a reversal gives back is what its original had moved, which only the institution knows.
        OperationState::Done(amount) | OperationState::Reversed(Some(amount))
            if line.amount == amount
                || (ours.kind == OperationKind::Reverse && line.amount < amount) => {}
        OperationState::Reversed(None) if line.amount <= ours.amount => {}
        OperationState::Done(amount) | OperationState::Reversed(Some(amount)) => {
            return Some(format!("here it was done with {}", money(amount)));
        }
        OperationState::Reversed(None) => {
            return Some(format!("here it was asked for with {}", money(ours.amount)));
        }
        OperationState::Declined(_) | OperationState::NotSent => {
            return Some(format!("here it is {}", ours.state.wire()));
        }
        OperationState::Accepted
        | OperationState::NeedsHuman
        | OperationState::NeedsPayer
        | OperationState::Pending
        | OperationState::Reversing(_)
        | OperationState::Sending
        | OperationState::Unknown => {
            return Some("here it was still open, and the institution is asked".to_owned());
        }
    }
    let here = ours.reference.as_deref();
    match (here, line.reference.as_deref()) {
        (Some(here), Some(there)) if here != there => {
            Some(format!("its reference is {there}, and here {here}"))
        }
        _ => None,
    }
}

/// Whether reconciled days cover every moment from `first` to `last`. The newest day comes first.
fn covered(days: &[SettlementRow], first: Timestamp, last: Timestamp) -> bool {
    let mut reached = first;
    for day in days.iter().rev() {
        if day.from <= reached && reached < day.until {
            reached = day.until;
        }
    }
    reached > last
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "arithmetic in a test overflows loudly")]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(1_795_000_000_000 + ms)
    }

    fn run() -> Run {
        Run { institution: "sakura-card".parse().unwrap(), settlement: row(18, 0), tasks_left: 9 }
    }

    fn row(day: u32, from: u64) -> SettlementRow {
        SettlementRow {
            day: SettlementDay::from_number(20_261_100 + day).unwrap(),
            from: at(from),
            until: at(from + DAY_MS),
            run: at(0),
        }
    }

    fn amount(minor: u64) -> Amount {
        Amount::new(minor).unwrap()
    }

    fn line() -> SettlementLine {
        SettlementLine {
            operation_id: OperationId::from_octets([7; 16]),
            kind: OperationKind::Sale,
            contract_number: "4980012345".parse().unwrap(),
            order_id: "order-1".parse().unwrap(),
            reference: Some("R1".into()),
            amount: amount(1200),
            currency: Currency::JPY,
            time: at(1_000_000),
        }
    }

    fn ours() -> InstitutionOperation {
        InstitutionOperation {
            id: OperationId::from_octets([7; 16]),
            shop: pos_protocol::id::ShopId::from_octets([1; 16]),
            payment: pos_protocol::id::PaymentId::from_octets([2; 16]),
            contract_number: "4980012345".parse().unwrap(),
            order_id: "order-1".parse().unwrap(),
            kind: OperationKind::Sale,
            amount: amount(1200),
            currency: Currency::JPY,
            state: OperationState::Done(amount(1200)),
            created_at: at(1_000_000),
            ended_at: Some(at(1_000_100)),
            reference: Some("R1".into()),
            settled: None,
            first_settled: None,
        }
    }

    fn why(line: &SettlementLine, ours: &InstitutionOperation) -> Option<String> {
        difference(line, ours, row(18, 0).day)
    }

    #[test]
    fn what_is_the_same_differs_in_nothing_and_each_difference_is_named() {
        use pos_protocol::reason::DeclineReason;
        assert_eq!(why(&line(), &ours()), None);
        let bare = SettlementLine { reference: None, ..line() };
        assert_eq!(why(&bare, &ours()), None);
        let again = InstitutionOperation { settled: Some(row(18, 0).day), ..ours() };
        assert_eq!(why(&line(), &again), None, "the same file once more");
        let of = |state| InstitutionOperation { state, ..ours() };
        let reverse = |state| InstitutionOperation { kind: OperationKind::Reverse, ..of(state) };
        for undone in [None, Some(amount(1200))] {
            assert_eq!(why(&line(), &of(OperationState::Reversed(undone))), None);
        }
        let given_back =
            SettlementLine { kind: OperationKind::Reverse, amount: amount(700), ..line() };
        assert_eq!(why(&given_back, &reverse(OperationState::Done(amount(1200)))), None);

        let expect = |line: SettlementLine, ours: InstitutionOperation, told: &str| {
            assert_eq!(why(&line, &ours).as_deref(), Some(told));
        };
        let more = SettlementLine { amount: amount(1300), ..line() };
        expect(more.clone(), ours(), "here it was done with 1200 JPY");
        expect(more, of(OperationState::Reversed(None)), "here it was asked for with 1200 JPY");
        let dollars = SettlementLine { currency: Currency::USD, ..line() };
        expect(dollars, ours(), "here its currency is JPY");
        let refund = SettlementLine { kind: OperationKind::Refund, ..line() };
        expect(refund, ours(), "here its kind is sale");
        let order = SettlementLine { order_id: "order-2".parse().unwrap(), ..line() };
        expect(order, ours(), "here its order is order-1");
        let contract = SettlementLine { contract_number: "1".parse().unwrap(), ..line() };
        expect(contract, ours(), "here its contract is 4980012345");
        let named = SettlementLine { reference: Some("R2".into()), ..line() };
        expect(named, ours(), "its reference is R2, and here R1");
        let declined = of(OperationState::Declined(DeclineReason::Other));
        expect(line(), declined, "here it is declined");
        expect(line(), of(OperationState::NotSent), "here it is not_sent");
        for open in [
            OperationState::Unknown,
            OperationState::Pending,
            OperationState::Sending,
            OperationState::NeedsHuman,
            OperationState::Reversing(None),
        ] {
            expect(line(), of(open), "here it was still open, and the institution is asked");
        }
        let twice = InstitutionOperation { settled: Some(row(17, 0).day), ..ours() };
        expect(line(), twice, "the file of 2026-11-17 names it too");
    }

    fn looked_for(ours: &InstitutionOperation, days: &[SettlementRow]) -> (u64, u64) {
        let run = run();
        let mut step = Step::new(&run);
        step.look_for(ours, days);
        assert_eq!(step.differences.len() as u64, step.tally.differences());
        (step.tally.differences(), step.tally.undecided)
    }

    #[test]
    fn a_movement_is_ours_only_where_reconciled_days_cover_all_its_time() {
        let today = [row(18, 0)];
        assert_eq!(looked_for(&ours(), &today), (1, 0));
        let named = InstitutionOperation { settled: Some(row(18, 0).day), ..ours() };
        assert_eq!(looked_for(&named, &today), (0, 0));
        for state in [OperationState::Unknown, OperationState::NotSent] {
            assert_eq!(looked_for(&InstitutionOperation { state, ..ours() }, &today), (0, 0));
        }
        // Begun before midnight and done after it: either day's file may name it.
        let night = InstitutionOperation {
            created_at: Timestamp::from_ms(at(0).as_ms() - 50),
            ended_at: Some(at(50)),
            ..ours()
        };
        assert_eq!(looked_for(&night, &today), (0, 1));
        let both = [row(18, 0), SettlementRow { from: at(0).minus(CLOCKS * 60), ..row(17, 0) }];
        let yesterday = SettlementRow { until: at(0), ..both[1] };
        assert_eq!(looked_for(&night, &[today[0], yesterday]), (1, 0));
        // By a clock that is a minute behind, what was begun just after midnight is of the day before.
        let early = InstitutionOperation { created_at: at(59_999), ..ours() };
        assert_eq!(looked_for(&early, &today), (0, 1));
        let after = InstitutionOperation { created_at: at(60_000), ..ours() };
        assert_eq!(looked_for(&after, &today), (1, 0));
        let late = InstitutionOperation { ended_at: Some(at(DAY_MS - 60_000)), ..ours() };
        assert_eq!(looked_for(&late, &today), (0, 1));
        // What lies wholly in another day is that day's business.
        let other = InstitutionOperation {
            created_at: at(2 * DAY_MS),
            ended_at: Some(at(2 * DAY_MS + 1)),
            ..ours()
        };
        assert_eq!(looked_for(&other, &[row(20, 2 * DAY_MS), row(18, 0)]), (0, 0));
    }

    #[test]
    fn an_undoing_is_missed_only_where_a_file_names_what_it_undid() {
        let reverse = InstitutionOperation { kind: OperationKind::Reverse, ..ours() };
        assert_eq!(looked_for(&reverse, &[row(18, 0)]), (0, 0));
        let first_settled = Some(row(18, 0).day);
        let reverse = InstitutionOperation { first_settled, ..reverse };
        assert_eq!(looked_for(&reverse, &[row(18, 0)]), (1, 0));
    }

    #[test]
    fn sums_are_kept_by_class_and_currency() {
        let mut tally = Tally::default();
        for (class, currency, minor) in [
            (Class::TheirsOnly, Currency::USD, 5),
            (Class::Both, Currency::JPY, 1_200),
            (Class::Both, Currency::JPY, 800),
        ] {
            tally.count(class, currency, 1, minor);
        }
        let mut twice = tally.clone();
        twice.add(&tally);
        let told: Vec<_> = twice.sums.iter().map(|it| (it.class, it.count, it.amount)).collect();
        assert_eq!(told, [(Class::Both, 4, 4_000), (Class::TheirsOnly, 2, 10)]);
        assert_eq!(twice.differences(), 2);
    }
}
