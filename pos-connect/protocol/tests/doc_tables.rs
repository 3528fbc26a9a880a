//! The tables of `docs/PROTOCOL.md` and `docs/ERRORS.md` are those of the code: routes, bodies, limits,
//! error codes, reasons; and the bodies shown are test vectors.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

use std::collections::{BTreeMap, BTreeSet};

use pos_protocol::{Amount, seal, sign, succession, wire};
use serde_json::Value;

fn read(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    std::fs::read_to_string(format!("{root}{path}")).unwrap()
}

fn protocol() -> String {
    read("docs/PROTOCOL.md")
}

/// The document that the server makes of its routes; CI compares the file with it.
fn openapi() -> Value {
    serde_json::from_str(&read("docs/openapi.json")).unwrap()
}

/// The cells of the table rows behind `heading`, the table's head and rule left out.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, behind) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let table = behind.lines().skip_while(|line| !line.starts_with('|'));
    let table = table.take_while(|line| line.starts_with('|')).skip(2);
    table.map(|line| line.trim_matches('|').split(" |").map(str::trim).collect()).collect()
}

fn plain(cell: &str) -> &str {
    cell.trim_matches('`')
}

#[test]
fn the_table_of_routes_is_the_servers() {
    let page = protocol();
    let rows = rows(&page, "\n## Routes\n");
    let told: BTreeSet<_> = rows.iter().map(|row| (plain(row[0]), plain(row[1]))).collect();
    let document = openapi();
    let mut served = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let upper = if method == "get" { "GET" } else { "POST" };
            served.insert((upper, path.as_str()));
            let row = rows.iter().find(|row| (plain(row[0]), plain(row[1])) == (upper, path));
            check_route(row.unwrap_or_else(|| panic!("{upper} {path} is missing")), operation);
        }
    }
    assert_eq!(told, served);
    // The constants that both sides build their addresses from.
    let source = read("pos-connect/protocol/src/wire/mod.rs");
    let (_, routes) = source.split_once("pub mod route").unwrap();
    let constants = routes.split("&str = \"").skip(1).map(|text| text.split('"').next().unwrap());
    assert_eq!(constants.collect::<BTreeSet<_>>(), told.iter().map(|(_, path)| *path).collect());
}

/// By, key, query, body and answers of one route.
fn check_route(row: &[&str], operation: &Value) {
    let [_, path, by, key, query, body, answers, own] = row else { panic!("{row:?}") };
    let named = |place: &str| -> Vec<&str> {
        let all = operation["parameters"].as_array().into_iter().flatten();
        all.filter(|one| one["in"] == place).map(|one| one["name"].as_str().unwrap()).collect()
    };
    let headers = named("header");
    assert_eq!(*key == "yes", headers.contains(&"Idempotency-Key"), "{path}: key");
    let caller = match operation["description"].as_str().unwrap() {
        "Unsigned." => "anybody",
        "Signed by the key in the body." => "its own key",
        _ => "shop's key",
    };
    assert_eq!(*by, caller, "{path}: by");
    let told: Vec<_> = query.split(", ").map(plain).filter(|name| !name.is_empty()).collect();
    assert_eq!(told, named("query"), "{path}: query");
    let taken = schema_of(&operation["requestBody"]);
    let empty = ["SignOutRequest", "RevokeKeyRequest", "VoidRequest"];
    match taken {
        None => assert_eq!(*body, "", "{path}: body"),
        Some(name) if empty.contains(&name) => assert_eq!(plain(body), "{}", "{path}: body"),
        Some(name) => assert!(body.starts_with(&format!("[`{name}`]")), "{path}: body"),
    }
    let given = schema_of(&operation["responses"]["200"]);
    assert!(given.is_none_or(|name| answers.contains(&format!("[`{name}`]"))), "{path}: answers");
    let open = operation["responses"]["202"].is_object();
    assert!(answers.starts_with(if open { "200, 202" } else { "200" }), "{path}: statuses");
    assert_eq!(answers.contains("202"), open, "{path}: statuses");
    if caller == "anybody" {
        return;
    }
    let page = protocol();
    let shared = rows(&page, "\nBeside the codes of its own,");
    let fits = |what: &str| match what {
        "all signed routes" => true,
        "calls by a shop's key" => caller == "shop's key",
        "calls with a key" => *key == "yes",
        "calls with a body" => taken.is_some(),
        other => panic!("{other}"),
    };
    let lists = shared.iter().filter(|row| fits(row[0])).map(|row| row[1]).chain([*own]);
    let codes = lists.flat_map(|list| list.split(", ")).map(plain).filter(|code| !code.is_empty());
    let told: BTreeSet<_> = codes.collect();
    let served: BTreeSet<_> = operation["responses"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|answer| answer["description"].as_str().unwrap().strip_prefix("One of: "))
        .flat_map(|list| list.trim_end_matches('.').split(", "))
        .collect();
    assert_eq!(told, served, "{path}: codes");
}

fn schema_of(body: &Value) -> Option<&str> {
    let reference = body["content"]["application/json"]["schema"]["$ref"].as_str()?;
    reference.strip_prefix("#/components/schemas/")
}

#[test]
fn every_body_is_told_member_by_member() {
    // These have sections of their own, in another form.
    const ELSEWHERE: [&str; 4] = ["Envelope", "PublicKey", "SignedSealKeySet", "Statement"];
    let (page, document) = (protocol(), openapi());
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let members = schema["properties"].as_object();
        let Some(members) = members.filter(|_| !ELSEWHERE.contains(&name.as_str())) else {
            continue;
        };
        let required: BTreeSet<_> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one.as_str().unwrap())
            .collect();
        let known: BTreeMap<_, _> = members
            .keys()
            .map(|member| (member.as_str(), required.contains(member.as_str())))
            .collect();
        let told: BTreeMap<_, _> = rows(&page, &format!("### `{name}`\n"))
            .iter()
            .map(|row| (plain(row[0]), row[2] == "yes"))
            .collect();
        assert_eq!(told, known, "{name}");
    }
}

#[test]
fn every_body_that_is_shown_is_a_vector() {
    let vectors: Value = serde_json::from_str(&read("tests/vectors/wire.json")).unwrap();
    let page = protocol();
    let mut shown = 0;
    for part in page.split("\n<!-- ").skip(1) {
        let (name, behind) = part.split_once(" -->\n```json\n").unwrap();
        let (list, name) = name.split_once(": ").unwrap();
        let example: Value = serde_json::from_str(behind.split("\n```").next().unwrap()).unwrap();
        let cases = vectors[list].as_array().unwrap().iter();
        let case = cases.clone().find(|case| case["name"] == name);
        let body = &case.unwrap_or_else(|| panic!("no vector {list}: {name}"))["body"];
        let body =
            body.as_str().map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap());
        assert!(is_shown(&example, &body), "{name}: {example:#} is not {body:#}");
        shown += 1;
    }
    assert!(shown >= 8, "only {shown} bodies are shown");
}

/// Whether the example is the body, long texts cut short by `…`.
fn is_shown(example: &Value, body: &Value) -> bool {
    match (example, body) {
        (Value::Object(example), Value::Object(body)) => {
            example.len() == body.len()
                && example.iter().all(|(name, value)| is_shown(value, &body[name]))
        }
        (Value::Array(example), Value::Array(body)) => {
            example.len() == body.len()
                && example.iter().zip(body).all(|(example, body)| is_shown(example, body))
        }
        (Value::String(example), Value::String(body)) => match example.strip_suffix('…') {
            Some(start) => body.starts_with(start),
            None => example == body,
        },
        (example, body) => example == body,
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let page = protocol();
    let told: BTreeMap<_, _> =
        rows(&page, "\n## Limits\n").into_iter().map(|row| (row[0], row[1])).collect();
    let seconds = |span: std::time::Duration| format!("{} s", span.as_secs());
    for (what, limit) in [
        ("body of a call", format!("{} octets", wire::MAX_BODY)),
        ("life of a call's signature", seconds(sign::call::MAX_AGE)),
        ("`created` ahead of the server's clock", seconds(sign::call::MAX_AHEAD)),
        ("life of an envelope", seconds(seal::MAX_LIFE)),
        ("succession statements", succession::MAX_STATEMENTS.to_string()),
    ] {
        assert_eq!(told.get(what), Some(&limit.as_str()), "{what}");
    }
    let most = told["amount"].split(' ').next().unwrap().parse().unwrap();
    assert!(Amount::new(most).is_ok());
    assert!(Amount::new(most + 1).is_err());
}
