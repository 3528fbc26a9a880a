//! What a host gives, read from JSON.
//!
//! One reader knows JSON, and each type picks its parts from what was read. A reader of each type's own,
//! as serde derives it, is many times the code, and a page downloads all of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use pos_connect::protocol::text::fixed_from_base64url;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Any JSON.
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number from 0 on.
    Whole(u64),
    /// Below zero, with a fraction or too large: nothing here is such a number.
    OtherNumber,
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// By their names, in the order of the text; a name may be there twice.
    Object(Vec<(String, Self)>),
}

impl Json {
    pub(crate) fn read(text: &str) -> Result<Self, Wrong> {
        let mut names = Vec::new();
        // As octets, which is how answers come: the parser of texts is another one.
        let mut reader = serde_json::Deserializer::from_slice(text.as_bytes());
        let read = Reader(&mut names).deserialize(&mut reader);
        read.and_then(|json| reader.end().map(|()| json)).map_err(|cause| {
            let sentence = cause.to_string();
            let why = sentence.split(" at line ").next().unwrap_or(&sentence);
            Wrong::new(format!("is no JSON: {why}")).within(&names.join("."))
        })
    }

    /// Makes something of an object, which must have no fields but those that are taken.
    ///
    /// # Errors
    /// Where and how it is wrong.
    pub fn fields<T>(self, made: impl FnOnce(&mut Fields) -> Result<T, Wrong>) -> Result<T, Wrong> {
        let mut fields = Fields(self.object()?);
        let made = made(&mut fields)?;
        match fields.0.first() {
            None => Ok(made),
            Some((name, _)) => Err(Wrong::new("is unknown").within(name)),
        }
    }

    /// What a word stands for.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Wrong> {
        if let Self::Text(text) = self
            && let Some((_, found)) = words.iter().find(|(word, _)| word == text)
        {
            return Ok(*found);
        }
        let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Err(Wrong::new(format!("must be one of {}", words.join(", "))))
    }

    fn object(self) -> Result<Vec<(String, Self)>, Wrong> {
        match self {
            Self::Object(fields) => Ok(fields),
            _ => Err(Wrong::new("must be an object")),
        }
    }
}

/// What can be read from what a host gives.
pub trait FromJson: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// Where and how it is wrong.
    fn from_json(json: Json) -> Result<Self, Wrong>;

    /// What it is where it was left out.
    ///
    /// # Errors
    /// `is missing`, for what may not be left out.
    fn left_out() -> Result<Self, Wrong> {
        Err(Wrong::new("is missing"))
    }
}

/// What is not as it must be: `rule` completes the sentence that `path` begins. What stood there is
/// never in it, because it may be a secret.
pub struct Wrong(Box<Sentence>);

struct Sentence {
    /// From the outermost field to the one that is wrong; empty for the whole.
    path: String,
    rule: Cow<'static, str>,
}

impl Wrong {
    fn new(rule: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Sentence { path: String::new(), rule: rule.into() }))
    }

    pub(crate) fn path(&self) -> &str {
        &self.0.path
    }

    pub(crate) fn rule(&self) -> &str {
        &self.0.rule
    }

    /// The same, seen from further out.
    pub(crate) fn within(mut self, name: &str) -> Self {
        let between = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = [name, between, &self.0.path].concat();
        self
    }
}

/// The fields of an object that have not been taken yet.
pub struct Fields(Vec<(String, Json)>);

impl Fields {
    /// The field of this name.
    ///
    /// # Errors
    /// Where and how it is wrong.
    pub fn take<T: FromJson>(&mut self, name: &str) -> Result<T, Wrong> {
        let taken = self.taken(name)?;
        taken.map_or_else(T::left_out, T::from_json).map_err(|wrong| wrong.within(name))
    }

    /// The same where it may be left out.
    pub(crate) fn take_or_default<T: FromJson + Default>(
        &mut self,
        name: &str,
    ) -> Result<T, Wrong> {
        let taken = self.taken(name)?;
        taken.map_or_else(|| Ok(T::default()), T::from_json).map_err(|wrong| wrong.within(name))
    }

    /// A number that can be no other.
    pub(crate) fn take_only(&mut self, name: &str, only: u8) -> Result<(), Wrong> {
        match self.take::<u8>(name)? {
            found if found == only => Ok(()),
            _ => Err(Wrong::new(format!("must be {only}")).within(name)),
        }
    }

    /// A text with a form of its own.
    pub(crate) fn take_parsed<T>(&mut self, name: &str) -> Result<T, Wrong>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text: String = self.take(name)?;
        text.parse().map_err(|rule: T::Err| Wrong::new(rule.to_string()).within(name))
    }

    /// So many octets.
    pub(crate) fn take_octets<const N: usize>(&mut self, name: &str) -> Result<[u8; N], Wrong> {
        let text: String = self.take(name)?;
        fixed_from_base64url(&text).ok_or_else(|| {
            Wrong::new(format!("must be {N} octets in base64url without padding")).within(name)
        })
    }

    /// Takes all other fields, whatever they are.
    pub(crate) fn ignore_the_rest(&mut self) {
        self.0.clear();
    }

    /// One of several kinds of objects, by the word that is their `type`.
    ///
    /// # Errors
    /// Where and how it is wrong.
    pub fn variant<T>(&mut self, variants: &[(&str, Variant<T>)]) -> Result<T, Wrong> {
        let word = self.taken("type")?.ok_or_else(|| Wrong::new("is missing"));
        let made =
            word.and_then(|word| word.one_of(variants)).map_err(|wrong| wrong.within("type"));
        made?(self)
    }

    fn taken(&mut self, name: &str) -> Result<Option<Json>, Wrong> {
        let Some(at) = self.0.iter().position(|(found, _)| found == name) else { return Ok(None) };
        let (_, taken) = self.0.remove(at);
        if self.0.iter().any(|(found, _)| found == name) {
            return Err(Wrong::new("is there twice").within(name));
        }
        Ok(Some(taken))
    }
}

/// Makes one kind of object of what its `type` leaves.
pub type Variant<T> = fn(&mut Fields) -> Result<T, Wrong>;

/// A field by its name here, or by that of JavaScript.
#[cfg(not(target_arch = "wasm32"))]
macro_rules! name {
    ($here:literal, $of_js:literal) => {
        $here
    };
}
#[cfg(target_arch = "wasm32")]
macro_rules! name {
    ($here:literal, $of_js:literal) => {
        $of_js
    };
}
pub(crate) use name;

impl FromJson for String {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        match json {
            Json::Text(text) => Ok(text),
            _ => Err(Wrong::new("must be a string")),
        }
    }
}

impl FromJson for bool {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        match json {
            Json::Bool(is_so) => Ok(is_so),
            _ => Err(Wrong::new("must be a boolean")),
        }
    }
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl FromJson for $number {
            fn from_json(json: Json) -> Result<Self, Wrong> {
                let whole = if let Json::Whole(whole) = json { whole.try_into().ok() } else { None };
                whole.ok_or_else(|| Wrong::new(concat!("must be ", stringify!($number))))
            }
        }
    )*};
}

numbers! { u8 u16 u32 u64 }

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        match json {
            Json::Null => Ok(None),
            json => T::from_json(json).map(Some),
        }
    }

    fn left_out() -> Result<Self, Wrong> {
        Ok(None)
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        let Json::List(list) = json else { return Err(Wrong::new("must be a list")) };
        let read =
            |(at, json)| T::from_json(json).map_err(|wrong| wrong.within(&format!("[{at}]")));
        list.into_iter().enumerate().map(read).collect()
    }
}

impl<T: FromJson> FromJson for HashMap<String, T> {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        let mut map = Self::new();
        for (name, json) in json.object()? {
            if map.contains_key(&name) {
                return Err(Wrong::new("is there twice").within(&name));
            }
            let value = T::from_json(json).map_err(|wrong| wrong.within(&name))?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// Reads any JSON, with the names of the fields that it is in: they stay where the text is broken.
struct Reader<'a>(&'a mut Vec<String>);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, is_so: bool) -> Result<Json, E> {
        Ok(Json::Bool(is_so))
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Json, E> {
        Ok(Json::Whole(whole))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(json) = list.next_element_seed(Reader(self.0))? {
            read.push(json);
        }
        Ok(Json::List(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(name) = fields.next_key()? {
            self.0.push(name);
            let json = fields.next_value_seed(Reader(self.0))?;
            read.extend(self.0.pop().map(|name| (name, json)));
        }
        Ok(Json::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, HistoryQuery, Instrument, Language};

    /// Where it is wrong and how, or nothing.
    fn wrong<T: FromJson>(text: &str) -> Option<String> {
        let wrong = Json::read(text).and_then(T::from_json).err()?;
        Some(format!("{} {}", wrong.path(), wrong.rule()))
    }

    fn right<T: FromJson>(text: &str) -> T {
        Json::read(text).and_then(T::from_json).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_number_is_whole_and_fits() {
        assert_eq!(right::<u64>("9223372036854775808"), 1 << 63);
        assert_eq!(right::<u64>("18446744073709551615"), u64::MAX);
        assert_eq!((right::<u8>("255"), right::<u16>("0")), (255, 0));
        for other in [
            "18446744073709551616",
            "-1",
            "-0",
            "1.0",
            "1.5",
            "1e3",
            "1e400",
            "\"1\"",
            "null",
            "[1]",
        ] {
            let refused = wrong::<u64>(other);
            let is_refused = refused.as_deref().is_some_and(|why| why.starts_with(" must be u64"));
            assert!(is_refused || other == "1e400", "{other}: {refused:?}");
        }
        assert_eq!(wrong::<u64>("1e400").unwrap(), " is no JSON: number out of range");
        assert_eq!(wrong::<u64>("NaN").unwrap(), " is no JSON: expected value");
        assert_eq!(wrong::<u8>("256").unwrap(), " must be u8");
        assert_eq!(wrong::<u32>("4294967296").unwrap(), " must be u32");
    }

    #[test]
    fn what_may_be_left_out_is_none_off_or_empty() {
        let url = r#"{"server_url":"u""#;
        let config: Config = right(&format!(r#"{url},"proxy":null,"language":"japanese"}}"#));
        assert!(matches!(config, Config { language: Some(Language::Japanese), proxy: None, .. }));
        assert!(config.seal_roots.is_empty());
        let refused = wrong::<Config>(&format!(r#"{url},"seal_roots":null}}"#));
        assert_eq!(refused.unwrap(), "seal_roots must be an object");
        let order =
            r#"{"contract_id":"c","order_id":"o","amount":1,"currency":"JPY","envelope":"{}""#;
        assert!(!right::<crate::Order>(&format!("{order}}}")).allow_partial);
        let refused = wrong::<crate::Order>(&format!(r#"{order},"allow_partial":null}}"#));
        assert_eq!(refused.unwrap(), "allow_partial must be a boolean");
        assert_eq!(right::<HistoryQuery>("{}"), HistoryQuery::default());
    }

    #[test]
    fn what_is_wrong_is_named_from_the_outside_and_never_repeated() {
        let map = wrong::<HashMap<String, Vec<String>>>;
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        for (found, named) in [
            (map(r#"{"a":["b"],"c":["d",4111]}"#), "c[1] must be a string"),
            (map(r#"{"a":"4111"}"#), "a must be a list"),
            (map(r#"{"a":[],"a":[]}"#), "a is there twice"),
            (map(r#"{"a":["\ud800"]}"#), "a is no JSON: unexpected end of hex escape"),
            (map(&format!(r#"{{"a":{deep}}}"#)), "a is no JSON: recursion limit exceeded"),
            (map("[]"), " must be an object"),
            (map("{} 4111"), " is no JSON: trailing characters"),
            (wrong::<Config>(r#"{"proxy":"4111"}"#), "server_url is missing"),
            (
                wrong::<Config>(r#"{"server_url":"4111","server_url":"4111"}"#),
                "server_url is there twice",
            ),
            (wrong::<Config>(r#"{"server_url":"u","tip":"4111"}"#), "tip is unknown"),
            (
                wrong::<Config>(r#"{"server_url":"u","language":"4111"}"#),
                "language must be one of `english`, `japanese`",
            ),
            (
                wrong::<Config>(r#"{"server_url":"u","seal_roots":{"b":4111}}"#),
                "seal_roots.b must be a string",
            ),
            (wrong::<Instrument>(r#"{"number":"4111"}"#), "type is missing"),
            (
                wrong::<Instrument>(r#"{"type":4111,"number":"4111"}"#),
                "type must be one of `card`, `account`, `prepaid`",
            ),
            (
                wrong::<Instrument>(r#"{"type":"prepaid","number":"4111","name":"4111"}"#),
                "name is unknown",
            ),
            (
                wrong::<Instrument>(
                    r#"{"type":"card","number":"4111","expiry_year":70000,"expiry_month":1}"#,
                ),
                "expiry_year must be u16",
            ),
        ] {
            assert_eq!(found.as_deref(), Some(named));
        }
    }
}
