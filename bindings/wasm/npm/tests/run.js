// Starts the bed and runs the test files that are named: node run.js FILE…

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { moduleKeys, startBed } from "./bed.js";

const bed = await startBed();
const folder = await mkdtemp(join(tmpdir(), "pos-npm-bed-"));
const put = async (name, text) => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};
const env = {
  ...process.env,
  POS_BED: await put("bed.json", JSON.stringify(bed.told)),
  POS_KEYS: await put("keys.json", moduleKeys(bed.told)),
  NODE_EXTRA_CA_CERTS: await put("ca.pem", bed.told.server.ca_pem),
};
// A test that cannot end is a failed one.
const args = ["--test", "--test-concurrency=1", "--test-timeout=120000", ...process.argv.slice(2)];
const tests = spawn(process.execPath, args, { env, stdio: "inherit" });
const code = await new Promise((resolve) => tests.on("exit", resolve));
await bed.close();
await rm(folder, { recursive: true });
process.exit(code ?? 1);
