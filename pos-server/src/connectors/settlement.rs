//! What institutions' settlement files say, whatever their form: which day, and which money movements.

use std::io::{self, BufRead};

use pos_protocol::Timestamp;
use pos_protocol::id::{ContractNumber, InstitutionId, OperationId, OrderId};
use pos_protocol::money::{Amount, Currency};
use pos_protocol::payment::OperationKind;
use serde::{Deserialize, Serialize};

use super::institution_protocol;
use crate::store::rows::SettlementDay;

/// A form of settlement files. A connector says which its institution writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementFormat {
    /// The CSV of the institution protocol (`docs/INSTITUTION.md` 11).
    InstitutionProtocol,
}

impl SettlementFormat {
    /// Reads a file's head. The lines are read as they are asked for: a file of any length takes the
    /// memory of one line.
    ///
    /// # Errors
    /// [`SettlementError`] names the line at fault.
    pub fn open<'a>(
        self,
        input: impl BufRead + 'a,
    ) -> Result<Box<dyn SettlementFile + 'a>, SettlementError> {
        match self {
            Self::InstitutionProtocol => {
                Ok(Box::new(institution_protocol::settlement::File::open(input)?))
            }
        }
    }
}

/// An opened file. It gives its lines in the order of the operations' ids, each operation once. The
/// last is followed by nothing only where the file is whole: one that was cut off ends with an error.
pub trait SettlementFile: Iterator<Item = Result<SettlementLine, SettlementError>> {
    /// Whose file this is, and of which day.
    fn head(&self) -> &SettlementHead;
}

/// Whose file it is, and of which day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementHead {
    /// The institution, as it calls itself.
    pub institution: InstitutionId,
    /// The day.
    pub day: SettlementDay,
    /// Its first moment, by the institution's clock.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// A money movement that the institution made on that day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementLine {
    /// The operation.
    pub operation_id: OperationId,
    /// What it moved.
    pub kind: OperationKind,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's order.
    pub order_id: OrderId,
    /// The institution's own reference, where the file has one.
    pub reference: Option<String>,
    /// How much was moved, in minor units.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// When, by the institution's clock.
    pub time: Timestamp,
}

/// Why a settlement file cannot be taken. Nothing of it counts then.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// The control line does not fit what stands before it.
    #[error(
        "line {line}: the control line says {told} and the lines before it come to {found}: the file \
         is not whole, have it sent again"
    )]
    Control {
        /// The line, from 1.
        line: u64,
        /// What the control line says.
        told: String,
        /// What was counted.
        found: String,
    },
    /// The file ends without its control line.
    #[error(
        "the file ends in line {line} without its control line: it was cut off, have it sent again"
    )]
    CutOff {
        /// The last line, from 1.
        line: u64,
    },
    /// A field cannot be read.
    #[error("line {line}, column {column}: {problem}")]
    Field {
        /// The line, from 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// What it must be.
        problem: String,
    },
    /// A line is not of the form of a file of this kind.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What it must be.
        problem: &'static str,
    },
    /// The file could not be read.
    #[error("the settlement file could not be read: {0}")]
    Read(#[from] io::Error),
}
