//! What the shopper sees. Nothing here was typed by anybody: names, numbers and sentences are the
//! shop's own, so nothing has to be escaped but what stands in the script.

use std::fmt::Write as _;

use pos_connect::ContractId;
use serde_json::Value;

use crate::orders::Stored;
use crate::shop::SHELF;

pub(crate) fn shelf() -> String {
    let mut forms = String::new();
    for (name, article, amount) in SHELF {
        // Writing to a text cannot fail.
        let _ = write!(
            forms,
            r#"<form method="post" action="/orders">
  <button name="article" value="{name}">{article}: {}</button>
</form>
"#,
            yen(amount)
        );
    }
    page("Tea shop", &format!("<h1>Tea shop</h1>\n{forms}"))
}

pub(crate) fn order(order: &Stored) -> String {
    let again =
        if order.state == "asking" { r#"<meta http-equiv="refresh" content="3">"# } else { "" };
    let text = order.text.as_deref().unwrap_or("Your payment is under way.");
    page(&format!("Order {}", order.id), &format!("{again}{}{}", head(order), told(order, text)))
}

pub(crate) fn pay(order: &Stored, to_seal: &Value, contract_id: &ContractId) -> String {
    let told = order.text.as_deref().map(|text| told(order, text)).unwrap_or_default();
    // So that nothing in it ends the script.
    let to_seal = to_seal.to_string().replace('<', "\\u003c");
    let body = format!(
        r#"{head}{told}<!-- The card's fields have no names, so that no browser ever sends them. -->
<form method="post" id="pay">
  <label>Card number <input id="number" inputmode="numeric" autocomplete="cc-number" required></label>
  <label>Expires <input id="expires" placeholder="MM/YY" autocomplete="cc-exp" required pattern="\d\d/\d\d"></label>
  <label>Security code <input id="security_code" inputmode="numeric" autocomplete="cc-csc" required></label>
  <input type="hidden" name="contract_id" value="{contract_id}">
  <input type="hidden" name="envelope">
  <button disabled>Pay {yen}</button>
  <p id="wrong" role="alert"></p>
</form>
<script type="application/json" id="to-seal">{to_seal}</script>
<script type="module" src="/pay.js"></script>
"#,
        head = head(order),
        yen = yen(order.amount),
    );
    page(&format!("Order {}", order.id), &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n{body}</html>\n"
    )
}

fn head(order: &Stored) -> String {
    format!("<h1>{}: {}</h1>\n", order.article, yen(order.amount))
}

fn told(order: &Stored, text: &str) -> String {
    format!("<p data-state=\"{}\">{text}</p>\n", order.state)
}

/// `¥1,200`.
fn yen(amount: u32) -> String {
    let digits = amount.to_string();
    let mut grouped = String::from("¥");
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
