// The installed package in Chromium, against the same bed.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { build } from "esbuild";
import webpack from "webpack";

import { entry, launch, serve } from "./chromium.js";

const told = JSON.parse(await readFile(process.env.POS_BED, "utf8"));
const keys = await readFile(process.env.POS_KEYS, "utf8");
const pkg = dirname(fileURLToPath(import.meta.resolve("pos-connect")));
const tests = dirname(fileURLToPath(import.meta.url));
const [main, sealing] = [await entry(pkg, "."), await entry(pkg, "./seal")];
const without = await entry(pkg, "./fallback");

let userData;
let server;
let browser;

before(async () => {
  userData = await mkdtemp(join(tmpdir(), "pos-chromium-"));
  server = await serve(pkg, tests);
  browser = await launch(userData);
});
after(async () => {
  await browser?.close();
  await server?.close();
  await rm(userData, { recursive: true });
});

const open = async (page, first) => {
  page ??= await browser.newPage();
  if (first) await page.addInitScript(first);
  await page.goto(server.url);
  await page.evaluate(
    async ({ main, sealing, told, keys }) => {
      const [pos, { seal }, { world }] = await Promise.all([
        import(main),
        import(sealing),
        import("/tests/cases.js"),
      ]);
      globalThis.w = {
        ...world({ pos, seal, told, keys }),
        keys,
        unregistered: () => told.unregistered[2],
        until: async (holds) => {
          while (!(await holds())) await new Promise((resolve) => setTimeout(resolve));
        },
      };
    },
    { main, sealing, told, keys },
  );
  return page;
};

test("all that holds in Node holds in a page", async () => {
  const page = await open();
  const failed = await page.evaluate(async () => (await import("/tests/cases.js")).run(w));
  assert.deepEqual(failed, {});
});

test("an open call survives a reload, and is asked for", async () => {
  const page = await open();
  const key = await page.evaluate(async () => {
    const { user_id, code } = w.told.unregistered[3];
    const line = new w.pos.Connection(w.config(), w.pos.Store.inBrowser("reload"));
    await line.register(user_id, "a password of my own choice", code);
    return w.key();
  });
  // The call never comes back: the page goes away while it is under way.
  await page.route(`${told.server.tls_url}/v1/payments`, () => {});
  await page.evaluate(async (key) => {
    const line = new w.pos.Connection(
      w.config({ attemptTimeoutS: 5 }),
      w.pos.Store.inBrowser("reload"),
    );
    void line.pay(w.order("approve", 1200), key).catch(() => {});
    await w.until(async () => (await line.inFlight()).open.length > 0);
  }, key);
  await open(page);
  await page.unroute(`${told.server.tls_url}/v1/payments`);
  const found = await page.evaluate(async (key) => {
    const line = new w.pos.Connection(
      w.config({ totalTimeoutS: 45 }),
      w.pos.Store.inBrowser("reload"),
    );
    const { open } = await line.inFlight();
    const settled = await line.resume(key).catch((error) => error);
    return { open, code: settled.code, left: (await line.inFlight()).open };
  }, key);
  assert.equal(found.open[0].idempotencyKey, key);
  assert.equal(found.code, "not_made", "it never reached the server, which is proved by its time");
  assert.deepEqual(found.left, []);
});

test("a key that no script can read outlives the browser", async () => {
  const page = await open();
  const before = await page.evaluate(async () => {
    const { user_id, code } = w.told.unregistered[4];
    const line = new w.pos.Connection(w.config(), w.pos.Store.inBrowser("kept"));
    await line.register(user_id, "a password of my own choice", code);
    return line.keyId();
  });
  await browser.close();
  browser = await launch(userData);
  // A server of the same origin, as a shop's has.
  const again = await open();
  const found = await again.evaluate(async () => {
    const line = new w.pos.Connection(w.config(), w.pos.Store.inBrowser("kept"));
    const keyId = await line.keyId();
    const listed = (await line.listKeys()).map((key) => key.keyId);
    const database = await new Promise((resolve) => {
      const request = indexedDB.open("kept");
      request.onsuccess = () => resolve(request.result);
    });
    const all = (store) =>
      new Promise((resolve) => {
        const request = database.transaction(store).objectStore(store).getAll();
        request.onsuccess = () => resolve(request.result);
      });
    const [pair] = await all("keys");
    const [text] = await all("texts");
    const refused = await crypto.subtle
      .exportKey("pkcs8", pair.privateKey)
      .then(() => "exported", (error) => error.name);
    return { keyId, listed, extractable: pair.privateKey.extractable, refused, text };
  });
  assert.equal(found.keyId, before);
  assert.deepEqual(found.listed, [before]);
  assert.deepEqual([found.extractable, found.refused], [false, "InvalidAccessError"]);
  assert.match(JSON.parse(found.text).module_key, /^\.[\w-]{43}$/, "the public half alone");
});

/** What a text in a database of the page says of the module key. */
const kept = (page, name) =>
  page.evaluate(async (name) => {
    const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await done(indexedDB.open(name));
    const text = await done(database.transaction("texts").objectStore("texts").get("keys"));
    database.close();
    return JSON.parse(text).module_key;
  }, name);

const registered = (page, name, shop) =>
  page.evaluate(
    async ([name, shop, without]) => {
      const { fallback } = await import(without);
      const line = new w.pos.Connection(w.config(), w.pos.Store.inBrowser(name, fallback));
      const { user_id, code } = w.told.unregistered[shop];
      await line.register(user_id, "a password of my own choice", code);
      return (await line.listKeys()).length;
    },
    [name, shop, without],
  );

/** How many keys a line sees that opens the store anew; with `roll` after its own was changed. */
const listed = (page, name, withFallback, roll = false) =>
  page.evaluate(
    async ([name, without, roll]) => {
      const { fallback } = without ? await import(without) : {};
      const line = new w.pos.Connection(w.config(), w.pos.Store.inBrowser(name, fallback));
      if (roll) await line.rollKey();
      return (await line.listKeys()).length;
    },
    [name, withFallback && without, roll],
  );

test("a key can be read only where the browser has no Ed25519", async () => {
  const able = await open();
  // As a browser of before 2025.
  const unable = await open(undefined, () => {
    for (const name of ["generateKey", "importKey"]) {
      const own = SubtleCrypto.prototype[name];
      SubtleCrypto.prototype[name] = function (...args) {
        if (args.some((one) => one?.name === "Ed25519")) {
          return Promise.reject(new DOMException("Unrecognized name.", "NotSupportedError"));
        }
        return own.apply(this, args);
      };
    }
  });
  assert.equal(await registered(able, "able", 0), 1);
  assert.match(await kept(able, "able"), /^\.[\w-]{43}$/, "the public half alone");
  assert.equal(await registered(unable, "unable", 1), 1);
  assert.match(await kept(unable, "unable"), /^[\w-]{43}$/, "the secret octets");
  // A fallback that is added, or left out, changes nothing about a key that is there.
  for (const name of ["able", "unable"]) {
    for (const withFallback of [true, false]) assert.equal(await listed(able, name, withFallback), 1);
  }
  assert.equal(await listed(unable, "unable", true), 1);
  // The browser has learnt Ed25519: its next key is one that cannot be read.
  assert.equal(await listed(able, "unable", true, true), 2);
  assert.match(await kept(able, "unable"), /^\.[\w-]{43}$/);
});

test("a browser is asked to keep a store, and may refuse", async () => {
  const page = await open(undefined, () => {
    globalThis.asked = 0;
    StorageManager.prototype.persist = () => {
      globalThis.asked += 1;
      return Promise.reject(new Error("not today"));
    };
    addEventListener("unhandledrejection", () => (globalThis.asked = "nobody caught it"));
  });
  const asked = await page.evaluate(async () => {
    const before = globalThis.asked;
    const line = new w.pos.Connection(w.config(), w.pos.Store.inBrowser("asked"));
    const { open } = await line.inFlight().catch((error) => ({ open: error.code }));
    await new Promise((resolve) => setTimeout(resolve));
    return [before, open, globalThis.asked];
  });
  assert.deepEqual(asked, [0, "not_registered", 1]);
});

test("stores of one name wait for each other's verb of the same key", async () => {
  const page = await open();
  const [before, code] = await page.evaluate(async () => {
    const line = () => new w.pos.Connection(w.config(), w.pos.Store.inBrowser("able"));
    const [one, other] = [line(), line()];
    const [order, key] = [w.order("approve", 1200), w.key()];
    let [sent, letGo] = [0, null];
    const held = new Promise((resolve) => (letGo = resolve));
    const { fetch } = globalThis;
    globalThis.fetch = async (url, init) => {
      const isOfKey = JSON.stringify([url, ...new Headers(init.headers)]).includes(key);
      if (isOfKey && ++sent === 1) await held;
      return fetch(url, init);
    };
    const both = [one.pay(order, key)];
    await w.until(() => sent > 0);
    both.push(other.pay(order, key));
    // Later, and yet to its end: by then the other had asked what became of it, did it not wait.
    const { code } = await other.pay(w.order("approve", 1300)).catch((error) => error);
    const before = sent;
    letGo();
    await Promise.allSettled(both);
    return [before, code];
  });
  // The contract is another shop's.
  assert.deepEqual([before, code], [1, "not_found"]);
});

test("a shopper's page seals without the shop's module", async () => {
  const page = await browser.newPage();
  await page.goto(server.url);
  server.asked.length = 0;
  const place = told.institutions[0];
  const envelope = await page.evaluate(
    async ({ sealing, place, one }) => {
      const { seal } = await import(sealing);
      return seal(
        { type: "card", number: one.instrument.number, expiryYear: 2039, expiryMonth: 12 },
        {
          institution: place.id,
          contractNumber: place.contract_number,
          operation: "sale",
          orderId: "page-1",
          amount: 1200,
          currency: "JPY",
        },
        JSON.stringify(place.seal_keys),
        place.seal_root,
      );
    },
    { sealing, place, one: place.instruments.approve },
  );
  assert.ok(!envelope.includes(place.instruments.approve.instrument.number));
  assert.ok(JSON.parse(envelope));
  const asked = server.asked.filter((path) => path.startsWith("/pkg/"));
  assert.ok(asked.length > 0 && asked.every((path) => path.includes("seal")), String(asked));
});

/** As a shop writes it: it names what it takes, and a bundler may drop all that this needs not. */
const SHOP = `
  import { Connection, Store, isPosError } from "pos-connect";
  import { seal } from "pos-connect/seal";
  export { seal };
  export const pos = { Connection, Store, isPosError };
`;
const bundles = {
  async esbuild(entry, path) {
    const options = { bundle: true, minify: true, format: "esm", platform: "browser" };
    await build({ ...options, entryPoints: [entry], outfile: join(path, "shop.js") });
    // As the README says: esbuild leaves `new URL("….wasm", import.meta.url)` as it is.
    await cp(join(pkg, "wasm"), path, { recursive: true, filter: (path) => !/\.(js|ts)$/.test(path) });
  },
  async webpack(entry, path) {
    const output = { path, filename: "shop.js", module: true, library: { type: "module" } };
    const compiler = webpack({ mode: "production", entry, output, experiments: { outputModule: true } });
    const stats = await promisify(compiler.run.bind(compiler))();
    assert.ok(!stats.hasErrors(), String(stats));
  },
};

for (const [bundler, bundle] of Object.entries(bundles)) {
  test(`a bundle by ${bundler} seals and pays, and keeps keys in the browser`, async () => {
    const folder = join(tests, "bundle", bundler);
    await mkdir(folder, { recursive: true });
    const entry = join(folder, "entry.js");
    await writeFile(entry, SHOP);
    await bundle(entry, folder);
    const page = await browser.newPage();
    await page.goto(server.url);
    server.asked.length = 0;
    const found = await page.evaluate(
      async ({ bundler, told, keys }) => {
        const [shop, { world }] = await Promise.all([
          import(`/tests/bundle/${bundler}/shop.js`),
          import("/tests/cases.js"),
        ]);
        const w = world({ ...shop, told, keys });
        const { state } = await w.line().pay(w.order("approve", 600));
        const line = new shop.pos.Connection(w.config(), shop.pos.Store.inBrowser(bundler));
        const { code } = await line.keyId().catch((error) => error);
        return [state, code];
      },
      { bundler, told, keys },
    );
    assert.deepEqual(found, ["done", "not_registered"]);
    assert.deepEqual(server.asked.filter((path) => path.startsWith("/pkg/")), []);
  });
}
