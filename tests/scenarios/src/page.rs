//! The shopper's page of a scenario in which the runner's clock is off: its own clock is right.

use pos_connect::SignedSealKeySet;
use pos_connect::Timestamp;
use pos_connect::env::System;
use pos_connect::protocol::key::PublicKey;
use serde_json::{Map, Value};

use crate::flow::{Ordered, ServerClock};
use crate::rust::read::{Arguments, Refused};

/// Seals by the server's clock what the runner would have been asked to seal by its own.
pub(crate) fn seal(arguments: &Ordered, clock: ServerClock) -> Result<String, String> {
    let named: Map<String, Value> = arguments.0.iter().cloned().collect();
    let why = |refused: Refused| match refused {
        Refused::By(class) => class,
        Refused::Untold(why) => why.to_owned(),
    };
    let arguments = Arguments(&named);
    let instrument = arguments.instrument("instrument").map_err(why)?;
    let binding = arguments.record("binding").and_then(Arguments::binding).map_err(why)?;
    let keys: SignedSealKeySet = arguments.json_text("seal_keys").map_err(why)?;
    let root: PublicKey = arguments.parsed("seal_root").map_err(why)?;
    let now = Timestamp::from_ms(clock.now_ms());
    let set = keys.verify(&root, &binding.institution, now, 0);
    let set = set.map_err(|cause| cause.to_string())?;
    let envelope = pos_connect::seal_at(&instrument, &binding, &set, now, &System);
    let envelope = envelope.map_err(|cause| cause.to_string())?;
    serde_json::to_string(&envelope).map_err(|cause| cause.to_string())
}
