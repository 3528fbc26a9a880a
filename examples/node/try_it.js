// Opens the shop on a test bed: a server, three institutions, and this shop registered with them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const cwd = fileURLToPath(new URL(".", import.meta.url));
const { POS_TESTBED } = process.env;
const [program, ...words] = POS_TESTBED ? [POS_TESTBED] : ["cargo", "xtask", "testbed"];
// The bed ends when its standard input closes, so with this program, however that ends.
const bed = spawn(program, words, { cwd, stdio: ["pipe", "pipe", "inherit"] });
const [line] = await once(createInterface(bed.stdout), "line");
const { server, unregistered, instruments } = JSON.parse(line);
const [{ user_id, code }] = unregistered;
const { number, expiry_month, expiry_year, security_code } = instruments.approve.instrument;

const folder = await mkdtemp(join(tmpdir(), "shop-"));
const env = {
  ...process.env,
  SHOP_FOLDER: folder,
  SHOP_PASSWORD: "a password of my own choice",
  POS_SERVER_URL: server.tls_url,
  POS_AUTHORITY: server.authority,
  NODE_EXTRA_CA_CERTS: join(folder, "ca.pem"),
  PORT: process.argv[2] ?? "5000",
};
await writeFile(env.NODE_EXTRA_CA_CERTS, server.ca_pem);
const node = async (...script) => {
  const child = spawn(process.execPath, script, { cwd, env, stdio: "inherit" });
  return (await once(child, "exit"))[0];
};
// Ctrl-C ends the shop; this program then tidies up.
process.on("SIGINT", () => {});
if ((await node("register.js", user_id, code)) === 0) {
  const expires = `${String(expiry_month).padStart(2, "0")}/${expiry_year % 100}`;
  console.log(`\nA card that is approved: ${number}, ${expires}, security code ${security_code}\n`);
  await node("shop.js");
}
bed.stdin.end();
await rm(folder, { recursive: true });
