// The installed package in Node. NODE_EXTRA_CA_CERTS holds the bed's certificate.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { mkdtemp, readFile, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import * as pos from "pos-connect";
import { fallback } from "pos-connect/fallback";
import { seal } from "pos-connect/seal";

import { Texts, Vault, cases, thrown, world } from "./cases.js";

const told = JSON.parse(await readFile(process.env.POS_BED, "utf8"));
const keys = await readFile(process.env.POS_KEYS, "utf8");
const folder = await mkdtemp(join(tmpdir(), "pos-npm-"));
after(() => rm(folder, { recursive: true }));

const w = {
  ...world({ pos, seal, told, keys }),
  keys,
  unregistered: () => told.unregistered[0],
  until: async (holds) => {
    while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
  },
};

for (const [name, work] of Object.entries(cases)) test(name, () => work(w));

test("a folder holds keys and open calls in files that nobody else can read", async () => {
  const path = join(folder, "shop");
  const { user_id, code } = told.unregistered[1];
  const line = new pos.Connection(w.config(), pos.Store.inFolder(path));
  await line.register(user_id, "a password of my own choice", code);
  assert.deepEqual(await readdir(path), ["keys.json"]);
  // While it is sent, an open call lies there too.
  const { fetch } = globalThis;
  const modes = {};
  globalThis.fetch = async (url, init) => {
    for (const name of ["", ...(await readdir(path))]) modes[name] = (await stat(join(path, name))).mode;
    return fetch(url, init);
  };
  const order = w.order("approve", 1200);
  const notMade = await thrown(() => line.pay(order, w.key())).finally(() => (globalThis.fetch = fetch));
  assert.equal(notMade.code, "not_found", "the contract is another shop's");
  assert.equal(Object.keys(modes).filter((name) => name.startsWith("call")).length, 1);
  for (const [name, mode] of Object.entries(modes)) assert.equal(mode & 0o77, 0, name);
  const { module_key } = JSON.parse(await readFile(join(path, "keys.json"), "utf8"));
  assert.match(module_key, /^[\w-]{43}$/, "as every other language keeps it");
  const again = new pos.Connection(w.config(), pos.Store.inFolder(path));
  assert.equal(await again.keyId(), await line.keyId());
  assert.equal((await again.listKeys()).length, 1);
});

// What the disk was waited for, as the files themselves.
const waited = [];
const { fsync } = fs;
fs.fsync = (file, done) => {
  waited.push(fs.fstatSync(file).ino);
  fsync(file, done);
};
syncBuiltinESMExports();
const { Calls, Folder } = await import(new URL("folder.js?watched", import.meta.resolve("pos-connect")));
fs.fsync = fsync;
syncBuiltinESMExports();

test("the disk has an open call and its name before it is sent, and is waited for no more", async () => {
  const path = join(folder, "above", "calls");
  const calls = new Calls(path);
  waited.length = 0;
  assert.equal(await calls.replace("call:a1", null, "{}"), true);
  const [name] = await readdir(path);
  const inode = async (of) => (await stat(of)).ino;
  assert.deepEqual(waited, [await inode(join(path, name)), await inode(path)]);
  waited.length = 0;
  assert.equal(await calls.replace("call:a1", "{}", "{1}"), true);
  assert.deepEqual(waited, [await inode(join(path, name)), await inode(path)]);
  waited.length = 0;
  assert.equal(await calls.replace("call:a1", "{1}", null), true);
  assert.deepEqual([waited, await readdir(path)], [[], []]);
});

test("of many who write to one name at a time, one does", async () => {
  const path = join(folder, "many");
  const calls = new Calls(path);
  const ten = (change) => Promise.all(Array.from({ length: 10 }, (_, n) => change(n)));
  const created = await ten((n) => calls.replace("call:A", null, `"${n}"`));
  assert.equal(created.filter(Boolean).length, 1);
  const first = calls.load("call:A");
  const changed = await ten((n) => calls.replace("call:A", first, `"new ${n}"`));
  assert.equal(changed.filter(Boolean).length, 1);
  assert.match(calls.load("call:A"), /^"new \d"$/);
  assert.equal(await calls.replace("call:A", first, null), false);
  assert.equal(await calls.replace("call:a", null, "{}"), true, "capitals are others");
  assert.deepEqual((await readdir(path)).filter((file) => !file.endsWith(".json")), []);
  for (const stray of ["100%.json", "call:b.json", "Notes.json"]) await writeFile(join(path, stray), "{}");
  assert.deepEqual(calls.names().sort(), ["call:A", "call:a"]);
});

const neighbour = (...args) => {
  const script = fileURLToPath(new URL("neighbour.mjs", import.meta.url));
  return spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "inherit"] });
};

test("what several processes change in one folder adds up", async () => {
  const path = join(folder, "sum");
  const all = Array.from({ length: 3 }, () => neighbour(path, "add", "40"));
  const codes = await Promise.all(all.map((child) => once(child, "exit")));
  assert.deepEqual(codes, Array(3).fill([0, null]));
  assert.equal(new Folder(path).load("sum"), "120");
  assert.deepEqual(await readdir(path), ["sum.json"]);
});

test("who holds a folder is waited for within a limit, and not at all once it is gone", async () => {
  const path = join(folder, "held");
  const texts = new Folder(path);
  const lock = (name) => texts.path(name) + ".held";
  let mine = "";
  await texts.alone("sum", () => (mine = fs.readFileSync(lock("sum"), "utf8")));
  const gone = mine.replace(/^\d+/, "4194304");
  const child = neighbour(path, "hold");
  await once(child.stdout, "data");
  // As another container's, whose numbers mean nothing here.
  const elsewhere = "4194304 1 elsewhere pid:[1]";
  await writeFile(lock("other"), elsewhere);
  await writeFile(lock("turn"), gone);
  await writeFile(lock("turn") + ".clearing", elsewhere);
  const refused = ["sum", "other", "turn"].map((name) => thrown(() => texts.replace(name, null, "1")));
  // An earlier version may be about to write to it, until it is too old for that.
  await writeFile(lock("empty"), "");
  const began = performance.now();
  const empty = texts.replace("empty", null, "1").then(() => performance.now() - began);
  const [held, other, turn] = await Promise.all(refused);
  assert.match(held.message, new RegExp(`sum.json.held is held by process ${child.pid} of `));
  assert.match(other.message, /is held by process 4194304 of elsewhere: remove it/);
  assert.match(turn.message, /turn.json.held.clearing is held by process 4194304 of elsewhere/);
  assert.ok((await empty) > 1_000, `after ${await empty} ms`);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(await texts.replace("sum", null, "1"), true);
  // An earlier process of this one's number, as in a container that was started again.
  await writeFile(lock("sum"), mine.replace(/^(\d+) \d+/, "$1 1"));
  const left = process.platform === "linux" ? await texts.replace("sum", "1", "2") : true;
  assert.equal(left, true);
  // Killed while it took away what another had left, and the next one went down with the machine.
  const turns = ["", ".clearing", ".clearing.clearing"].map((turn) => lock("turns") + turn);
  for (const turn of turns) await writeFile(turn, turn === turns[2] ? "" : gone);
  await utimes(turns[2], 1, 1);
  assert.equal(await texts.replace("turns", null, "1"), true);
});

test("a full disk leaves no lock behind", async () => {
  const path = join(folder, "full");
  const texts = new Folder(path);
  const { writeFileSync } = fs;
  fs.writeFileSync = (file, text, options) => {
    writeFileSync(file, "", options);
    throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  };
  syncBuiltinESMExports();
  const full = await thrown(() => texts.alone("sum", () => {})).finally(() => {
    fs.writeFileSync = writeFileSync;
    syncBuiltinESMExports();
  });
  assert.equal(full.code, "ENOSPC");
  assert.deepEqual(await readdir(path), []);
  assert.equal(await texts.replace("sum", null, "1"), true);
});

test("stores of one folder wait for each other's verb of the same key", async () => {
  const path = join(folder, "shared");
  const vault = new Vault(keys);
  const line = (path) => new pos.Connection(w.config(), pos.Store.ofHost(vault, path));
  const [order, key] = [w.order("approve", 1200), w.key()];
  let [sent, letGo] = [0, null];
  const held = new Promise((resolve) => (letGo = resolve));
  const { fetch } = globalThis;
  globalThis.fetch = async (url, init) => {
    const isOfKey = JSON.stringify([url, ...new Headers(init.headers)]).includes(key);
    if (isOfKey && ++sent === 1) await held;
    return fetch(url, init);
  };
  const first = line(path).pay(order, key);
  await w.until(() => sent > 0);
  await symlink(path, path + "-too");
  const other = line(path + "-too");
  const second = other.pay(order, key);
  // Later, and yet to its end: by then the other had asked what became of it, did it not wait.
  assert.equal((await other.pay(w.order("approve", 1300))).state, "done");
  assert.equal(sent, 1);
  letGo();
  const both = await Promise.all([first, second]).finally(() => (globalThis.fetch = fetch));
  assert.deepEqual([both[0].state, both[1].operationId], ["done", both[0].operationId]);
});

test("a call that a crash cut short was never sent, and half a file beside it hides nothing", async () => {
  const path = join(folder, "crashed");
  const calls = new Calls(path);
  await calls.replace("call:a", null, '{"a":1}');
  const [file] = await readdir(path);
  const whole = await readFile(join(path, file), "utf8");
  for (let length = 0; length < whole.length; length += 1) {
    await writeFile(join(path, file), whole.slice(0, length));
    assert.equal(calls.load("call:a"), null, `${length} octets`);
    assert.equal(await calls.replace("call:a", null, '{"a":2}'), true);
    assert.equal(calls.load("call:a"), '{"a":2}');
  }
  await writeFile(join(path, file + ".new"), '{"a');
  assert.deepEqual([calls.load("call:a"), calls.names()], ['{"a":2}', ["call:a"]]);
  assert.equal(await calls.replace("call:a", '{"a":2}', '{"a":3}'), true);
  assert.equal(calls.load("call:a"), '{"a":3}');
  // Keys are put in place whole, and those of other hands end as they like.
  const keys = new Folder(path);
  await writeFile(join(path, "keys.json"), "{}");
  assert.equal(await keys.replace("keys", "{}", "{1}"), true);
  assert.equal(await readFile(join(path, "keys.json"), "utf8"), "{1}");
});

test("what is signed and proved stays as it was while the module's memory moves", async () => {
  let line = null;
  let length = 2 ** 20;
  // Too long for the memory that there is: it grows, and whatever was lent of the old is empty.
  const moved = async () => {
    length *= 2;
    const order = { ...w.order("approve", 1200), orderId: "x".repeat(length) };
    assert.equal((await thrown(() => line.pay(order))).field, "order_id");
  };
  const slow = {
    ...fallback,
    sign: async (secret, octets) => (await moved(), fallback.sign(secret, octets)),
    verify: async (...claim) => (await moved(), fallback.verify(...claim)),
  };
  const store = pos.Store.ofHost(new Vault(keys), new Texts(), { fallback: slow });
  line = new pos.Connection(w.config({ attemptTimeoutS: 5, totalTimeoutS: 6 }), store);
  assert.ok((await line.listKeys()).length > 0);
});

test("a private key of the shop's own signs and is not in the text", async () => {
  const { module_key } = JSON.parse(keys);
  const { public: x } = told.shop.module_key;
  const vault = new Vault(keys.replace(module_key, "." + x));
  const privateKey = Buffer.from(module_key, "base64url");
  const store = (key) => pos.Store.ofHost(vault, new Texts(), { privateKey: key });
  const line = new pos.Connection(w.config(), store(privateKey));
  assert.equal((await line.pay(w.order("approve", 700))).state, "done");
  assert.ok(!vault.text.includes(module_key));
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const pkcs8 = new pos.Connection(w.config(), store(Buffer.concat([prefix, privateKey])));
  assert.equal(await pkcs8.keyId(), await line.keyId());
  // With the public half behind it (RFC 5958).
  const whole = Buffer.from("3053020101300506032b657004220420", "hex");
  const half = [Buffer.from("a123032100", "hex"), Buffer.from(x, "base64url")];
  const both = new pos.Connection(w.config(), store(Buffer.concat([whole, privateKey, ...half])));
  assert.equal(await both.keyId(), await line.keyId());
  // Where there is no Ed25519 but the fallback's: nothing else has seen the key.
  const by = [];
  const only = { ...fallback, sign: (...one) => (by.push("sign"), fallback.sign(...one)) };
  const { importKey, generateKey } = SubtleCrypto.prototype;
  const refused = () => Promise.reject(new DOMException("Unrecognized name.", "NotSupportedError"));
  Object.assign(SubtleCrypto.prototype, { importKey: refused, generateKey: refused });
  const options = { privateKey, fallback: only };
  const unable = new pos.Connection(w.config(), pos.Store.ofHost(vault, new Texts(), options));
  const paid = await unable
    .pay(w.order("approve", 700))
    .finally(() => Object.assign(SubtleCrypto.prototype, { importKey, generateKey }));
  assert.deepEqual([paid.state, by[0]], ["done", "sign"]);
});

test("the fallback signs and verifies as WebCrypto does", async () => {
  const store = pos.Store.ofHost(new Vault(keys), new Texts(), { fallback });
  const line = new pos.Connection(w.config(), store);
  assert.equal((await line.pay(w.order("approve", 900))).state, "done");
  const drawn = fallback.draw();
  const [x, secret] = [drawn.subarray(0, 32), drawn.subarray(32)];
  assert.deepEqual(fallback.publicOf(secret), x);
  const octets = new TextEncoder().encode("a message");
  const signature = fallback.sign(secret, octets);
  assert.ok(fallback.verify(x, octets, signature));
  signature[0] ^= 1;
  assert.ok(!fallback.verify(x, octets, signature));
  assert.throws(() => fallback.sign(new Uint8Array(3), octets));
});

test("every type that the modules declare is exported by the package", async () => {
  const text = (name) => readFile(new URL(name, import.meta.resolve("pos-connect")), "utf8");
  const lists = (await Promise.all(["common.d.ts", "seal.d.ts"].map(text))).join("");
  const exported = Array.from(lists.matchAll(/^export (?:type )?\{([^}]*)\}/gm), ([, names]) => names);
  const names = new Set(exported.join().match(/\w+/g));
  for (const module of ["pos_connect_wasm", "pos_connect_wasm_seal"]) {
    const types = await text(`wasm/${module}.d.ts`);
    const declared = Array.from(types.matchAll(/^export (?:interface|type|class) (\w+)/gm), ([, name]) => name);
    // The package has its own name for the one, and starts the module by the others.
    const own = ["Error", "InitInput", "InitOutput", "SyncInitInput"];
    assert.deepEqual(declared.filter((name) => !names.has(name)).sort(), own, module);
  }
});

test("bad arguments leak nothing", async () => {
  // An instance of its own, because in the memory that other tests have used much is free.
  const at = (name) => new URL(name, import.meta.resolve("pos-connect"));
  const { default: init, Connection } = await import(at("wasm/pos_connect_wasm.js?alone"));
  const { memory } = await init({ module_or_path: await readFile(at("wasm/pos_connect_wasm_bg.wasm")) });
  const line = new Connection(w.config(), w.store());
  const orderId = "x".repeat(1_000);
  const refuse = async (rounds) => {
    for (let round = 0; round < rounds; round += 1) {
      await assert.rejects(line.pay({ orderId, amount: -round - 1 }), TypeError);
    }
  };
  await refuse(200);
  const before = memory.buffer.byteLength;
  await refuse(2_000);
  // Two megabytes went in.
  assert.equal(memory.buffer.byteLength, before);
  assert.equal((await line.pay(w.order("approve", 800))).state, "done");
});
