//! What happens at every shop.

use std::time::SystemTime;

use anyhow::{Context as _, bail, ensure};
use pos_tests::bed::LedgerOperation;
use pos_tests::line::Response;
use pos_tests::testbed::Testbed;
use pos_tests::{Bed, wait};

use crate::Commands;
use crate::page::Page;
use crate::record::Record;
use crate::shop::Shop;

/// Green tea, 100 g.
const YEN: u64 = 1_200;

/// Plays everything.
pub(crate) async fn play(shop: &Shop, bed: &Bed) -> anyhow::Result<()> {
    let shopper = Shopper { shop, bed };
    shopper.looks_around().await.context("looking around")?;
    shopper.pays().await.context("paying")?;
    shopper.is_refused_and_takes_another_card().await.context("being refused")?;
    shopper.sends_nonsense().await.context("sending nonsense")?;
    shopper.pays_again_before_the_answer().await.context("an answer to an earlier payment")?;
    shopper.is_refused_by_the_server().await.context("a refusal that is heard by asking")?;
    shopper.clicks_twice_while_the_bank_is_silent().await.context("an outcome that is not known")
}

/// The shop is killed while it pays, and opened again: it finds out by itself what became of the order,
/// though nobody comes to look.
pub(crate) async fn crash(
    shop: &mut Shop,
    commands: &Commands,
    testbed: &Testbed,
) -> anyhow::Result<()> {
    let bed = testbed.bed();
    let shopper = Shopper { shop, bed };
    let order = shopper.order().await?;
    let sealed = shopper.page(&order).await?.seal(bed, "fault:delayed_answer")?;
    let (young, old) = (shopper.order().await?, shopper.order().await?);
    let [young_sealed, old_sealed] = [
        shopper.page(&young).await?.seal(bed, "approve")?,
        shopper.page(&old).await?.seal(bed, "approve")?,
    ];
    // The answer takes 5 s; by then nobody waits for it.
    tokio::select! {
        clicked = shopper.click(&order, &sealed) => {
            clicked?;
            bail!("the shop was told before the bank answered");
        }
        () = wait::until("the bank has the payment", async || {
            shopper.is_booked(&order, &[("done", YEN)]).await.ok()
        }) => {}
    }
    shop.kill().await?;
    // As if it had been killed at two more, between what it writes down and the call: whoever wrote the
    // young one may be about to make the call, so that only the old one is paid.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    claimed(&shop.record(&young)?, &young_sealed, now)?;
    claimed(&shop.record(&old)?, &old_sealed, 0)?;
    shop.reopen(commands, testbed).await?;
    let shopper = Shopper { shop, bed };
    shopper.click(&order, &sealed).await?;
    for order in [&order, &old] {
        let paid = wait::within(wait::LIMIT, async || {
            let state = shop.record(order).and_then(|record| record.state());
            state.map(|state| (state == "paid").then_some(())).transpose()
        });
        paid.await.context("the shop never finds out by itself what became of an order")??;
        shopper.is_booked(order, &[("done", YEN)]).await?;
    }
    ensure!(shop.record(&young)?.state()? == "asking", "paid for another");
    shopper.is_booked(&young, &[]).await
}

/// Writes down what a shop does before it pays.
fn claimed(record: &Record, [contract, envelope]: &[String; 2], at: u64) -> anyhow::Result<()> {
    record.set(&[
        ("state", "asking".into()),
        ("contract_id", contract.as_str().into()),
        ("envelope", envelope.as_str().into()),
        ("idempotency_key", format!("{}-killed", record.order_id).into()),
        ("claimed_at", at.into()),
    ])
}

struct Shopper<'a> {
    shop: &'a Shop,
    bed: &'a Bed,
}

impl Shopper<'_> {
    async fn looks_around(&self) -> anyhow::Result<()> {
        let shelf = self.page("/").await?;
        ensure!(shelf.0.contains("Green tea, 100 g: ¥1,200"), "{}", shelf.0);
        let nothing = self.shop.post("/orders", &[("article", "nothing")]).await?;
        ensure!(nothing.status == 404, "an article that is not there: {}", nothing.status);
        let nowhere = self.shop.get("/orders/web-0-0").await?;
        ensure!(nowhere.status == 404, "an order that is not there: {}", nowhere.status);
        let page = self.page(&self.order().await?).await?;
        ensure!(
            page.fields() == ["contract_id", "envelope"],
            "a browser sends {:?}",
            page.fields()
        );
        // The script of the page, and what that imports.
        let script = self.script(page.between("type=\"module\" src=\"", "\"")?).await?;
        let seal = self.script(script.between("from \"", "\"")?).await?;
        ensure!(seal.0.contains("seal"), "{}", seal.0);
        for path in ["../secret.js", "%2e%2e/secret.js", "..%2fsecret.js", "%2e%2e%2fsecret.js"] {
            let found = self.shop.get(&format!("/pos-connect/{path}")).await?;
            ensure!(found.status >= 400, "{path}: {}", found.status);
        }
        Ok(())
    }

    async fn pays(&self) -> anyhow::Result<()> {
        let order = self.order().await?;
        let page = self.page(&order).await?;
        let sealed = page.seal(self.bed, "approve")?;
        self.click(&order, &sealed).await?;
        self.click(&order, &sealed).await?;
        self.is_told(&order, "paid", "Paid. Thank you!").await?;
        // From another window, in which the page was open all the time.
        self.click(&order, &page.seal(self.bed, "approve")?).await?;
        self.is_told(&order, "paid", "Paid. Thank you!").await?;
        self.is_booked(&order, &[("done", YEN)]).await
    }

    async fn is_refused_and_takes_another_card(&self) -> anyhow::Result<()> {
        let order = self.order().await?;
        let sealed = self.page(&order).await?.seal(self.bed, "expired_card")?;
        self.click(&order, &sealed).await?;
        self.click(&order, &sealed).await?;
        let page = self.page(&order).await?;
        let (state, text) = page.told()?;
        ensure!(state == "new" && text.starts_with("Your bank refused."), "{state}: {text}");
        self.is_booked(&order, &[("declined", 0)]).await?;
        self.click(&order, &page.seal(self.bed, "approve")?).await?;
        self.is_told(&order, "paid", "Paid. Thank you!").await?;
        self.is_booked(&order, &[("declined", 0), ("done", YEN)]).await
    }

    async fn sends_nonsense(&self) -> anyhow::Result<()> {
        let order = self.order().await?;
        let [contract, _] = self.page(&order).await?.seal(self.bed, "approve")?;
        let answer = self.send(&order, &[contract, "nonsense".into()]).await?;
        ensure!(answer.status < 500, "nonsense: {}", answer.status);
        ensure!(self.page(&order).await?.takes_a_card(), "nonsense ends an order");
        self.is_booked(&order, &[]).await
    }

    /// The answer to one payment comes when the order is being paid by another.
    async fn pays_again_before_the_answer(&self) -> anyhow::Result<()> {
        let order = self.order().await?;
        let sealed = self.page(&order).await?.seal(self.bed, "fault:delayed_answer")?;
        let record = self.shop.record(&order)?;
        let again = async {
            wait::until("the bank has the payment", async || {
                self.is_booked(&order, &[("done", YEN)]).await.ok()
            })
            .await;
            let first = record.get("idempotency_key")?;
            record.set(&[("idempotency_key", format!("{first}-another").into())])?;
            Ok(first)
        };
        let ((), first) = tokio::try_join!(self.click(&order, &sealed), again)?;
        ensure!(record.state()? == "asking", "settled by the answer to another payment");
        record.set(&[("idempotency_key", first.into())])?;
        self.is_paid_in_the_end(&order).await
    }

    /// A shop that was killed before it heard the server's refusal hears it when it asks.
    async fn is_refused_by_the_server(&self) -> anyhow::Result<()> {
        let order = self.order().await?;
        let sealed = self.page(&order).await?.seal(self.bed, "expired_card")?;
        self.click(&order, &sealed).await?;
        let record = self.shop.record(&order)?;
        // So that the shop takes the envelope again, and only the server refuses it.
        record.set(&[("envelope", "".into())])?;
        self.click(&order, &sealed).await?;
        ensure!(record.state()? == "new", "an envelope that was used: {}", record.state()?);
        record.set(&[("state", "asking".into())])?;
        let page = self.page(&order).await?;
        ensure!(page.takes_a_card() && page.told()?.0 == "new", "{}", page.0);
        self.click(&order, &page.seal(self.bed, "approve")?).await?;
        self.is_told(&order, "paid", "Paid. Thank you!").await?;
        self.is_booked(&order, &[("declined", 0), ("done", YEN)]).await
    }

    async fn clicks_twice_while_the_bank_is_silent(&self) -> anyhow::Result<()> {
        let order = self.order().await?;
        let page = self.page(&order).await?;
        // A page that does not know of its first click seals once more.
        let sealed = page.seal(self.bed, "fault:processed_then_cut")?;
        let again = page.seal(self.bed, "fault:processed_then_cut")?;
        tokio::try_join!(self.click(&order, &sealed), self.click(&order, &again))?;
        self.is_paid_in_the_end(&order).await
    }

    async fn is_paid_in_the_end(&self, order: &str) -> anyhow::Result<()> {
        let page = self.page_once_known(order).await?;
        ensure!(page.told()?.0 == "paid", "{}", page.0);
        self.is_booked(order, &[("done", YEN)]).await
    }

    /// Until the outcome is known, the order is being asked about and nothing else.
    async fn page_once_known(&self, order: &str) -> anyhow::Result<Page> {
        let page = wait::within(wait::LIMIT, async || match self.page(order).await {
            Ok(page) if page.told().is_ok_and(|(state, _)| state == "asking") => None,
            found => Some(found),
        });
        page.await.context("the bank is asked for ever")?
    }

    /// Orders tea and gives the page of the order.
    async fn order(&self) -> anyhow::Result<String> {
        let answer = self.shop.post("/orders", &[("article", "tea")]).await?;
        Ok(led(&answer)?.to_owned())
    }

    async fn page(&self, path: &str) -> anyhow::Result<Page> {
        let answer = self.shop.get(path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(Page(String::from_utf8(answer.body)?))
    }

    async fn script(&self, path: &str) -> anyhow::Result<Page> {
        let answer = self.shop.get(path).await?;
        let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let is_script = kind.is_some_and(|kind| kind.starts_with("text/javascript"));
        ensure!(answer.status == 200 && is_script, "{path}: {} {kind:?}", answer.status);
        Ok(Page(String::from_utf8(answer.body)?))
    }

    /// Sends the form, and is led to the page of the order.
    async fn click(&self, order: &str, sealed: &[String; 2]) -> anyhow::Result<()> {
        let answer = self.send(order, sealed).await?;
        ensure!(led(&answer)? == order, "led to {}", led(&answer)?);
        Ok(())
    }

    async fn send(
        &self,
        order: &str,
        [contract, envelope]: &[String; 2],
    ) -> anyhow::Result<Response> {
        self.shop.post(order, &[("contract_id", contract), ("envelope", envelope)]).await
    }

    async fn is_told(&self, order: &str, state: &str, text: &str) -> anyhow::Result<()> {
        let page = self.page(order).await?;
        ensure!(page.told()? == (state, text), "{}", page.0);
        ensure!(!page.takes_a_card(), "an order that is {state} takes a card");
        Ok(())
    }

    /// The operations of the order in the institution's ledger: the state of each, and what it moved.
    async fn is_booked(&self, order: &str, expected: &[(&str, u64)]) -> anyhow::Result<()> {
        let order_id = order.rsplit('/').next().unwrap_or_default();
        let mut booked: Vec<LedgerOperation> = Vec::new();
        for one in self.bed.institutions.all() {
            let held = self.bed.institutions.operations(one.id.as_str()).await?;
            booked.extend(held.into_iter().filter(|operation| operation.order_id == order_id));
        }
        let found: Vec<_> = booked.iter().map(|one| (one.state.as_str(), one.moved)).collect();
        ensure!(found == expected, "the ledger has {booked:?}");
        ensure!(booked.iter().all(|one| one.effects <= 1), "paid twice: {booked:?}");
        Ok(())
    }
}

/// Where the answer leads a browser.
fn led(answer: &Response) -> anyhow::Result<&str> {
    ensure!(
        matches!(answer.status, 302 | 303),
        "answered {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    let location = answer.headers.get("location").context("no address")?.to_str()?;
    Ok(location)
}
