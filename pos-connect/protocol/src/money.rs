//! Money: an integer of minor units with an ISO 4217 currency. No floats, no defaults.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest amount of one operation, in minor units: twelve digits, as ISO 8583 field 4 has.
pub const MAX_AMOUNT: u64 = 999_999_999_999;

/// An amount of one operation: 1 to 999,999,999,999 minor units. In JSON a plain integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(value_type = u64, minimum = 1, maximum = 999_999_999_999_u64, example = 1200)
)]
#[serde(transparent)]
pub struct Amount(u64);

/// Why a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a whole number of minor units from 1 to 999999999999 (1200 is ¥1,200 in JPY and \
     €12.00 in EUR)"
)]
pub struct InvalidAmount;

impl Amount {
    /// An amount of `minor` minor units.
    ///
    /// # Errors
    /// [`InvalidAmount`] for 0 and for more than twelve digits.
    pub const fn new(minor: u64) -> Result<Self, InvalidAmount> {
        if minor >= 1 && minor <= MAX_AMOUNT { Ok(Self(minor)) } else { Err(InvalidAmount) }
    }

    /// Minor units.
    pub const fn minor(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&InvalidAmount, f)
            }

            fn visit_u64<E: serde::de::Error>(self, minor: u64) -> Result<Amount, E> {
                Amount::new(minor).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Amount, E> {
                Err(E::custom(InvalidAmount)) // Positive numbers arrive as u64.
            }

            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Amount, E> {
                Err(E::custom(InvalidAmount))
            }
        }

        deserializer.deserialize_u64(Visitor)
    }
}

/// An amount in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// How much, in minor units of the currency.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
}

/// Why a decimal text is not money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecimal {
    /// Not digits with at most one point.
    #[error("must be digits with at most one decimal point, such as 12.50")]
    Malformed,
    /// Zero, or more than twelve digits of minor units.
    #[error("the amount is out of range: {0}")]
    OutOfRange(#[from] InvalidAmount),
    /// More decimals than the currency has.
    #[error("{currency} has {exponent} decimals: write the amount with no more than that")]
    TooPrecise {
        /// The currency meant.
        currency: Currency,
        /// How many decimals it has.
        exponent: u8,
    },
}

impl Money {
    /// `minor` minor units of `currency`.
    ///
    /// # Errors
    /// [`InvalidAmount`] for 0 and for more than twelve digits.
    pub fn new(minor: u64, currency: Currency) -> Result<Self, InvalidAmount> {
        Ok(Self { amount: Amount::new(minor)?, currency })
    }

    /// Reads a price as people write it: `"12.50"` EUR is 1250 minor units, `"12.50"` JPY is
    /// refused because the yen has no decimals. Nothing is rounded.
    ///
    /// # Errors
    /// [`InvalidDecimal`] says what was wrong with the text.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, InvalidDecimal> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let pointless = whole.is_empty() || (text.contains('.') && fraction.is_empty());
        if pointless || !digits(whole) || !digits(fraction) {
            return Err(InvalidDecimal::Malformed);
        }
        let exponent = currency.exponent();
        let width = usize::from(exponent);
        if fraction.len() > width {
            return Err(InvalidDecimal::TooPrecise { currency, exponent });
        }
        let minor = format!("{whole}{fraction:0<width$}").parse().map_err(|_| InvalidAmount)?;
        Ok(Self::new(minor, currency)?)
    }
}

impl fmt::Display for Money {
    /// `12.50 EUR`, `1200 JPY`: for people, with the currency's own decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency.decimal(self.amount.minor()), self.currency)
    }
}

/// Why a text is not a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 code of three capital letters that is in use, such as JPY")]
pub struct InvalidCurrency;

macro_rules! currencies {
    ($($code:ident $number:literal $exponent:literal)*) => {
        /// A currency of ISO 4217 that money is paid in (funds, metals and test codes left out).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the ISO 4217 code says it")]
        pub enum Currency { $($code = $number),* }

        impl Currency {
            /// Every currency of the list.
            pub const EVERY: &'static [Self] = &[$(Self::$code),*];

            /// The three letters.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$code => stringify!($code)),* }
            }

            /// How many decimals the minor unit has: 0 for JPY, 2 for EUR, 3 for BHD.
            pub const fn exponent(self) -> u8 {
                match self { $(Self::$code => $exponent),* }
            }
        }
    };
}

#[cfg(feature = "openapi")]
crate::openapi::text_schema!(
    Currency,
    crate::openapi::closed_text(
        "A currency of ISO 4217 by its three letters.",
        Self::EVERY.iter().map(|one| one.code()),
    )
);

// ISO 4217 list one as amended to 2026: code, number, decimals.
currencies! {
    AED 784 2 AFN 971 2 ALL 8 2 AMD 51 2 AOA 973 2 ARS 32 2 AUD 36 2 AWG 533 2 AZN 944 2
    BAM 977 2 BBD 52 2 BDT 50 2 BHD 48 3 BIF 108 0 BMD 60 2 BND 96 2 BOB 68 2 BRL 986 2
    BSD 44 2 BTN 64 2 BWP 72 2 BYN 933 2 BZD 84 2 CAD 124 2 CDF 976 2 CHF 756 2 CLP 152 0
    CNY 156 2 COP 170 2 CRC 188 2 CUP 192 2 CVE 132 2 CZK 203 2 DJF 262 0 DKK 208 2 DOP 214 2
    DZD 12 2 EGP 818 2 ERN 232 2 ETB 230 2 EUR 978 2 FJD 242 2 FKP 238 2 GBP 826 2 GEL 981 2
    GHS 936 2 GIP 292 2 GMD 270 2 GNF 324 0 GTQ 320 2 GYD 328 2 HKD 344 2 HNL 340 2 HTG 332 2
    HUF 348 2 IDR 360 2 ILS 376 2 INR 356 2 IQD 368 3 IRR 364 2 ISK 352 0 JMD 388 2 JOD 400 3
    JPY 392 0 KES 404 2 KGS 417 2 KHR 116 2 KMF 174 0 KPW 408 2 KRW 410 0 KWD 414 3 KYD 136 2
    KZT 398 2 LAK 418 2 LBP 422 2 LKR 144 2 LRD 430 2 LSL 426 2 LYD 434 3 MAD 504 2 MDL 498 2
    MGA 969 2 MKD 807 2 MMK 104 2 MNT 496 2 MOP 446 2 MRU 929 2 MUR 480 2 MVR 462 2 MWK 454 2
    MXN 484 2 MYR 458 2 MZN 943 2 NAD 516 2 NGN 566 2 NIO 558 2 NOK 578 2 NPR 524 2 NZD 554 2
    OMR 512 3 PAB 590 2 PEN 604 2 PGK 598 2 PHP 608 2 PKR 586 2 PLN 985 2 PYG 600 0 QAR 634 2
    RON 946 2 RSD 941 2 RUB 643 2 RWF 646 0 SAR 682 2 SBD 90 2 SCR 690 2 SDG 938 2 SEK 752 2
    SGD 702 2 SHP 654 2 SLE 925 2 SOS 706 2 SRD 968 2 SSP 728 2 STN 930 2 SVC 222 2 SYP 760 2
    SZL 748 2 THB 764 2 TJS 972 2 TMT 934 2 TND 788 3 TOP 776 2 TRY 949 2 TTD 780 2 TWD 901 2
    TZS 834 2 UAH 980 2 UGX 800 0 USD 840 2 UYU 858 2 UZS 860 2 VED 926 2 VES 928 2 VND 704 0
    VUV 548 0 WST 882 2 XAF 950 0 XCD 951 2 XCG 532 2 XOF 952 0 XPF 953 0 YER 886 2 ZAR 710 2
    ZMW 967 2 ZWG 924 2
}

impl Currency {
    /// The ISO 4217 number, 392 for JPY.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The currency with this ISO 4217 number, as a database keeps it.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::EVERY.iter().copied().find(|known| known.number() == number)
    }

    /// Writes minor units with the currency's decimals: 1250 is `12.50` in EUR, `1250` in JPY.
    pub fn decimal(self, minor: u64) -> String {
        let exponent = usize::from(self.exponent());
        if exponent == 0 {
            return minor.to_string();
        }
        let digits = format!("{minor:0>width$}", width = exponent.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(exponent));
        format!("{whole}.{fraction}")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let at = Self::EVERY.binary_search_by(|known| known.code().cmp(text));
        at.ok().and_then(|at| Self::EVERY.get(at)).copied().ok_or(InvalidCurrency)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_and_of_one_to_twelve_digits() {
        assert_eq!(
            serde_json::from_str::<Amount>("999999999999").unwrap().minor(),
            999_999_999_999
        );
        assert_eq!(serde_json::from_str::<Amount>("1").unwrap().minor(), 1);
        for wrong in [
            "0",
            "-1",
            "1.5",
            "12.0",
            "1e3",
            "1000000000000",
            "18446744073709551616",
            "\"5\"",
            "null",
        ] {
            let error = serde_json::from_str::<Amount>(wrong).unwrap_err().to_string();
            assert!(error.contains("minor units from 1 to 999999999999"), "{wrong}: {error}");
        }
    }

    #[test]
    fn decimals_follow_the_currency_and_nothing_is_rounded() {
        let read = |text, currency| Money::from_decimal(text, currency);
        assert_eq!(read("12.50", Currency::EUR).unwrap().amount.minor(), 1250);
        assert_eq!(read("12.5", Currency::EUR).unwrap().amount.minor(), 1250);
        assert_eq!(read("12", Currency::EUR).unwrap().amount.minor(), 1200);
        assert_eq!(read("0.001", Currency::BHD).unwrap().amount.minor(), 1);
        assert_eq!(read("1200", Currency::JPY).unwrap().amount.minor(), 1200);
        assert_eq!(
            read("12.50", Currency::JPY),
            Err(InvalidDecimal::TooPrecise { currency: Currency::JPY, exponent: 0 })
        );
        for wrong in ["", ".", "12.", ".5", "-1", "1,000", "１２", "1e3", "NaN", "1.2.3"] {
            assert_eq!(read(wrong, Currency::EUR), Err(InvalidDecimal::Malformed), "{wrong}");
        }
        for wrong in ["0", "0.00", "10000000000.00", "99999999999999999999999"] {
            assert!(matches!(read(wrong, Currency::EUR), Err(InvalidDecimal::OutOfRange(_))));
        }
    }

    #[test]
    fn money_prints_with_its_own_decimals() {
        assert_eq!(Money::new(1250, Currency::EUR).unwrap().to_string(), "12.50 EUR");
        assert_eq!(Money::new(5, Currency::EUR).unwrap().to_string(), "0.05 EUR");
        assert_eq!(Money::new(1200, Currency::JPY).unwrap().to_string(), "1200 JPY");
        assert_eq!(Money::new(1, Currency::KWD).unwrap().to_string(), "0.001 KWD");
    }

    #[test]
    fn the_currency_table_is_read_from_both_sides() {
        assert_eq!("JPY".parse(), Ok(Currency::JPY));
        assert_eq!(Currency::from_number(978), Some(Currency::EUR));
        for wrong in ["jpy", "XXX", "XAU", "HRK", "", "JPYY"] {
            assert_eq!(wrong.parse::<Currency>(), Err(InvalidCurrency), "{wrong}");
        }
        assert!(Currency::EVERY.is_sorted_by_key(|one| one.code()), "found by halving");
        for (at, one) in Currency::EVERY.iter().enumerate() {
            let twin = Currency::EVERY.iter().position(|other| other.number() == one.number());
            assert_eq!(twin, Some(at), "{one} shares its number");
        }
    }
}
