//! What the shop answers.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use pos_connect::protocol::text::base64url;
use pos_connect::wire::QuoteRequest;
use pos_connect::{Connection, ContractId, Currency, Money, Order};
use serde::Deserialize;
use serde_json::json;

use crate::orders::{Orders, Stored};
use crate::pages;
use crate::payment::{self, Asked};

/// Under which name, what, for how much.
pub(crate) const SHELF: [(&str, &str, u32); 2] =
    [("tea", "Green tea, 100 g", 1200), ("cup", "A cup for it", 3400)];

struct Shop {
    line: Connection,
    orders: Orders,
    /// What the npm package `pos-connect` has for a browser.
    seal: PathBuf,
}

type Shared = State<Arc<Shop>>;

pub(crate) fn routes(line: Connection, orders: Orders) -> Router {
    let seal = std::env::var_os("SEAL_FOLDER").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../node_modules/pos-connect"),
        PathBuf::from,
    );
    let shop = Arc::new(Shop { line, orders, seal });
    tokio::spawn(settle_every_minute(Arc::clone(&shop)));
    Router::new()
        .route("/", get(async || Html(pages::shelf())))
        .route("/orders", post(begin))
        .route("/orders/{id}", get(checkout).post(paid))
        .route("/pay.js", get(async || script(include_str!("../../page/pay.js"))))
        .route("/pos-connect/{*file}", get(seal_file))
        .with_state(shop)
}

#[derive(Deserialize)]
struct Chosen {
    article: String,
}

async fn begin(State(shop): Shared, Form(chosen): Form<Chosen>) -> Result<Response, Failed> {
    let Some((_, article, amount)) = SHELF.iter().find(|(name, ..)| *name == chosen.article) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let id = shop.orders.begin(article, *amount)?;
    Ok(Redirect::to(&format!("/orders/{id}")).into_response())
}

/// The page that the shopper pays on, or that says how it went.
async fn checkout(State(shop): Shared, UrlPath(id): UrlPath<String>) -> Result<Response, Failed> {
    let Some(mut order) = shop.orders.find(&id)? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    if order.state == "asking" {
        ask(&shop, &order).await?;
        order = shop.orders.find(&id)?.unwrap_or(order);
    }
    if order.state != "new" {
        return Ok(Html(pages::order(&order)).into_response());
    }
    let money = money(&order)?;
    let quote = QuoteRequest {
        order_id: id.parse()?,
        method: "card:visa".parse()?,
        amount: money.amount,
        currency: money.currency,
        pos_id: None,
        contract_id: None,
    };
    let quote = shop.line.quote(&quote).await?;
    let Some(contract) = quote.contract else {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    };
    // All that `seal` takes but the card.
    let to_seal = json!({
        "binding": {
            "institution": contract.institution,
            "contract_number": contract.contract_number,
            "operation": "sale",
            "order_id": id,
            "amount": order.amount,
            "currency": "JPY",
        },
        "seal_keys": serde_json::to_string(&quote.seal_keys)?,
        "seal_root": base64url(contract.seal_root.octets()),
    });
    Ok(Html(pages::pay(&order, &to_seal, &contract.contract_id)).into_response())
}

#[derive(Deserialize)]
struct Sealed {
    contract_id: ContractId,
    envelope: String,
}

async fn paid(
    State(shop): Shared,
    UrlPath(id): UrlPath<String>,
    Form(sealed): Form<Sealed>,
) -> Result<Response, Failed> {
    let Some(order) = shop.orders.find(&id)? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let Ok(order) = to_pay(&order, sealed.contract_id, &sealed.envelope) else {
        return Ok(StatusCode::BAD_REQUEST.into_response());
    };
    let contract_id = sealed.contract_id.to_string();
    if let Some(key) = shop.orders.claim(&id, &contract_id, &sealed.envelope)? {
        // On its own, so that it goes on when the shopper leaves the page.
        let paying = tokio::spawn(async move {
            let outcome = payment::pay(&shop.line, &order, key.parse()?).await;
            Ok::<_, anyhow::Error>(shop.orders.settle(&key, outcome)?)
        });
        paying.await??;
    }
    Ok(Redirect::to(&format!("/orders/{id}")).into_response())
}

/// Finds out what became of every payment that is open, at once and every minute, whether or not its
/// shopper comes back.
async fn settle_every_minute(shop: Arc<Shop>) {
    loop {
        if let Err(error) = settle_open(&shop).await {
            eprintln!("{error:#}");
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

async fn settle_open(shop: &Shop) -> anyhow::Result<()> {
    for order in shop.orders.asking()? {
        ask(shop, &order).await?;
    }
    Ok(())
}

/// Finds out what became of a payment that was open. A shopper may look as often as they like.
async fn ask(shop: &Shop, order: &Stored) -> anyhow::Result<()> {
    let Some(claimed) = &order.claimed else { return Ok(()) };
    let key = &claimed.idempotency_key;
    let outcome = match payment::ask(&shop.line, &order.id, &key.parse()?).await {
        Asked::Known(outcome) => outcome,
        Asked::NeverBegan if shop.orders.claim_again(key)? => {
            let order = to_pay(order, claimed.contract_id.parse()?, &claimed.envelope)?;
            payment::pay(&shop.line, &order, key.parse()?).await
        }
        Asked::NeverBegan | Asked::NotYet => return Ok(()),
    };
    Ok(shop.orders.settle(key, outcome)?)
}

fn to_pay(order: &Stored, contract_id: ContractId, envelope: &str) -> anyhow::Result<Order> {
    let envelope = serde_json::from_str(envelope)?;
    Ok(Order::new(contract_id, order.id.parse()?, money(order)?, envelope))
}

fn money(order: &Stored) -> anyhow::Result<Money> {
    Ok(Money::new(order.amount.into(), Currency::JPY)?)
}

async fn seal_file(State(shop): Shared, UrlPath(file): UrlPath<PathBuf>) -> Response {
    let is_within = file.components().all(|part| matches!(part, Component::Normal(_)));
    let kind = match file.extension().and_then(|extension| extension.to_str()) {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match tokio::fs::read(shop.seal.join(file)).await {
        Ok(octets) if is_within => ([(CONTENT_TYPE, kind)], octets).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn script(text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript")], text)
}

/// What this shop did not expect: for its log, not for the shopper.
struct Failed(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        eprintln!("{:#}", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong. Please try again.")
            .into_response()
    }
}
