// A shopper in a real browser: `node browser.mjs COMMAND...` opens a shop by its try_it program, and pays
// there with the card that was printed, typed into the page whose script seals it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

const LIMIT_MS = 60_000;

const free = createServer().listen(0, "127.0.0.1");
await once(free, "listening");
const { port } = free.address();
free.close();

const [program, ...words] = process.argv.slice(2).map((word) => word.replace("{port}", port));
// In a group of its own, which is ended as a terminal does.
const shop = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"], detached: true });
const limit = setTimeout(() => {
  process.kill(-shop.pid, "SIGKILL");
  console.error("the shop took too long");
  process.exit(1);
}, 2 * LIMIT_MS);

const printed = /approved: (\d+), (\d\d\/\d\d), security code (\d+)/;
const card = await new Promise((resolve, reject) => {
  let text = "";
  shop.stdout.setEncoding("utf8").on("data", (part) => {
    text += part;
    const found = printed.exec(text);
    if (found) resolve(found.slice(1));
  });
  shop.on("exit", () => reject(new Error(`the shop ended: ${text}`)));
});

const userData = await mkdtemp(join(tmpdir(), "pos-browser-"));
const browser = await chromium.launchPersistentContext(userData, {
  executablePath: process.env.POS_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
try {
  browser.setDefaultTimeout(LIMIT_MS);
  const page = await browser.newPage();
  const url = `http://127.0.0.1:${port}/`;
  while (!(await page.goto(url).catch(() => null))) await new Promise((resolve) => setTimeout(resolve, 100));
  const sent = [];
  page.on("request", (request) => sent.push(`${request.url()} ${request.postData()}`));
  // Until the page's script is there, nothing can be sent.
  const held = new Promise((resolve) => page.route("**/pay.js", (route) => resolve(route)));
  await page.getByRole("button", { name: "Green tea" }).click();
  await page.getByRole("button", { name: "Pay", disabled: true }).waitFor();
  await (await held).continue();
  const [number, expires, code] = card;

  // What is no card number does not leave the page.
  await page.getByLabel("Card number").fill("1234");
  await page.getByLabel("Expires").fill(expires);
  await page.getByLabel("Security code").fill(code);
  // Open once the script has all that it seals with.
  await page.getByRole("button", { name: "Pay", disabled: false }).waitFor();
  const before = sent.length;
  await page.getByRole("button", { name: "Pay" }).click();
  await page.locator("#wrong:not(:empty)").waitFor();
  assert.equal(sent.length, before);

  await page.getByLabel("Card number").fill(number.replace(/(.{4})(?=.)/g, "$1 "));
  // Clicked again while the first click is on its way.
  await page.evaluate(() => {
    const again = () => {
      document.querySelector("#pay button").click();
      console.log("clicked again");
    };
    document.getElementById("pay").addEventListener("submit", () => setTimeout(again), { once: true });
  });
  const clickedAgain = page.waitForEvent("console");
  await page.route("**/orders/*", async (route) => {
    await clickedAgain;
    await route.continue().catch(() => {});
  });
  await page.getByRole("button", { name: "Pay" }).click();
  await page.getByText("Paid. Thank you!").waitFor();
  const envelopes = sent.filter((request) => request.includes("envelope="));
  assert.equal(envelopes.length, 1, "two clicks sent one envelope");
  assert.ok(!sent.some((request) => request.includes(number)), "the card was sent");
  console.log("a browser: paid, and no card number was sent");
} finally {
  await browser.close();
  await rm(userData, { recursive: true });
  const ended = new Promise((resolve) => shop.on("exit", resolve));
  process.kill(-shop.pid, "SIGINT");
  await ended;
  clearTimeout(limit);
}
