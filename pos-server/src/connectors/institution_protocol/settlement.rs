//! The settlement file of the institution protocol (`docs/INSTITUTION.md` 11), read line by line.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{BufRead, Read as _};
use std::str::FromStr;
use std::time::Duration;

use csv_core::{ReadRecordResult, Reader};
use pos_protocol::Timestamp;
use pos_protocol::id::OperationId;
use pos_protocol::institution::PlainText;
use pos_protocol::money::{Amount, Currency};

use crate::connectors::settlement::{
    SettlementError, SettlementFile, SettlementHead, SettlementLine,
};

/// Octets of the longest line, its end included. One of the longest fields has less than half of it.
const LONGEST_LINE: usize = 1_024;

/// Lines of the longest file.
const MOST_LINES: u64 = 100_000_000;

/// A control line names every currency there is at most.
const MOST_FIELDS: usize = 512;

/// What the first line begins with.
const MARK: &str = "pos-settlement/1";

/// What the control line begins with.
const END: &str = "end";

/// The second line.
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

/// A day has 23 to 25 hours, or a few more where a country moves over the date line.
const LONGEST_DAY: Duration = Duration::from_secs(48 * 60 * 60);

/// An opened file.
pub struct File<R> {
    records: Records<R>,
    head: SettlementHead,
    last: Option<OperationId>,
    count: u64,
    sums: BTreeMap<&'static str, u64>,
    ended: bool,
}

impl<R: BufRead> File<R> {
    /// Reads the two lines before those of the movements.
    ///
    /// # Errors
    /// [`SettlementError`] names the line at fault.
    pub fn open(input: R) -> Result<Self, SettlementError> {
        let mut records = Records::new(input);
        let wrong = |line, problem| SettlementError::Line { line, problem };
        let first = records.next()?.ok_or(SettlementError::CutOff { line: 0 })?;
        let [mark, institution, day, from, until] = first.fields()?;
        if mark != MARK {
            return Err(wrong(1, "a settlement file begins with pos-settlement/1"));
        }
        let head = SettlementHead {
            institution: first.read("institution", institution)?,
            day: first.read("day", day)?,
            from: first.instant("from_ms", from)?,
            until: first.instant("until_ms", until)?,
        };
        if head.from >= head.until || head.until.since(head.from) > LONGEST_DAY {
            return Err(wrong(1, "until_ms must be after from_ms, by 48 hours at most"));
        }
        let second = records.next()?.ok_or(SettlementError::CutOff { line: 1 })?;
        if second.fields::<8>()? != COLUMNS {
            return Err(wrong(2, "the second line must name the columns, in their order"));
        }
        Ok(Self { records, head, last: None, count: 0, sums: BTreeMap::new(), ended: false })
    }

    /// The next movement; none once the control line was found right, and nothing behind it.
    fn movement(&mut self) -> Result<Option<SettlementLine>, SettlementError> {
        let line = self.records.line;
        let Some(record) = self.records.next()? else {
            return Err(SettlementError::CutOff { line });
        };
        if record.first() == END {
            let told = record.all().skip(1).collect::<Vec<_>>().join(",");
            let (line, found) = (record.line, control(self.count, &self.sums));
            if told != found {
                return Err(SettlementError::Control { line, told, found });
            }
            return match self.records.next()? {
                None => Ok(None),
                Some(behind) => Err(SettlementError::Line {
                    line: behind.line,
                    problem: "nothing may stand behind the control line",
                }),
            };
        }
        let wrong = |problem| SettlementError::Line { line: record.line, problem };
        let found = line_of(&record)?;
        if self.last.is_some_and(|last| last >= found.operation_id) {
            return Err(wrong("operation_id must be greater than that of the line before"));
        }
        if !(self.head.from..self.head.until).contains(&found.time) {
            return Err(wrong("time_ms must lie within the day of the first line"));
        }
        let sum = self.sums.get(found.currency.code()).copied().unwrap_or_default();
        let sum = sum.checked_add(found.amount.minor()).filter(|_| self.count < MOST_LINES);
        let sum = sum.ok_or_else(|| wrong("the file has more lines than one file may have"))?;
        self.sums.insert(found.currency.code(), sum);
        self.last = Some(found.operation_id);
        self.count = self.count.saturating_add(1);
        Ok(Some(found))
    }
}

/// What the control line must say of the lines before it, without its first field.
fn control(count: u64, sums: &BTreeMap<&'static str, u64>) -> String {
    let mut text = count.to_string();
    for (currency, sum) in sums {
        // Writing to a string does not fail.
        let _ = write!(text, ",{currency},{sum}");
    }
    text
}

impl<R: BufRead> Iterator for File<R> {
    type Item = Result<SettlementLine, SettlementError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.movement().transpose();
        self.ended = !matches!(found, Some(Ok(_)));
        found
    }
}

impl<R: BufRead> SettlementFile for File<R> {
    fn head(&self) -> &SettlementHead {
        &self.head
    }
}

fn line_of(record: &Record<'_>) -> Result<SettlementLine, SettlementError> {
    let [operation, kind, contract, order, reference, amount, currency, time] = record.fields()?;
    let reference = if reference.is_empty() {
        None
    } else {
        Some(record.read::<PlainText>("reference", reference)?.to_string())
    };
    Ok(SettlementLine {
        operation_id: record.read("operation_id", operation)?,
        kind: record.read("kind", kind)?,
        contract_number: record.read("contract_number", contract)?,
        order_id: record.read("order_id", order)?,
        reference,
        amount: record.amount("amount", amount)?,
        currency: record.read::<Currency>("currency", currency)?,
        time: record.instant("time_ms", time)?,
    })
}

/// The records of the file, one a line. Lines are cut here and only their fields by the CSV reader, so
/// that no quote that is left open takes the rest of the file for one field.
struct Records<R> {
    input: R,
    reader: Reader,
    octets: Vec<u8>,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Lines read so far.
    line: u64,
}

/// One record.
struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
    line: u64,
}

impl<R: BufRead> Records<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            reader: Reader::new(),
            octets: Vec::with_capacity(LONGEST_LINE),
            fields: vec![0; LONGEST_LINE],
            ends: vec![0; MOST_FIELDS],
            line: 0,
        }
    }

    fn next(&mut self) -> Result<Option<Record<'_>>, SettlementError> {
        self.octets.clear();
        let most = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.octets)?;
        if read == 0 {
            return Ok(None);
        }
        if self.octets.last() != Some(&b'\n') {
            let line = self.line;
            return Err(if read < LONGEST_LINE {
                SettlementError::CutOff { line: line.saturating_add(1) }
            } else {
                let problem = "a line has at most 1024 octets";
                SettlementError::Line { line: line.saturating_add(1), problem }
            });
        }
        self.line = self.line.saturating_add(1);
        let line = self.line;
        let wrong = |problem| SettlementError::Line { line, problem };
        // The CSV reader would leave it out in silence.
        if self.octets.starts_with("\u{feff}".as_bytes()) {
            return Err(wrong("must not begin with a byte order mark"));
        }
        let empty = matches!(&*self.octets, b"\n" | b"\r\n");
        self.reader.reset();
        let (result, taken, written, ends) =
            self.reader.read_record(&self.octets, &mut self.fields, &mut self.ends);
        // A CR is a line's end to the reader: where one stands alone, the LF is not reached.
        let whole = taken == self.octets.len() || self.octets.get(taken..) == Some(b"\n");
        match result {
            ReadRecordResult::Record if whole && !empty => {}
            ReadRecordResult::OutputEndsFull => return Err(wrong("a line has at most 512 fields")),
            ReadRecordResult::InputEmpty if !empty => {
                return Err(wrong("a quote is not closed in its line"));
            }
            _ => return Err(wrong("a line must hold one record, and none may be empty")),
        }
        let text = self.fields.get(..written).and_then(|octets| std::str::from_utf8(octets).ok());
        let text = text.ok_or_else(|| wrong("must be UTF-8"))?;
        let ends = self.ends.get(..ends).unwrap_or_default();
        Ok(Some(Record { text, ends, line }))
    }
}

impl<'a> Record<'a> {
    fn all(&self) -> impl Iterator<Item = &'a str> {
        let text = self.text;
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let field = text.get(from..*end).unwrap_or_default();
            from = *end;
            field
        })
    }

    fn first(&self) -> &'a str {
        self.all().next().unwrap_or_default()
    }

    /// The fields, where there are exactly so many.
    fn fields<const N: usize>(&self) -> Result<[&'a str; N], SettlementError> {
        let all: Vec<_> = self.all().collect();
        let problem = if N == COLUMNS.len() {
            "must have the eight fields that the second line names"
        } else {
            "must have five fields: pos-settlement/1, institution, day, from_ms, until_ms"
        };
        all.try_into().map_err(|_| SettlementError::Line { line: self.line, problem })
    }

    fn read<T>(&self, column: &'static str, field: &str) -> Result<T, SettlementError>
    where
        T: FromStr<Err: Display>,
    {
        field.parse().map_err(|error: T::Err| self.wrong(column, error.to_string()))
    }

    fn amount(&self, column: &'static str, field: &str) -> Result<Amount, SettlementError> {
        let amount = self.whole(column, field)?;
        Amount::new(amount).map_err(|error| self.wrong(column, error.to_string()))
    }

    fn instant(&self, column: &'static str, field: &str) -> Result<Timestamp, SettlementError> {
        self.whole(column, field).map(Timestamp::from_ms)
    }

    /// Digits alone: no sign, no blank, no leading zero.
    fn whole(&self, column: &'static str, field: &str) -> Result<u64, SettlementError> {
        let digits = (1..=15).contains(&field.len()) && field.bytes().all(|it| it.is_ascii_digit());
        let plain = digits && (field == "0" || !field.starts_with('0'));
        let number = field.parse().ok().filter(|_| plain);
        number.ok_or_else(|| self.wrong(column, "must be a whole number in digits".into()))
    }

    fn wrong(&self, column: &'static str, problem: String) -> SettlementError {
        SettlementError::Field { line: self.line, column, problem }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "arithmetic in a test overflows loudly")]
mod tests {
    use super::*;

    const WHOLE: &str = "pos-settlement/1,sakura-card,2026-11-18,1794960000000,1795046400000
operation_id,kind,contract_number,order_id,reference,amount,currency,time_ms
op_06fpc9v3r0e4k7m2n8q1s5t9wx,sale,4980012345,order-1,\"R 1, \"\"a\"\"\",1200,JPY,1795000000040
op_06fpc9v3r0e4k7m2n8q1s5t9wy,refund,4980012345,order-1,,700,JPY,1795000001000
op_06fpc9v3r0e4k7m2n8q1s5t9wz,sale,4980012345,order-2,R3,999,USD,1795000002000
end,3,JPY,1900,USD,999
";

    fn read(text: &str) -> Result<Vec<SettlementLine>, SettlementError> {
        File::open(text.as_bytes())?.collect()
    }

    fn refused(from: &str, to: &str) -> String {
        assert!(WHOLE.contains(from), "{from}");
        read(&WHOLE.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read_with_its_quotes() {
        let file = File::open(WHOLE.as_bytes()).unwrap();
        let head = file.head();
        assert_eq!(head.institution.as_str(), "sakura-card");
        assert_eq!(head.day.to_string(), "2026-11-18");
        assert_eq!(head.from, Timestamp::from_ms(1_794_960_000_000));
        assert_eq!(head.until, Timestamp::from_ms(1_795_046_400_000));
        let lines = file.collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(lines.len(), 3);
        let first = &lines[0];
        assert_eq!(first.operation_id.to_string(), "op_06fpc9v3r0e4k7m2n8q1s5t9wx");
        assert_eq!((first.kind.wire(), first.order_id.as_str()), ("sale", "order-1"));
        assert_eq!(first.contract_number.as_str(), "4980012345");
        assert_eq!(first.reference.as_deref(), Some("R 1, \"a\""));
        assert_eq!((first.amount.minor(), first.currency), (1_200, Currency::JPY));
        assert_eq!(first.time.as_ms(), 1_795_000_000_040);
        assert_eq!(lines[1].reference, None);
        assert_eq!(read(&WHOLE.replace('\n', "\r\n")).unwrap(), lines);
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_refused() {
        for end in 0..WHOLE.len() {
            assert!(read(&WHOLE[..end]).is_err(), "the first {end} octets are taken");
        }
        let lines: Vec<_> = WHOLE.split_inclusive('\n').collect();
        for missing in 0..lines.len() {
            let rest: String = lines
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != missing)
                .map(|(_, line)| *line)
                .collect();
            assert!(read(&rest).is_err(), "without line {}", missing + 1);
        }
        let cut = read(&WHOLE[..WHOLE.find("end,").unwrap()]).unwrap_err().to_string();
        assert!(cut.starts_with("the file ends in line 5 without its control line"), "{cut}");
    }

    #[test]
    fn what_cannot_be_read_is_named_by_line_and_column() {
        for (from, to, told) in [
            ("1200", "0", "line 3, column amount: "),
            ("1200", "+1200", "line 3, column amount: must be a whole number in digits"),
            ("1200", "01200", "line 3, column amount: "),
            ("1200", "12.00", "line 3, column amount: "),
            ("refund", "refunds", "line 4, column kind: must be one of sale, authorise"),
            ("op_06fpc9v3r0e4k7m2n8q1s5t9wy", "op_1", "line 4, column operation_id: must be `op_`"),
            (",USD,1795", ",usd,1795", "line 5, column currency: "),
            ("order-2", "order 2", "line 5, column order_id: "),
            ("4980012345,order-2", "4980 012345,order-2", "line 5, column contract_number: "),
            ("1795000002000", "", "line 5, column time_ms: "),
            ("R3", "R\u{e9}", "line 5, column reference: "),
            ("sakura-card", "Sakura", "line 1, column institution: "),
            ("2026-11-18", "2026-13-18", "line 1, column day: must be a date"),
            ("2026-11-18", "18.11.2026", "line 1, column day: must be a date"),
            ("pos-settlement/1", "pos-settlement/2", "line 1: a settlement file begins with"),
            ("1795046400000", "1794960000000", "line 1: until_ms must be after from_ms"),
            ("1795046400000", "1799999999999", "line 1: until_ms must be after from_ms"),
            ("kind,contract_number", "contract_number,kind", "line 2: the second line must name"),
            ("order-2,R3", "order-2", "line 5: must have the eight fields"),
            ("1795000002000", "1795046400000", "line 5: time_ms must lie within the day"),
            ("s5t9wz", "s5t9wy", "line 5: operation_id must be greater than"),
            (",R3,", ",\"R3,", "line 5: a quote is not closed in its line"),
            (",R3,", ",R\r3,", "line 5: a line must hold one record"),
            (
                "end,3",
                "end,4",
                "line 6: the control line says 4,JPY,1900,USD,999 and the lines before it come to 3,JPY,1900,USD,999",
            ),
            ("JPY,1900", "JPY,1901", "line 6: the control line says"),
            ("USD,999\n", "USD,999,EUR,0\n", "line 6: the control line says"),
            ("USD,999\n", "USD,999\nend,0\n", "line 7: nothing may stand behind the control line"),
            (
                "USD,999\n",
                "USD,999\n\n",
                "line 7: a line must hold one record, and none may be empty",
            ),
            ("USD,999\n", "USD,999", "the file ends in line 6 without its control line"),
        ] {
            let error = refused(from, to);
            assert!(error.starts_with(told), "{from} -> {to}: {error}");
        }
        let mut octets = WHOLE.as_bytes().to_vec();
        let at = WHOLE.find("order-2").unwrap();
        octets[at] = 0xff;
        let error = File::open(&*octets).unwrap().find_map(Result::err).unwrap().to_string();
        assert_eq!(error, "line 5: must be UTF-8");
    }

    #[test]
    fn lines_are_bounded_and_a_day_without_movements_is_a_file() {
        let marked = refused("pos-settlement", "\u{feff}pos-settlement");
        assert_eq!(marked, "line 1: must not begin with a byte order mark");
        let long = refused("R3", &"R".repeat(2_000));
        assert_eq!(long, "line 5: a line has at most 1024 octets");
        let many = refused("R3", &",".repeat(600));
        assert_eq!(many, "line 5: a line has at most 512 fields");
        let head: String = WHOLE.split_inclusive('\n').take(2).collect();
        assert_eq!(read(&format!("{head}end,0\n")).unwrap(), []);
    }

    /// Writes its lines as they are read, so that nothing of the length of the file is ever held.
    struct Endless {
        line: Vec<u8>,
        at: usize,
        number: u128,
        left: u32,
    }

    impl std::io::Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.at == self.line.len() {
                if self.left == 0 {
                    return Ok(0);
                }
                self.left -= 1;
                self.number += 1;
                self.at = 0;
                let id = OperationId::from_octets(self.number.to_be_bytes());
                self.line = if self.left == 0 {
                    b"end,1000000,JPY,1200000000\n".to_vec()
                } else {
                    format!("{id},sale,4980012345,order-1,,1200,JPY,1795000000040\n").into_bytes()
                };
            }
            let rest = &self.line[self.at..];
            let taken = rest.len().min(out.len());
            out[..taken].copy_from_slice(&rest[..taken]);
            self.at += taken;
            Ok(taken)
        }
    }

    #[test]
    fn a_million_lines_are_read_one_by_one() {
        let line = WHOLE.split_inclusive('\n').take(2).collect::<String>().into_bytes();
        let endless = Endless { line, at: 0, number: 0, left: 1_000_001 };
        let file = File::open(std::io::BufReader::new(endless)).unwrap();
        let mut count = 0;
        for line in file {
            line.unwrap();
            count += 1;
        }
        assert_eq!(count, 1_000_000);
    }
}
