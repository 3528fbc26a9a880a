//! Bodies of the institution protocol, both ways.

use std::fmt::Debug;

use pos_protocol::institution::{
    self, Body, CheckAnswer, CheckRequest, InstitutionError, InstitutionInfo, InvalidBody,
    OperationAnswer, OperationRequest, ReversalAnswer, ReversalRequest,
};
use pos_protocol::seal::{SealKeySet, SignedSealKeySet};
use serde::de::IgnoredAny;

pub(super) fn institution(octets: &[u8]) {
    body::<OperationRequest>(octets);
    body::<OperationAnswer>(octets);
    body::<ReversalRequest>(octets);
    body::<ReversalAnswer>(octets);
    body::<CheckRequest>(octets);
    body::<CheckAnswer>(octets);
    body::<InstitutionInfo>(octets);
    body::<InstitutionError>(octets);
    body::<SignedSealKeySet>(octets);
    body::<SealKeySet>(octets);
}

fn body<T: Body + PartialEq + Debug>(octets: &[u8]) {
    match institution::parse::<T>(octets) {
        Ok(read) => {
            let text = std::str::from_utf8(octets).expect("JSON is UTF-8");
            assert!(text.trim_ascii_start().starts_with('{'));
            assert!(serde_json::from_str::<IgnoredAny>(text).is_ok());
            let written = institution::to_json(&read);
            let again = institution::parse::<T>(&written).expect("what is written can be read");
            assert_eq!(again, read);
            assert_eq!(institution::to_json(&again), written);
        }
        Err(InvalidBody::Field { message, .. } | InvalidBody::Json { message }) => {
            assert!(!message.is_empty());
        }
        Err(InvalidBody::TooLarge { found, most }) => {
            assert!(found > most && found == octets.len())
        }
    }
}
