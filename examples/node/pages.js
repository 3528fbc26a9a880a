// What the shopper sees. Nothing here was typed by anybody: names, numbers and sentences are the
// shop's own, so nothing has to be escaped but what stands in the script.

const yen = (amount) => `¥${amount.toLocaleString("en")}`;

const page = (title, body) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
${body}
</html>
`;

const told = ({ state, text }) => (text ? `<p data-state="${state}">${text}</p>` : "");

export const shelf = (articles) =>
  page(
    "Tea shop",
    `<h1>Tea shop</h1>${Object.entries(articles).map(
      ([name, [article, amount]]) => `
<form method="post" action="/orders">
  <button name="article" value="${name}">${article}: ${yen(amount)}</button>
</form>`,
    ).join("")}`,
  );

export const order = ({ id, article, amount, state, text = "Your payment is under way." }) =>
  page(
    `Order ${id}`,
    `${state === "asking" ? '<meta http-equiv="refresh" content="3">' : ""}
<h1>${article}: ${yen(amount)}</h1>
${told({ state, text })}`,
  );

export const pay = ({ id, article, amount, state, text }, toSeal, contractId) =>
  page(
    `Order ${id}`,
    `<h1>${article}: ${yen(amount)}</h1>
${told({ state, text })}
<!-- The card's fields have no names, so that no browser ever sends them. -->
<form method="post" id="pay">
  <label>Card number <input id="number" inputmode="numeric" autocomplete="cc-number" required></label>
  <label>Expires <input id="expires" placeholder="MM/YY" autocomplete="cc-exp" required pattern="\\d\\d/\\d\\d"></label>
  <label>Security code <input id="security_code" inputmode="numeric" autocomplete="cc-csc" required></label>
  <input type="hidden" name="contract_id" value="${contractId}">
  <input type="hidden" name="envelope">
  <button disabled>Pay ${yen(amount)}</button>
  <p id="wrong" role="alert"></p>
</form>
<script type="application/json" id="to-seal">${JSON.stringify(toSeal).replaceAll("<", "\\u003c")}</script>
<script type="module" src="/pay.js"></script>`,
  );
