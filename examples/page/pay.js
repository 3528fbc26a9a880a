// Seals the card in the shopper's own browser: what leaves it only the institution can read.
import { seal } from "/pos-connect/seal.js";

const form = document.getElementById("pay");
const button = form.querySelector("button");
const field = (id) => document.getElementById(id).value.replaceAll(/\s/g, "");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  // A second click would seal once more: an envelope of its own, which could pay once more.
  button.disabled = true;
  const { binding, seal_keys, seal_root } = JSON.parse(
    document.getElementById("to-seal").textContent,
  );
  const [month, year] = field("expires").split("/").map(Number);
  try {
    form.elements.envelope.value = seal(
      {
        type: "card",
        number: field("number"),
        expiryYear: 2000 + year,
        expiryMonth: month,
        securityCode: field("security_code"),
      },
      {
        institution: binding.institution,
        contractNumber: binding.contract_number,
        operation: binding.operation,
        orderId: binding.order_id,
        amount: binding.amount,
        currency: binding.currency,
      },
      seal_keys,
      seal_root,
    );
  } catch (error) {
    document.getElementById("wrong").textContent = error.message;
    button.disabled = false;
    return;
  }
  form.submit();
});

// The button comes disabled: pressed before this script is there, it would send no envelope. Whoever comes
// back to the page by the browser's button finds it as they left it.
const ready = () => {
  button.disabled = false;
};
window.addEventListener("pageshow", ready);
ready();
