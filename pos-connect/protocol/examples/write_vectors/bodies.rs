//! Bodies of `tests/vectors/wire.json` in calls and answers that are shown whole.

use pos_protocol::wire::OperationView;
use serde_json::Value;

/// The body of the request of this name.
pub(crate) fn request(name: &str) -> &'static str {
    let body = found("requests", name);
    body.as_str().expect("a request's body is a text").to_owned().leak()
}

/// The answer of this name as the server writes it.
pub(crate) fn operation(name: &str) -> &'static str {
    let view: OperationView = serde_json::from_value(found("answers", name)).expect("an operation");
    serde_json::to_string(&view).expect("a wire type has a JSON form").leak()
}

fn found(list: &str, name: &str) -> Value {
    let file = include_str!("../../../../tests/vectors/wire.json");
    let file: Value = serde_json::from_str(file).expect("the file is JSON");
    let mut cases = file[list].as_array().expect("a list").iter();
    let case = cases.find(|case| case["name"] == name);
    case.unwrap_or_else(|| panic!("{list}: {name}"))["body"].clone()
}
