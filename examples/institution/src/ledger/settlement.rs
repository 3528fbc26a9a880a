//! The settlement file of a day (`docs/INSTITUTION.md` 11), from the books.

use std::collections::BTreeMap;

use csv::{Terminator, Writer, WriterBuilder};
use pos_protocol::id::{InstitutionId, OperationId};
use pos_protocol::money::Currency;
use pos_protocol::time::Timestamp;

use super::books::Books;

/// Which day, and whose.
#[derive(Clone, Debug)]
pub struct SettlementDay {
    /// The institution.
    pub institution: InstitutionId,
    /// Its date.
    pub day: String,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// What moved on one day. Ids and numbers are as short as they are on the line.
const MOVED: &str = "SELECT operation, kind, contract, order_id, printf('R%012d', id), moved, currency, \
        ended_ms \
    FROM operation WHERE ended_ms >= ?1 AND ended_ms < ?2 \
    UNION ALL SELECT reversal.operation, 'reverse', contract, order_id, \
        printf('V%012d', reversal.id), reversal.moved, currency, reversal.ended_ms \
    FROM reversal JOIN operation ON operation.operation = reversal.original \
    WHERE reversal.ended_ms >= ?1 AND reversal.ended_ms < ?2 \
    ORDER BY 1";

const COLUMNS: [&str; 8] = [
    "operation_id",
    "kind",
    "contract_number",
    "order_id",
    "reference",
    "amount",
    "currency",
    "time_ms",
];

impl Books {
    /// The file of one day: every movement with its own line, the order that of the operations' ids.
    pub fn settlement(&self, day: &SettlementDay) -> rusqlite::Result<Vec<u8>> {
        let mut file = WriterBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        let (from, until) = (day.from.as_ms(), day.until.as_ms());
        write(
            &mut file,
            &[
                "pos-settlement/1",
                day.institution.as_str(),
                &day.day,
                &from.to_string(),
                &until.to_string(),
            ],
        );
        write(&mut file, &COLUMNS);
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        let mut count = 0_u64;
        let mut statement = self.statement(MOVED)?;
        let mut rows = statement.query((from, until))?;
        while let Some(row) = rows.next()? {
            let text = |at| row.get::<_, String>(at);
            let number: u16 = row.get(6)?;
            let currency = Currency::from_number(number).map_or("XXX", Currency::code);
            let amount: u64 = row.get(5)?;
            let time: u64 = row.get(7)?;
            write(
                &mut file,
                &[
                    &OperationId::from_octets(row.get(0)?).to_string(),
                    &text(1)?,
                    &text(2)?,
                    &text(3)?,
                    &text(4)?,
                    &amount.to_string(),
                    currency,
                    &time.to_string(),
                ],
            );
            let sum = sums.entry(currency.to_owned()).or_default();
            *sum = sum.saturating_add(amount);
            count = count.saturating_add(1);
        }
        let mut end = vec!["end".to_owned(), count.to_string()];
        for (currency, sum) in sums {
            end.extend([currency, sum.to_string()]);
        }
        write(&mut file, &end);
        Ok(file.into_inner().expect("memory takes what is written"))
    }
}

fn write<T: AsRef<[u8]>>(file: &mut Writer<Vec<u8>>, record: &[T]) {
    file.write_record(record).expect("memory takes what is written");
}
