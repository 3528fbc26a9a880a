//! An answer beside what the data expects.
//!
//! An object of the data names the members that must be there, and may leave out others; a list must
//! have the same length; everything else must be equal. What no file can know is described by an
//! object with one member whose name begins with `$`:
//!
//! | form | is met by |
//! |---|---|
//! | `{"$begins": "req_"}` | a text that begins so |
//! | `{"$contains": "text"}` | a text that contains it, which is not empty |
//! | `{"$length": 26}` | a text of so many characters, or a list of so many values |
//! | `{"$between": [a, b]}` | a whole number from `a` to `b` |
//! | `{"$one_of": [a, b]}` | what is equal to one of them |
//! | `{"$some": X}` | a list of which at least one value meets `X` |
//! | `{"$all": [X, Y]}` | what meets all of them |

use serde_json::{Number, Value};

/// How `found` differs from `expected`: one line for each difference, none where it is met.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(expected, found, "", &mut lines);
    lines
}

fn compare(expected: &Value, found: &Value, at: &str, lines: &mut Vec<String>) {
    let here = if at.is_empty() { "the answer" } else { at };
    match (expected, found) {
        (Value::Object(wanted), _) if wanted.keys().any(|name| name.starts_with('$')) => {
            for (form, argument) in wanted {
                compare_form(form, argument, found, here, lines);
            }
        }
        (Value::Object(wanted), Value::Object(members)) => {
            for (name, value) in wanted {
                let inner = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                match members.get(name) {
                    Some(member) => compare(value, member, &inner, lines),
                    // Whoever leaves out what is none says the same.
                    None if value.is_null() => {}
                    None => {
                        lines.push(format!("{inner}: must be {}, but is missing", short(value)))
                    }
                }
            }
        }
        (Value::Array(wanted), Value::Array(values)) if wanted.len() == values.len() => {
            for (place, (value, member)) in wanted.iter().zip(values).enumerate() {
                compare(value, member, &format!("{at}[{place}]"), lines);
            }
        }
        (Value::Array(wanted), Value::Array(values)) => lines.push(format!(
            "{here}: must have {} values, but has {}: {}",
            wanted.len(),
            values.len(),
            short(found)
        )),
        _ if expected == found => {}
        _ => lines.push(format!("{here}: must be {}, but is {}", short(expected), short(found))),
    }
}

/// The described values.
fn compare_form(form: &str, argument: &Value, found: &Value, at: &str, lines: &mut Vec<String>) {
    let met = match (form, argument, found) {
        ("$begins", Value::String(start), Value::String(text)) => text.starts_with(start.as_str()),
        // An empty part, which every text contains, is met by none.
        ("$contains", Value::String(part), Value::String(text)) => {
            !part.is_empty() && text.contains(part.as_str())
        }
        ("$one_of", Value::Array(values), found) => values.contains(found),
        ("$length", Value::Number(length), Value::String(text)) => {
            is_count(length, text.chars().count())
        }
        ("$length", Value::Number(length), Value::Array(values)) => is_count(length, values.len()),
        ("$between", Value::Array(ends), Value::Number(number)) => {
            let ends: Vec<_> = ends.iter().filter_map(Value::as_u64).collect();
            match (&ends[..], number.as_u64()) {
                ([least, most], Some(number)) => (*least..=*most).contains(&number),
                _ => false,
            }
        }
        ("$some", wanted, Value::Array(values)) => {
            let tried = values.iter().map(|value| differences(wanted, value));
            return match tried.min_by_key(Vec::len) {
                Some(nearest) if nearest.is_empty() => {}
                Some(nearest) => {
                    let nearest = nearest.join("; ");
                    lines.push(format!("{at}: none is as it must be; the nearest: {nearest}"));
                }
                None => lines.push(format!("{at}: must have {}, but is []", short(wanted))),
            };
        }
        ("$all", Value::Array(wanted), found) => {
            return wanted.iter().for_each(|wanted| compare(wanted, found, at, lines));
        }
        _ => false,
    };
    if !met {
        let wanted = short(argument);
        lines.push(format!("{at}: must be {{{form}: {wanted}}}, but is {}", short(found)));
    }
}

fn is_count(length: &Number, count: usize) -> bool {
    length.as_u64() == u64::try_from(count).ok()
}

/// A value in one line of a bearable length.
pub fn short(value: &Value) -> String {
    const MOST: usize = 300;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} octets)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subset_with_equal_values_is_met() {
        let found = json!({ "state": "done", "amount": 1200, "decline": null, "list": [{ "a": 1, "b": 2 }] });
        for expected in [
            json!({ "state": "done", "amount": 1200 }),
            json!({ "decline": null, "refusal": null }),
            json!({ "list": [{ "a": 1 }] }),
            json!({ "state": { "$one_of": ["declined", "done"] } }),
            json!({ "list": { "$length": 1 }, "state": { "$begins": "do" } }),
            json!({ "list": { "$some": { "b": 2 } }, "amount": { "$between": [1200, 1200] } }),
        ] {
            assert_eq!(differences(&expected, &found), Vec::<String>::new(), "{expected}");
        }
    }

    #[test]
    fn everything_else_is_named_with_its_place() {
        let found =
            json!({ "state": "done", "amount": 1200, "decline": null, "list": [{ "a": 1 }] });
        for (expected, line) in [
            (json!({ "state": "declined" }), r#"state: must be "declined", but is "done""#),
            (json!({ "amount": "1200" }), r#"amount: must be "1200", but is 1200"#),
            (json!({ "amount": 1200.0 }), "amount: must be 1200.0, but is 1200"),
            (json!({ "reason": 1 }), "reason: must be 1, but is missing"),
            (json!({ "amount": null }), "amount: must be null, but is 1200"),
            (json!({ "decline": {} }), "decline: must be {}, but is null"),
            (json!({ "list": [] }), "list: must have 0 values, but has 1: [{\"a\":1}]"),
            (json!({ "list": [{ "a": 2 }] }), "list[0].a: must be 2, but is 1"),
            (
                json!([]),
                r#"the answer: must be [], but is {"amount":1200,"decline":null,"list":[{"a":1}],"state":"done"}"#,
            ),
            (
                json!({ "amount": { "$between": [1201, 9999] } }),
                "amount: must be {$between: [1201,9999]}, but is 1200",
            ),
            (
                json!({ "state": { "$contains": "" } }),
                "state: must be {$contains: \"\"}, but is \"done\"",
            ),
            (json!({ "state": { "$length": 3 } }), "state: must be {$length: 3}, but is \"done\""),
            (
                json!({ "state": { "$one_of": ["declined"] } }),
                "state: must be {$one_of: [\"declined\"]}, but is \"done\"",
            ),
            (
                json!({ "state": { "$invented": 3 } }),
                "state: must be {$invented: 3}, but is \"done\"",
            ),
            (
                json!({ "list": { "$some": { "a": 3 } } }),
                "list: none is as it must be; the nearest: a: must be 3, but is 1",
            ),
            (
                json!({ "list": { "$all": [{ "$length": 2 }] } }),
                "list: must be {$length: 2}, but is [{\"a\":1}]",
            ),
        ] {
            assert_eq!(differences(&expected, &found), [line]);
        }
    }
}
