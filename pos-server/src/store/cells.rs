//! From the columns of a row to what the rest of the server sees, the same for every engine: an engine
//! says how a column is read, and its statements name the columns in the order that is read here.

use std::str::FromStr;

use pos_protocol::id::{
    ContractId, NoticeId, OperationId, PaymentId, PosId, ShopId, TaskId, UserId,
};
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::payment::Sums;
use pos_protocol::wire::MailLanguage;
use pos_protocol::{Amount, Currency, ErrorCode, Timestamp};
use tracing::error;

use super::audit::AuditRow;
use super::rows::{
    Channel, ChannelRow, ContractRow, DueNotice, EnrolmentRow, Evidence, InstitutionOperation,
    InstitutionRow, InstitutionTask, KeyRow, LoginRow, NoticeCounts, OpenCount, PosRow,
    SettlementDay, SettlementRow, ShopRow, StoredOperation, StoredPayment, StoredRefusal, TaskRow,
};
use super::verbs::CheckKept;
use super::{StoreError, codes};

/// One row, read with types. An engine writes the first five; a column of another type is
/// [`StoreError::Corrupt`].
pub(super) trait Columns {
    fn is_null(&self, at: usize) -> Result<bool, StoreError>;
    fn number(&self, at: usize) -> Result<i64, StoreError>;
    fn flag(&self, at: usize) -> Result<bool, StoreError>;
    fn octets(&self, at: usize) -> Result<&[u8], StoreError>;
    fn text(&self, at: usize) -> Result<&str, StoreError>;

    /// `read` of the column, or `None` where it is NULL.
    fn maybe<'c, T>(
        &'c self,
        at: usize,
        read: impl FnOnce(&'c Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.is_null(at)? { Ok(None) } else { read(self, at).map(Some) }
    }

    fn small(&self, at: usize) -> Result<u32, StoreError> {
        u32::try_from(self.number(at)?).map_err(|_| corrupt("count"))
    }

    fn sum(&self, at: usize) -> Result<u64, StoreError> {
        u64::try_from(self.number(at)?).map_err(|_| corrupt("sum"))
    }

    fn amount(&self, at: usize) -> Result<Amount, StoreError> {
        Amount::new(self.sum(at)?).map_err(|_| corrupt("amount"))
    }

    fn instant(&self, at: usize) -> Result<Timestamp, StoreError> {
        self.sum(at).map(Timestamp::from_ms)
    }

    fn currency(&self, at: usize) -> Result<Currency, StoreError> {
        u16::try_from(self.number(at)?)
            .ok()
            .and_then(Currency::from_number)
            .ok_or(corrupt("currency"))
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], StoreError> {
        self.octets(at)?.try_into().map_err(|_| corrupt("id"))
    }

    fn boxed(&self, at: usize) -> Result<Box<str>, StoreError> {
        self.text(at).map(Into::into)
    }

    /// A text with rules of its own.
    fn named<T: FromStr>(&self, at: usize) -> Result<T, StoreError> {
        self.text(at)?.parse().map_err(|_| corrupt("name"))
    }

    fn public_key(&self, at: usize) -> Result<PublicKey, StoreError> {
        PublicKey::from_octets(&self.array(at)?).map_err(|_| corrupt("public key"))
    }
}

/// A millisecond number as the engines keep it; what lies past the year 292 million stops there.
pub(super) fn ms(at: Timestamp) -> i64 {
    i64::try_from(at.as_ms()).unwrap_or(i64::MAX)
}

/// The same of an instant that may be missing.
pub(super) fn maybe_ms(at: Option<Timestamp>) -> Option<i64> {
    at.map(ms)
}

/// A number without sign as the engines keep it.
///
/// # Errors
/// [`StoreError::Corrupt`] for one that nothing here comes to.
pub(super) fn unsigned(sum: u64) -> Result<i64, StoreError> {
    i64::try_from(sum).map_err(|_| corrupt("number"))
}

/// What is said of a value that no release wrote.
pub(super) const fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}

/// A payment without its operations: `shop, id, version, amount, currency, authorised, captured, released,
/// refunded, created_at, pos, contract, contract_number, institution, order_id`.
pub(super) fn payment_alone(
    cells: &impl Columns,
    from: usize,
) -> Result<StoredPayment, StoreError> {
    let at = |column: usize| from.saturating_add(column);
    Ok(StoredPayment {
        shop: ShopId::from_octets(cells.array(at(0))?),
        id: PaymentId::from_octets(cells.array(at(1))?),
        version: cells.small(at(2))?,
        amount: cells.amount(at(3))?,
        currency: cells.currency(at(4))?,
        sums: Sums {
            authorised: cells.sum(at(5))?,
            captured: cells.sum(at(6))?,
            released: cells.sum(at(7))?,
            refunded: cells.sum(at(8))?,
        },
        created_at: cells.instant(at(9))?,
        pos: PosId::from_octets(cells.array(at(10))?),
        contract: ContractId::from_octets(cells.array(at(11))?),
        contract_number: cells.named(at(12))?,
        institution: cells.named(at(13))?,
        order_id: cells.named(at(14))?,
        operations: Vec::with_capacity(1),
    })
}

/// An operation: `id, key, fingerprint, kind, state, amount, allow_partial, not_after, created_at, inquiries,
/// lease_epoch, ended_at, moved, reason, reference, card_reference, raw_code, give_up_at, by_server`.
pub(super) fn operation(cells: &impl Columns, from: usize) -> Result<StoredOperation, StoreError> {
    let at = |column: usize| from.saturating_add(column);
    let moved = cells.maybe(at(12), Columns::amount)?;
    let reason = cells.maybe(at(13), Columns::text)?;
    Ok(StoredOperation {
        id: OperationId::from_octets(cells.array(at(0))?),
        key: cells.named(at(1))?,
        fingerprint: cells.array(at(2))?,
        kind: codes::to_kind(cells.number(at(3))?).ok_or(corrupt("kind"))?,
        state: codes::to_state(cells.number(at(4))?, moved, reason).ok_or(corrupt("state"))?,
        amount: cells.amount(at(5))?,
        allow_partial: cells.flag(at(6))?,
        not_after: cells.instant(at(7))?,
        created_at: cells.instant(at(8))?,
        inquiries: cells.small(at(9))?,
        lease_epoch: cells.small(at(10))?,
        give_up_at: cells.maybe(at(17), Columns::instant)?,
        by_server: cells.maybe(at(18), Columns::flag)?.unwrap_or_default(),
        ended_at: cells.maybe(at(11), Columns::instant)?,
        evidence: Evidence {
            reference: cells.maybe(at(14), Columns::boxed)?,
            card_reference: cells.maybe(at(15), Columns::boxed)?,
            raw_code: cells.maybe(at(16), Columns::boxed)?,
        },
    })
}

/// One entry a name: two states may share one.
pub(super) fn merged(counts: Vec<OpenCount>) -> Vec<OpenCount> {
    let mut merged: Vec<OpenCount> = Vec::with_capacity(counts.len());
    for one in counts {
        match merged.iter_mut().find(|other| other.state == one.state) {
            Some(other) => {
                other.count = other.count.saturating_add(one.count);
                other.oldest = other.oldest.min(one.oldest);
            }
            None => merged.push(one),
        }
    }
    merged
}

/// `shop, public, role, pos, created_at, ends_at, idle_at, first_used_at, ended_at`.
pub(super) fn key_row(cells: &impl Columns) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        shop: ShopId::from_octets(cells.array(0)?),
        public: cells.public_key(1)?,
        role: codes::to_role(cells.number(2)?).ok_or(corrupt("role"))?,
        pos: cells.maybe(3, Columns::array)?.map(PosId::from_octets),
        created_at: cells.instant(4)?,
        ends_at: cells.maybe(5, Columns::instant)?,
        idle_at: cells.maybe(6, Columns::instant)?,
        first_used_at: cells.maybe(7, Columns::instant)?,
        ended_at: cells.maybe(8, Columns::instant)?,
    })
}

/// `shop, password_hash, failures, locked_until`, then `enrolment_key, expires_at, spent_for`.
pub(super) fn login_row(cells: &impl Columns) -> Result<LoginRow, StoreError> {
    Ok(LoginRow {
        shop: ShopId::from_octets(cells.array(0)?),
        password_hash: cells.maybe(1, Columns::boxed)?,
        failures: cells.small(2)?,
        locked_until: cells.maybe(3, Columns::instant)?,
        enrolment: cells.maybe(4, enrolment_row)?,
    })
}

fn enrolment_row(cells: &impl Columns, at: usize) -> Result<EnrolmentRow, StoreError> {
    Ok(EnrolmentRow {
        enrolment_key: cells.public_key(at)?,
        expires_at: cells.instant(5)?,
        spent_for: cells.maybe(6, Columns::array)?.map(KeyId::from_octets),
    })
}

/// `id, pos, institution, number, enabled, created_at`.
pub(super) fn contract_row(cells: &impl Columns) -> Result<ContractRow, StoreError> {
    Ok(ContractRow {
        id: ContractId::from_octets(cells.array(0)?),
        pos: PosId::from_octets(cells.array(1)?),
        institution: cells.named(2)?,
        number: cells.named(3)?,
        enabled: cells.flag(4)?,
        created_at: cells.instant(5)?,
    })
}

/// `id, name, email, user_id, created_at`.
pub(super) fn shop_row(cells: &impl Columns) -> Result<ShopRow, StoreError> {
    Ok(ShopRow {
        id: ShopId::from_octets(cells.array(0)?),
        name: cells.boxed(1)?,
        email: cells.maybe(2, Columns::boxed)?,
        user_id: UserId::from_octets(cells.array(3)?),
        created_at: cells.instant(4)?,
    })
}

/// `id, created_at, shop, payment, operation, text, resolved_at, note`.
pub(super) fn task_row(cells: &impl Columns) -> Result<TaskRow, StoreError> {
    Ok(TaskRow {
        id: TaskId::from_octets(cells.array(0)?),
        created_at: cells.instant(1)?,
        shop: ShopId::from_octets(cells.array(2)?),
        payment: PaymentId::from_octets(cells.array(3)?),
        operation: OperationId::from_octets(cells.array(4)?),
        text: cells.boxed(5)?,
        resolved_at: cells.maybe(6, Columns::instant)?,
        note: cells.maybe(7, Columns::boxed)?,
    })
}

/// `id, name, purpose, created_at`.
pub(super) fn pos_row(cells: &impl Columns) -> Result<PosRow, StoreError> {
    Ok(PosRow {
        id: PosId::from_octets(cells.array(0)?),
        name: cells.boxed(1)?,
        purpose: cells.boxed(2)?,
        created_at: cells.instant(3)?,
    })
}

/// `id, name, name_ja, url, ca_pem, verify_key, seal_root, seal_key_version, capabilities, enabled`.
pub(super) fn institution_row(cells: &impl Columns) -> Result<InstitutionRow, StoreError> {
    Ok(InstitutionRow {
        id: cells.named(0)?,
        name: cells.boxed(1)?,
        name_ja: cells.boxed(2)?,
        url: cells.boxed(3)?,
        ca_pem: cells.maybe(4, Columns::boxed)?,
        verify_key: cells.public_key(5)?,
        seal_root: cells.public_key(6)?,
        seal_key_version: cells.sum(7)?,
        capabilities: cells.boxed(8)?,
        enabled: cells.flag(9)?,
    })
}

/// `writer, seq, at, shop, body, hash`.
pub(super) fn audit_row(cells: &impl Columns) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        writer: cells.array(0)?,
        seq: cells.sum(1)?,
        at: cells.instant(2)?,
        shop: cells.maybe(3, Columns::array)?.map(ShopId::from_octets),
        body: cells.boxed(4)?,
        hash: cells.array(5)?,
    })
}

/// `state, count, oldest`.
pub(super) fn open_count(cells: &impl Columns) -> Result<OpenCount, StoreError> {
    Ok(OpenCount {
        state: codes::open_name(cells.number(0)?).ok_or(corrupt("state"))?,
        count: cells.sum(1)?,
        oldest: cells.instant(2)?,
    })
}

/// `fingerprint, reason, field, created_at` of a refusal that was kept.
pub(super) fn refusal(cells: &impl Columns, from: usize) -> Result<StoredRefusal, StoreError> {
    let at = |column: usize| from.saturating_add(column);
    Ok(StoredRefusal {
        fingerprint: cells.array(at(0))?,
        code: ErrorCode::from_wire(cells.text(at(1))?).ok_or(corrupt("error code"))?,
        field: cells.maybe(at(2), Columns::boxed)?,
        at: cells.instant(at(3))?,
    })
}

/// `answer, refusal, field` of a check.
pub(super) fn check_kept(
    cells: &impl Columns,
    from: usize,
) -> Result<Option<CheckKept>, StoreError> {
    let at = |column: usize| from.saturating_add(column);
    if let Some(body) = cells.maybe(at(0), Columns::octets)? {
        return Ok(Some(CheckKept::Answer(body.into())));
    }
    let Some(code) = cells.maybe(at(1), Columns::text)? else {
        return Ok(None);
    };
    let code = ErrorCode::from_wire(code).ok_or(corrupt("error code"))?;
    Ok(Some(CheckKept::Refusal { code, field: cells.maybe(at(2), Columns::boxed)? }))
}

/// `shop, id, channel, created_at, body, address, tries`, then the channel. None for one that cannot be read: failing the verb would keep every other shop from being told.
pub(super) fn due_notice(cells: &impl Columns) -> Result<Option<DueNotice>, StoreError> {
    match read_notice(cells) {
        Ok(notice) => Ok(Some(notice)),
        Err(cause @ StoreError::Corrupt { .. }) => {
            error!(cause = %cause, "a notice cannot be read, so nobody is told");
            Ok(None)
        }
        Err(cause) => Err(cause),
    }
}

fn read_notice(cells: &impl Columns) -> Result<DueNotice, StoreError> {
    let channel = codes::to_channel(cells.number(2)?).ok_or(corrupt("channel"))?;
    Ok(DueNotice {
        shop: ShopId::from_octets(cells.array(0)?),
        id: NoticeId::from_octets(cells.array(1)?),
        channel,
        created_at: cells.instant(3)?,
        body: cells.boxed(4)?,
        address: cells.maybe(5, Columns::boxed)?,
        tries: u32::try_from(cells.number(6)?).map_err(|_| corrupt("tries"))?,
        to: channel_row(cells, 7, channel)?,
    })
}

/// What stands in the columns from `first` on; none for a channel that is switched off.
pub(super) fn channel_row(
    cells: &impl Columns,
    first: usize,
    channel: Channel,
) -> Result<Option<ChannelRow>, StoreError> {
    let at = |place: usize| first.saturating_add(place);
    let Some(target) = cells.maybe(first, Columns::boxed)? else { return Ok(None) };
    let language = cells.text(at(1))?;
    let language = MailLanguage::ALL.iter().find(|one| one.wire() == language);
    Ok(Some(ChannelRow {
        channel,
        target,
        language: *language.ok_or(corrupt("language"))?,
        key_generation: u32::try_from(cells.number(at(2))?).map_err(|_| corrupt("generation"))?,
        older_key_until: cells.maybe(at(3), Columns::instant)?,
        disabled_at: cells.maybe(at(4), Columns::instant)?,
    }))
}

/// `waiting, oldest, given_up`.
pub(super) fn notice_counts(cells: &impl Columns) -> Result<NoticeCounts, StoreError> {
    Ok(NoticeCounts {
        waiting: cells.sum(0)?,
        oldest: cells.maybe(1, Columns::instant)?,
        given_up: cells.sum(2)?,
    })
}

/// An operation as an institution knows it, with the days that name it and the first of its payment.
pub(super) fn institution_operation(
    cells: &impl Columns,
) -> Result<InstitutionOperation, StoreError> {
    let moved = cells.maybe(9, Columns::amount)?;
    let reason = cells.maybe(10, Columns::text)?;
    Ok(InstitutionOperation {
        id: OperationId::from_octets(cells.array(0)?),
        shop: ShopId::from_octets(cells.array(1)?),
        payment: PaymentId::from_octets(cells.array(2)?),
        contract_number: cells.named(3)?,
        order_id: cells.named(4)?,
        kind: codes::to_kind(cells.number(5)?).ok_or(corrupt("kind"))?,
        amount: cells.amount(6)?,
        currency: cells.currency(7)?,
        state: codes::to_state(cells.number(8)?, moved, reason).ok_or(corrupt("state"))?,
        created_at: cells.instant(11)?,
        ended_at: cells.maybe(12, Columns::instant)?,
        reference: cells.maybe(13, Columns::boxed)?,
        settled: cells.maybe(14, day)?,
        first_settled: cells.maybe(15, day)?,
    })
}

/// `day, from_ms, until_ms, run`.
pub(super) fn settlement_row(cells: &impl Columns) -> Result<SettlementRow, StoreError> {
    Ok(SettlementRow {
        day: day(cells, 0)?,
        from: cells.instant(1)?,
        until: cells.instant(2)?,
        run: cells.instant(3)?,
    })
}

/// `id, created_at, institution, shop, payment, operation, text, holds, resolved_at, note`.
pub(super) fn institution_task(cells: &impl Columns) -> Result<InstitutionTask, StoreError> {
    Ok(InstitutionTask {
        id: TaskId::from_octets(cells.array(0)?),
        created_at: cells.instant(1)?,
        institution: cells.named(2)?,
        shop: cells.maybe(3, Columns::array)?.map(ShopId::from_octets),
        payment: cells.maybe(4, Columns::array)?.map(PaymentId::from_octets),
        operation: cells.maybe(5, Columns::array)?.map(OperationId::from_octets),
        text: cells.boxed(6)?,
        holds: cells.flag(7)?,
        resolved_at: cells.maybe(8, Columns::instant)?,
        note: cells.maybe(9, Columns::boxed)?,
    })
}

fn day(cells: &impl Columns, at: usize) -> Result<SettlementDay, StoreError> {
    SettlementDay::from_number(cells.small(at)?).map_err(|_| corrupt("day"))
}
