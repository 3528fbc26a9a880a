//! The test instruments of a house: numbers that always pass, one for every decline reason, one
//! for every fault. None of them belongs to anybody.

use std::collections::HashMap;

use pos_protocol::money::Currency;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::{Account, AccountKind, Card, Expiry, Instrument, Prepaid};
use pos_protocol::time::Timestamp;
use serde_json::Value;

use crate::fault::Fault;
use crate::house::House;

/// What an instrument does when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Pays from an account that holds this many minor units of each currency.
    Pays(u64),
    /// Is declined for this reason, always.
    Declines(DeclineReason),
    /// Pays, and the call goes wrong.
    Fails(Fault),
    /// Is taken in; the result stands at the second inquiry.
    Pends,
}

/// More than any test can spend: a thousand billion.
const PLENTY: u64 = 1_000_000_000_000_000;

/// What the instrument `small_balance` holds.
const SMALL: u64 = 1_000;

/// One test instrument.
#[derive(Clone, Debug)]
pub struct TestInstrument {
    /// Its name: `approve`, a decline reason, `fault:` and a fault, `small_balance`, `pending`.
    pub name: String,
    /// Its number, or the bank account's bank, branch and number joined by hyphens.
    pub number: String,
    /// What is sealed, as JSON (`docs/PROTOCOL.md`, sealed instruments).
    pub json: Value,
    /// What it does.
    pub behaviour: Behaviour,
    /// The secret that goes with it, where one is typed at all.
    pub secret: &'static str,
}

/// The test instruments of one house, by number.
#[derive(Debug)]
pub struct Instruments {
    by_number: HashMap<String, TestInstrument>,
}

/// What a house makes of an instrument that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It pays, as far as its account goes.
    Pays,
    /// As [`Self::Pays`], but the result comes later.
    Pends,
    /// It is declined, whatever the amount.
    Declined(DeclineReason),
}

impl Instruments {
    /// Those of this house.
    pub fn of(house: House) -> Self {
        let list = list(house);
        Self { by_number: list.into_iter().map(|one| (one.number.clone(), one)).collect() }
    }

    /// The instrument of this number.
    pub fn find(&self, instrument: &Instrument) -> Option<&TestInstrument> {
        self.by_number.get(&number_of(instrument))
    }

    /// Every instrument, by name and number.
    pub fn all(&self) -> Vec<&TestInstrument> {
        let mut all: Vec<_> = self.by_number.values().collect();
        all.sort_by(|one, other| (&one.name, &one.number).cmp(&(&other.name, &other.number)));
        all
    }

    /// Judges what was sealed: a number nobody has, a month that has passed, a wrong secret.
    pub fn judge(&self, house: House, sealed: &Instrument, now: Timestamp) -> Verdict {
        let kind_fits = matches!(
            (house, sealed),
            (House::Card, Instrument::Card(_))
                | (House::Bank, Instrument::Account(_))
                | (House::Prepaid, Instrument::Prepaid(_))
        );
        let Some(known) = self.find(sealed).filter(|_| kind_fits) else {
            return Verdict::Declined(DeclineReason::InvalidCard);
        };
        if let Behaviour::Declines(reason) = known.behaviour {
            return Verdict::Declined(reason);
        }
        if let Instrument::Card(card) = sealed
            && has_passed(card.expiry(), now)
        {
            return Verdict::Declined(DeclineReason::ExpiredCard);
        }
        let secret = match sealed {
            Instrument::Card(card) => card.security_code(),
            Instrument::Account(account) => account.secret(),
            Instrument::Prepaid(prepaid) => prepaid.pin(),
        };
        if secret.is_some_and(|typed| typed != known.secret) {
            return Verdict::Declined(DeclineReason::WrongSecret);
        }
        match known.behaviour {
            Behaviour::Pends => Verdict::Pends,
            _ => Verdict::Pays,
        }
    }
}

impl TestInstrument {
    /// What its account holds at first, in minor units of every currency of the house.
    pub const fn opening_balance(&self) -> u64 {
        match self.behaviour {
            Behaviour::Pays(balance) => balance,
            Behaviour::Declines(_) => 0,
            Behaviour::Fails(_) | Behaviour::Pends => PLENTY,
        }
    }
}

/// The currencies that accounts of this house are kept in.
pub fn currencies(house: House) -> Vec<Currency> {
    house.currencies().iter().map(|limits| limits.currency).collect()
}

/// The number under which an instrument is kept.
pub fn number_of(instrument: &Instrument) -> String {
    match instrument {
        Instrument::Card(card) => card.number().to_owned(),
        Instrument::Account(one) => format!("{}-{}-{}", one.bank(), one.branch(), one.number()),
        Instrument::Prepaid(prepaid) => prepaid.number().to_owned(),
    }
}

/// A card is good to the end of its month.
fn has_passed(expiry: Expiry, now: Timestamp) -> bool {
    let (year, month) = year_and_month(now);
    (u64::from(expiry.year), u64::from(expiry.month)) < (year, month)
}

/// The month of an instant, in UTC (days to a civil date, after Howard Hinnant).
#[expect(clippy::arithmetic_side_effects, reason = "u64 milliseconds are far from overflow here")]
const fn year_and_month(now: Timestamp) -> (u64, u64) {
    let days = now.as_secs() / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month)
}

fn list(house: House) -> Vec<TestInstrument> {
    let mut list = Vec::new();
    let mut add = |name: &str, sealed: &Instrument, behaviour| {
        let json = serde_json::from_slice(&sealed.to_json()).expect("an instrument is JSON");
        let (name, number) = (name.to_owned(), number_of(sealed));
        list.push(TestInstrument { name, number, json, behaviour, secret: secret(house) });
    };
    for sealed in always_approved(house) {
        add("approve", &sealed, Behaviour::Pays(PLENTY));
    }
    add("small_balance", &numbered(house, 1, 1), Behaviour::Pays(SMALL));
    if house == House::Bank {
        add("pending", &numbered(house, 1, 2), Behaviour::Pends);
    }
    for (reason, at) in DeclineReason::ALL.iter().zip(1..) {
        // Where there is an account, it is simply empty: the ledger itself declines.
        let behaviour = match reason {
            DeclineReason::InsufficientFunds => Behaviour::Pays(0),
            other => Behaviour::Declines(*other),
        };
        add(reason.wire(), &numbered(house, 2, at), behaviour);
    }
    for (fault, at) in Fault::ALL.into_iter().zip(1..) {
        let name = format!("fault:{}", fault.word());
        add(&name, &numbered(house, 3, at), Behaviour::Fails(fault));
    }
    list
}

/// The security code, account secret or PIN of every test instrument of a house.
const fn secret(house: House) -> &'static str {
    match house {
        House::Card => "123",
        House::Bank | House::Prepaid => "1234",
    }
}

fn always_approved(house: House) -> Vec<Instrument> {
    match house {
        // The well-known test numbers of the three brands.
        House::Card => ["4111111111111111", "5555555555554444", "3530111333300000"]
            .into_iter()
            .map(card)
            .collect(),
        House::Bank | House::Prepaid => vec![numbered(house, 1, 0)],
    }
}

/// The `at`th number of a group: a group of the range that no issuer uses.
fn numbered(house: House, group: u8, at: u8) -> Instrument {
    match house {
        House::Card => {
            let digits = format!("400000{group}000000{at:02}");
            card(&format!("{digits}{}", check_digit(&digits)))
        }
        House::Bank => {
            let number = format!("{group}0000{at:02}");
            let account = Account::new("9901", "001", AccountKind::Ordinary, &number)
                .and_then(|account| account.with_secret(secret(house)));
            Instrument::Account(account.expect("the numbers of the test range are accounts"))
        }
        House::Prepaid => {
            let number = format!("MOMIJI{group}00000{at:02}");
            let prepaid = Prepaid::new(&number).and_then(|one| one.with_pin(secret(house)));
            Instrument::Prepaid(prepaid.expect("the numbers of the test range are prepaid"))
        }
    }
}

fn card(number: &str) -> Instrument {
    let card = Card::new(number, Expiry { year: 2039, month: 12 })
        .and_then(|card| card.with_security_code(secret(House::Card)));
    Instrument::Card(card.expect("the numbers of the test range are cards"))
}

/// The Luhn digit of ISO/IEC 7812-1.
fn check_digit(digits: &str) -> u32 {
    let weighted = digits.bytes().rev().zip([2, 1].into_iter().cycle()).map(|(octet, weight)| {
        let product = u32::from(octet.saturating_sub(b'0')).saturating_mul(weight);
        if product > 9 { product.saturating_sub(9) } else { product }
    });
    let sum = weighted.fold(0_u32, u32::saturating_add);
    10_u32.saturating_sub(sum.checked_rem(10).unwrap_or_default()).checked_rem(10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_documented_and_never_change() {
        let numbers = |house| {
            let all = Instruments::of(house);
            let of = |name: &str| -> String {
                all.all().iter().find(|one| one.name == name).unwrap().number.clone()
            };
            [of("small_balance"), of("insufficient_funds"), of("expired_card"), of("fault:garbage")]
        };
        assert_eq!(
            numbers(House::Card),
            ["4000001000000018", "4000002000000016", "4000002000000024", "4000003000000089"]
        );
        assert_eq!(
            numbers(House::Bank),
            ["9901-001-1000001", "9901-001-2000001", "9901-001-2000002", "9901-001-3000008"]
        );
        assert_eq!(
            numbers(House::Prepaid),
            ["MOMIJI10000001", "MOMIJI20000001", "MOMIJI20000002", "MOMIJI30000008"]
        );
    }

    #[test]
    fn the_readme_lists_every_number() {
        let readme = include_str!("../README.md");
        for house in House::ALL {
            for one in Instruments::of(house).all() {
                assert!(readme.contains(&one.number), "{} {}", one.name, one.number);
                assert!(readme.contains(&one.name), "{}", one.name);
            }
        }
    }

    #[test]
    fn every_reason_and_every_fault_has_a_number_of_its_own() {
        for house in House::ALL {
            let all = Instruments::of(house);
            assert_eq!(all.all().len(), list(house).len(), "{house:?}");
            let named = |name: &str| all.all().iter().any(|one| one.name == name);
            assert!(DeclineReason::ALL.iter().all(|reason| named(reason.wire())));
            assert!(Fault::ALL.iter().all(|fault| named(&format!("fault:{}", fault.word()))));
        }
    }

    #[test]
    fn dates_and_secrets_are_looked_at() {
        let all = Instruments::of(House::Card);
        let now = Timestamp::from_secs(1_795_392_000); // 2026-11-23.
        let of = |month, code| {
            let card = Card::new("4111111111111111", Expiry { year: 2026, month }).unwrap();
            Instrument::Card(card.with_security_code(code).unwrap())
        };
        let judge = |sealed: &Instrument| all.judge(House::Card, sealed, now);
        assert_eq!(judge(&of(11, "123")), Verdict::Pays);
        let declined = Verdict::Declined;
        assert_eq!(judge(&of(10, "123")), declined(DeclineReason::ExpiredCard));
        assert_eq!(judge(&of(11, "124")), declined(DeclineReason::WrongSecret));
        assert_eq!(judge(&card("4242424242424242")), declined(DeclineReason::InvalidCard));
        let prepaid = numbered(House::Prepaid, 1, 0);
        assert_eq!(judge(&prepaid), declined(DeclineReason::InvalidCard));
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(year_and_month(Timestamp::from_secs(0)), (1970, 1));
        assert_eq!(year_and_month(Timestamp::from_secs(951_782_399)), (2000, 2)); // 28 February.
        assert_eq!(year_and_month(Timestamp::from_secs(951_868_800)), (2000, 3));
        assert_eq!(year_and_month(Timestamp::from_secs(1_798_761_599)), (2026, 12));
        assert_eq!(year_and_month(Timestamp::from_secs(1_798_761_600)), (2027, 1));
    }
}
