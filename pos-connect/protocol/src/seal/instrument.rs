//! What a shopper pays with: the plaintext of an envelope.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::SecretText;

/// Octets that every plaintext is padded to, so that an envelope's size tells nothing.
pub const PLAINTEXT_OCTETS: usize = 512;

/// What a shopper pays with. It prints as its kind alone, and its texts are wiped when dropped.
///
/// Only the institution that it is sealed to, the shopper's page and tests ever hold one.
#[derive(Clone)]
pub enum Instrument {
    /// A payment card.
    Card(Card),
    /// A bank account.
    Account(Account),
    /// A prepaid card or code.
    Prepaid(Prepaid),
}

/// Why an instrument cannot be one. Neither field nor rule contains what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct InvalidInstrument {
    /// The JSON member at fault, or `instrument` for the whole.
    pub field: &'static str,
    /// What it must look like, as a sentence for the person who typed it.
    pub rule: &'static str,
}

/// A payment card: number and expiry, and what else the card's rules ask for.
#[derive(Clone)]
pub struct Card {
    number: SecretText,
    expiry: Expiry,
    security_code: Option<SecretText>,
    holder: Option<SecretText>,
}

/// The last month in which a card is good. Whether it has passed is the institution's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry {
    /// Four digits: 2000 to 2099.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
}

/// A bank account in the form of the Japanese banks' network (Zengin).
#[derive(Clone)]
pub struct Account {
    bank: SecretText,
    branch: SecretText,
    kind: AccountKind,
    number: SecretText,
    holder_kana: Option<SecretText>,
    secret: Option<SecretText>,
}

/// The kind of a bank account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// 普通預金.
    Ordinary,
    /// 当座預金.
    Current,
    /// 貯蓄預金.
    Savings,
}

/// A prepaid card or code.
#[derive(Clone)]
pub struct Prepaid {
    number: SecretText,
    pin: Option<SecretText>,
}

impl Card {
    /// A card by its number and last good month.
    ///
    /// # Errors
    /// [`InvalidInstrument`] for a number that is not 12 to 19 digits with a right check digit
    /// (Luhn, ISO/IEC 7812-1), or a month that does not exist.
    pub fn new(number: &str, expiry: Expiry) -> Result<Self, InvalidInstrument> {
        let number = checked("number", number, CARD_NUMBER)?;
        if !(2000..=2099).contains(&expiry.year) {
            return refuse("expiry_year", "must be a year of four digits from 2000 to 2099");
        }
        if !(1..=12).contains(&expiry.month) {
            return refuse("expiry_month", "must be a month from 1 to 12");
        }
        Ok(Self { number, expiry, security_code: None, holder: None })
    }

    /// Adds the security code printed on the card: 3 or 4 digits.
    ///
    /// # Errors
    /// [`InvalidInstrument`] for anything else.
    pub fn with_security_code(mut self, code: &str) -> Result<Self, InvalidInstrument> {
        self.security_code = Some(checked("security_code", code, SECURITY_CODE)?);
        Ok(self)
    }

    /// Adds the holder's name as it stands on the card.
    ///
    /// # Errors
    /// [`InvalidInstrument`] unless it is 2 to 45 printable ASCII characters.
    pub fn with_holder(mut self, holder: &str) -> Result<Self, InvalidInstrument> {
        self.holder = Some(checked("holder", holder, HOLDER)?);
        Ok(self)
    }

    /// The card number, digits only.
    pub fn number(&self) -> &str {
        self.number.expose()
    }

    /// The last good month.
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The security code, where it was given.
    pub fn security_code(&self) -> Option<&str> {
        self.security_code.as_ref().map(SecretText::expose)
    }

    /// The holder's name, where it was given.
    pub fn holder(&self) -> Option<&str> {
        self.holder.as_ref().map(SecretText::expose)
    }
}

impl Account {
    /// An account by bank code (4 digits), branch code (3), kind and number (7).
    ///
    /// # Errors
    /// [`InvalidInstrument`] naming the part that has another number of digits.
    pub fn new(
        bank: &str,
        branch: &str,
        kind: AccountKind,
        number: &str,
    ) -> Result<Self, InvalidInstrument> {
        Ok(Self {
            bank: checked("bank", bank, BANK)?,
            branch: checked("branch", branch, BRANCH)?,
            kind,
            number: checked("number", number, ACCOUNT_NUMBER)?,
            holder_kana: None,
            secret: None,
        })
    }

    /// Adds the holder's name in katakana as the bank keeps it.
    ///
    /// # Errors
    /// [`InvalidInstrument`] unless it is 1 to 30 characters of katakana (full or half width),
    /// A-Z, 0-9, space and `( ) . - /`.
    pub fn with_holder_kana(mut self, holder: &str) -> Result<Self, InvalidInstrument> {
        self.holder_kana = Some(checked("holder_kana", holder, HOLDER_KANA)?);
        Ok(self)
    }

    /// Adds the secret by which the holder approves a payment at this bank.
    ///
    /// # Errors
    /// [`InvalidInstrument`] unless it is 4 to 64 printable ASCII characters.
    pub fn with_secret(mut self, secret: &str) -> Result<Self, InvalidInstrument> {
        self.secret = Some(checked("secret", secret, ACCOUNT_SECRET)?);
        Ok(self)
    }

    /// The bank's code, 4 digits.
    pub fn bank(&self) -> &str {
        self.bank.expose()
    }

    /// The branch's code, 3 digits.
    pub fn branch(&self) -> &str {
        self.branch.expose()
    }

    /// The kind of account.
    pub const fn kind(&self) -> AccountKind {
        self.kind
    }

    /// The account's number, 7 digits.
    pub fn number(&self) -> &str {
        self.number.expose()
    }

    /// The holder's name in katakana, where it was given.
    pub fn holder_kana(&self) -> Option<&str> {
        self.holder_kana.as_ref().map(SecretText::expose)
    }

    /// The holder's secret, where it was given.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(SecretText::expose)
    }
}

impl Prepaid {
    /// A prepaid card or code by its number.
    ///
    /// # Errors
    /// [`InvalidInstrument`] unless it is 8 to 32 of A-Z and 0-9.
    pub fn new(number: &str) -> Result<Self, InvalidInstrument> {
        Ok(Self { number: checked("number", number, PREPAID_NUMBER)?, pin: None })
    }

    /// Adds the PIN: 4 to 12 digits.
    ///
    /// # Errors
    /// [`InvalidInstrument`] for anything else.
    pub fn with_pin(mut self, pin: &str) -> Result<Self, InvalidInstrument> {
        self.pin = Some(checked("pin", pin, PIN)?);
        Ok(self)
    }

    /// The number.
    pub fn number(&self) -> &str {
        self.number.expose()
    }

    /// The PIN, where it was given.
    pub fn pin(&self) -> Option<&str> {
        self.pin.as_ref().map(SecretText::expose)
    }
}

impl Instrument {
    /// Reads the JSON form (`docs/PROTOCOL.md`, sealed instruments). There is no `Deserialize`,
    /// because a parser's error repeats what it read, and what it reads here is a secret.
    ///
    /// # Errors
    /// [`InvalidInstrument`] for the first member that breaks its rule, for one that this type of
    /// instrument does not have, and for anything that is not such an object.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidInstrument> {
        // Serde would also take a list of the members in their order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(NO_INSTRUMENT);
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let members: Members = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            match MEMBERS.iter().find(|known| **known == path) {
                Some(field) => InvalidInstrument { field, rule: WRONG_TYPE },
                None => NO_INSTRUMENT,
            }
        })?;
        reader.end().map_err(|_| NO_INSTRUMENT)?;
        members.try_into()
    }

    /// Writes the JSON form, compact, with the members in the order of `docs/PROTOCOL.md`.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Room from the start, so that no half-written copy stays behind in freed memory.
        let mut json = Zeroizing::new(Vec::with_capacity(2 * PLAINTEXT_OCTETS));
        serde_json::to_writer(&mut *json, &Members::from(self))
            .expect("texts and numbers always have a JSON form");
        json
    }

    /// The JSON form followed by spaces up to [`PLAINTEXT_OCTETS`].
    pub(super) fn to_plaintext(&self) -> Zeroizing<[u8; PLAINTEXT_OCTETS]> {
        let json = self.to_json();
        let mut padded = Zeroizing::new([b' '; PLAINTEXT_OCTETS]);
        padded
            .get_mut(..json.len())
            .expect("the checked lengths keep every instrument below 512 octets")
            .copy_from_slice(&json);
        padded
    }

    /// Reads what [`Self::to_plaintext`] wrote.
    pub(super) fn from_plaintext(padded: &[u8]) -> Result<Self, InvalidInstrument> {
        // Spaces and nothing else: other white space would give one instrument several spellings.
        let end = padded.iter().rposition(|octet| *octet != b' ').ok_or(NO_INSTRUMENT)?;
        match padded.get(..=end) {
            Some(json) if json.first() == Some(&b'{') && json.last() == Some(&b'}') => {
                Self::from_json(json)
            }
            _ => Err(NO_INSTRUMENT),
        }
    }
}

impl fmt::Debug for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card(card) => card.fmt(f),
            Self::Account(account) => account.fmt(f),
            Self::Prepaid(prepaid) => prepaid.fmt(f),
        }
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card([redacted])")
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account([redacted])")
    }
}

impl fmt::Debug for Prepaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepaid([redacted])")
    }
}

/// What a text must be, and the sentence that says so.
type Rule = (fn(&str) -> bool, &'static str);

const CARD_NUMBER: Rule = (
    |text| digits(text, 12, 19) && luhn(text),
    "must be the 12 to 19 digits of a card number without spaces, the last being its check digit",
);
const SECURITY_CODE: Rule = (|text| digits(text, 3, 4), "must be 3 or 4 digits");
const HOLDER: Rule = (|text| printable(text, 2, 45), "must be 2 to 45 printable ASCII characters");
const BANK: Rule = (|text| digits(text, 4, 4), "must be the bank's 4 digits");
const BRANCH: Rule = (|text| digits(text, 3, 3), "must be the branch's 3 digits");
const ACCOUNT_NUMBER: Rule =
    (|text| digits(text, 7, 7), "must be the account's 7 digits, with leading zeros");
const HOLDER_KANA: Rule =
    (kana, "must be 1 to 30 characters of katakana, A-Z, 0-9, space and ( ) . - /");
const ACCOUNT_SECRET: Rule =
    (|text| printable(text, 4, 64), "must be 4 to 64 printable ASCII characters");
const PREPAID_NUMBER: Rule = (
    |text| {
        (8..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    },
    "must be 8 to 32 of A-Z and 0-9, without spaces",
);
const PIN: Rule = (|text| digits(text, 4, 12), "must be 4 to 12 digits");

const WRONG_TYPE: &str = "must appear once, with the JSON type of the protocol document";
const NO_INSTRUMENT: InvalidInstrument = InvalidInstrument {
    field: "instrument",
    rule: "must be a JSON object with `type` card, account or prepaid and its members, no others",
};

fn refuse<T>(field: &'static str, rule: &'static str) -> Result<T, InvalidInstrument> {
    Err(InvalidInstrument { field, rule })
}

fn checked(
    field: &'static str,
    text: &str,
    (holds, rule): Rule,
) -> Result<SecretText, InvalidInstrument> {
    if holds(text) { Ok(SecretText::from(text)) } else { refuse(field, rule) }
}

fn digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn printable(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

fn kana(text: &str) -> bool {
    let known = |c: char| {
        matches!(c, '\u{30A1}'..='\u{30FC}' | '\u{FF66}'..='\u{FF9F}' | '\u{3000}')
            || c.is_ascii_uppercase()
            || c.is_ascii_digit()
            || " ().-/".contains(c)
    };
    (1..=30).contains(&text.chars().count()) && text.chars().all(known)
}

/// The check digit of ISO/IEC 7812-1: from the right, every second digit counts double.
fn luhn(number: &str) -> bool {
    let sum: u32 = number
        .bytes()
        .rev()
        .zip([false, true].into_iter().cycle())
        .map(|(digit, double)| {
            let value = u32::from(digit.saturating_sub(b'0'));
            match (double, value) {
                (false, value) => value,
                (true, value @ 0..5) => value.saturating_mul(2),
                (true, value) => value.saturating_mul(2).saturating_sub(9),
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The JSON members of all instruments together. One flat struct, not a tagged enum: serde
/// would collect a tagged enum's members in buffers that are not wiped.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    r#type: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_year: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_month: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_code: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<AccountKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_kana: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<SecretText>,
}

const MEMBERS: &[&str] = &[
    "type",
    "number",
    "expiry_year",
    "expiry_month",
    "security_code",
    "holder",
    "bank",
    "branch",
    "kind",
    "holder_kana",
    "secret",
    "pin",
];

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Card,
    Account,
    Prepaid,
}

impl Members {
    /// Refuses members that instruments of this type do not have.
    fn belong(&self) -> Result<(), InvalidInstrument> {
        const FOREIGN: &str = "does not belong to an instrument of this type";
        let (card, account, prepaid) = (Kind::Card, Kind::Account, Kind::Prepaid);
        let members = [
            ("expiry_year", self.expiry_year.is_some(), card),
            ("expiry_month", self.expiry_month.is_some(), card),
            ("security_code", self.security_code.is_some(), card),
            ("holder", self.holder.is_some(), card),
            ("bank", self.bank.is_some(), account),
            ("branch", self.branch.is_some(), account),
            ("kind", self.kind.is_some(), account),
            ("holder_kana", self.holder_kana.is_some(), account),
            ("secret", self.secret.is_some(), account),
            ("pin", self.pin.is_some(), prepaid),
        ];
        match members.iter().find(|(_, given, owner)| *given && *owner != self.r#type) {
            Some((field, ..)) => refuse(field, FOREIGN),
            None => Ok(()),
        }
    }
}

fn required<'a, T>(field: &'static str, member: &'a Option<T>) -> Result<&'a T, InvalidInstrument> {
    member.as_ref().ok_or(InvalidInstrument { field, rule: "is missing" })
}

impl TryFrom<Members> for Instrument {
    type Error = InvalidInstrument;

    fn try_from(members: Members) -> Result<Self, InvalidInstrument> {
        members.belong()?;
        let number = required("number", &members.number)?.expose();
        match members.r#type {
            Kind::Card => {
                let year = *required("expiry_year", &members.expiry_year)?;
                let month = *required("expiry_month", &members.expiry_month)?;
                let mut card = Card::new(number, Expiry { year, month })?;
                if let Some(code) = &members.security_code {
                    card = card.with_security_code(code.expose())?;
                }
                if let Some(holder) = &members.holder {
                    card = card.with_holder(holder.expose())?;
                }
                Ok(Self::Card(card))
            }
            Kind::Account => {
                let bank = required("bank", &members.bank)?.expose();
                let branch = required("branch", &members.branch)?.expose();
                let kind = *required("kind", &members.kind)?;
                let mut account = Account::new(bank, branch, kind, number)?;
                if let Some(holder) = &members.holder_kana {
                    account = account.with_holder_kana(holder.expose())?;
                }
                if let Some(secret) = &members.secret {
                    account = account.with_secret(secret.expose())?;
                }
                Ok(Self::Account(account))
            }
            Kind::Prepaid => {
                let mut prepaid = Prepaid::new(number)?;
                if let Some(pin) = &members.pin {
                    prepaid = prepaid.with_pin(pin.expose())?;
                }
                Ok(Self::Prepaid(prepaid))
            }
        }
    }
}

impl From<&Instrument> for Members {
    fn from(instrument: &Instrument) -> Self {
        match instrument {
            Instrument::Card(card) => Self {
                r#type: Kind::Card,
                number: Some(card.number.clone()),
                expiry_year: Some(card.expiry.year),
                expiry_month: Some(card.expiry.month),
                security_code: card.security_code.clone(),
                holder: card.holder.clone(),
                ..Self::default()
            },
            Instrument::Account(account) => Self {
                r#type: Kind::Account,
                number: Some(account.number.clone()),
                bank: Some(account.bank.clone()),
                branch: Some(account.branch.clone()),
                kind: Some(account.kind),
                holder_kana: account.holder_kana.clone(),
                secret: account.secret.clone(),
                ..Self::default()
            },
            Instrument::Prepaid(prepaid) => Self {
                r#type: Kind::Prepaid,
                number: Some(prepaid.number.clone()),
                pin: prepaid.pin.clone(),
                ..Self::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":12,"security_code":"123","holder":"TARO YAMADA"}"#;
    const ACCOUNT: &str = r#"{"type":"account","number":"0012345","bank":"0001","branch":"101","kind":"ordinary","holder_kana":"ヤマダ タロウ","secret":"open sesame"}"#;
    const PREPAID: &str = r#"{"type":"prepaid","number":"PPC000123456","pin":"4649"}"#;

    fn refused(json: &str) -> InvalidInstrument {
        Instrument::from_json(json.as_bytes()).expect_err(json)
    }

    #[test]
    fn the_json_form_travels_whole() {
        for json in [CARD, ACCOUNT, PREPAID] {
            let instrument = Instrument::from_json(json.as_bytes()).unwrap();
            assert_eq!(std::str::from_utf8(&instrument.to_json()).unwrap(), json);
            let padded = instrument.to_plaintext();
            assert_eq!(padded.len(), 512);
            assert!(padded.starts_with(json.as_bytes()));
            assert!(padded[json.len()..].iter().all(|octet| *octet == b' '));
            let again = Instrument::from_plaintext(&*padded).unwrap();
            assert_eq!(*again.to_json(), json.as_bytes());
        }
    }

    #[test]
    fn nothing_secret_prints() {
        for json in [CARD, ACCOUNT, PREPAID] {
            let text = format!("{:?}", Instrument::from_json(json.as_bytes()).unwrap());
            assert!(text.ends_with("([redacted])"), "{text}");
        }
        // A parser's own words would repeat these.
        for json in [
            r#"{"type":"card","number":"4111111111111111","expiry_year":"4111111111111111"}"#,
            r#"{"type":"4111111111111111"}"#,
            r#"{"4111111111111111":1}"#,
            r#""4111111111111111""#,
        ] {
            let error = refused(json);
            assert!(!format!("{error} {error:?}").contains("4111"), "{error:?}");
        }
    }

    #[test]
    fn each_member_has_its_rule() {
        let card = |from: &str, to: &str| refused(&CARD.replace(from, to)).field;
        assert_eq!(card("4111111111111111", "4111111111111112"), "number");
        assert_eq!(card("4111111111111111", "4111 1111 1111 1111"), "number");
        assert_eq!(card("4111111111111111", "00000000000"), "number");
        assert_eq!(card("4111111111111111", "00000000000000000000"), "number");
        assert_eq!(card("4111111111111111", "４１１１１１１１１１１１１１１１"), "number");
        assert_eq!(card("2030", "30"), "expiry_year");
        assert_eq!(card("2030", "2100"), "expiry_year");
        assert_eq!(card("2030", "-1"), "expiry_year");
        assert_eq!(card(":12,", ":0,"), "expiry_month");
        assert_eq!(card(":12,", ":13,"), "expiry_month");
        assert_eq!(card("\"123\"", "\"12\""), "security_code");
        assert_eq!(card("\"123\"", "123"), "security_code");
        assert_eq!(card("TARO YAMADA", "TARO\\nYAMADA"), "holder");
        let account = |from: &str, to: &str| refused(&ACCOUNT.replace(from, to)).field;
        assert_eq!(account("0012345", "012345"), "number");
        assert_eq!(account("\"0001\"", "\"1\""), "bank");
        assert_eq!(account("\"101\"", "\"1o1\""), "branch");
        assert_eq!(account("ordinary", "gold"), "kind");
        assert_eq!(account("ヤマダ タロウ", "山田太郎"), "holder_kana");
        assert_eq!(account("open sesame", "abc"), "secret");
        let prepaid = |from: &str, to: &str| refused(&PREPAID.replace(from, to)).field;
        assert_eq!(prepaid("PPC000123456", "ppc000123456"), "number");
        assert_eq!(prepaid("4649", "46"), "pin");
    }

    #[test]
    fn members_are_those_of_the_type_once_and_no_others() {
        assert_eq!(refused(&PREPAID.replace("pin", "security_code")).field, "security_code");
        assert_eq!(refused(&CARD.replace("holder", "holder_kana")).field, "holder_kana");
        assert_eq!(refused(&CARD.replace("holder", "name")).field, "instrument");
        assert_eq!(refused(&CARD.replace("\"type\":\"card\",", "")).field, "instrument");
        assert_eq!(refused(r#"{"type":"card"}"#).field, "number");
        assert_eq!(refused(&format!("{PREPAID}{PREPAID}")).field, "instrument");
        let twice = PREPAID.replace("\"pin\"", "\"number\":\"PPC000123457\",\"pin\"");
        assert!(Instrument::from_json(twice.as_bytes()).is_err());
        assert!(Instrument::from_json("[".repeat(10_000).as_bytes()).is_err());
        let list =
            r#"["prepaid","PPC000123456",null,null,null,null,null,null,null,null,null,null]"#;
        assert_eq!(refused(list).field, "instrument");
    }

    #[test]
    fn padding_is_spaces_only() {
        for wrong in ["", "   ", "{}\n", " {}", "{} x", "[]"] {
            assert!(Instrument::from_plaintext(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        let tab = format!("{PREPAID}\t  ");
        assert!(Instrument::from_plaintext(tab.as_bytes()).is_err());
    }

    #[test]
    fn the_longest_instruments_fit() {
        let holder = "\"".repeat(45); // Each quote takes two octets in JSON.
        let card = Card::new("0000000000000000000", Expiry { year: 2099, month: 12 })
            .and_then(|card| card.with_security_code("9999"))
            .and_then(|card| card.with_holder(&holder))
            .unwrap();
        assert!(Instrument::Card(card).to_json().len() <= 512);
        let account = Account::new("9999", "999", AccountKind::Ordinary, "9999999")
            .and_then(|account| account.with_holder_kana(&"ヤ".repeat(30)))
            .and_then(|account| account.with_secret(&"\\".repeat(64)))
            .unwrap();
        assert!(Instrument::Account(account).to_json().len() <= 512);
        let prepaid = Prepaid::new(&"Z".repeat(32)).and_then(|p| p.with_pin("123456789012"));
        assert!(Instrument::Prepaid(prepaid.unwrap()).to_json().len() <= 512);
    }

    #[test]
    fn luhn_knows_published_test_numbers() {
        for good in ["4111111111111111", "5555555555554444", "378282246310005", "79927398713"] {
            assert!(luhn(good), "{good}");
        }
        for wrong in ["4111111111111112", "5555555555554443", "79927398710", "1411111111111111"] {
            assert!(!luhn(wrong), "{wrong}");
        }
    }
}
