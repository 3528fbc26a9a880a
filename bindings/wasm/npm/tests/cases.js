// What must hold wherever the package runs: in Node and in a page. No test framework fits both, so a
// case is a function that throws, and whoever runs them says which did.

export const assert = (holds, what) => {
  if (!holds) throw new Error(`it does not hold: ${typeof what === "string" ? what : JSON.stringify(what)}`);
};

const same = (found, wanted) =>
  assert(JSON.stringify(found) === JSON.stringify(wanted), { found, wanted });

export const thrown = async (work) => {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

export class Vault {
  constructor(text = null) {
    this.text = text;
  }
  load() {
    return this.text;
  }
  replace(old, next) {
    if (this.text !== old) return false;
    this.text = next;
    return true;
  }
}

export class Texts {
  texts = new Map();
  load(name) {
    return this.texts.get(name) ?? null;
  }
  replace(name, old, next) {
    if (this.load(name) !== old) return false;
    next === null ? this.texts.delete(name) : this.texts.set(name, next);
    return true;
  }
  names() {
    return [...this.texts.keys()];
  }
}

/** What a shop does, by what the bed tells of itself. */
export const world = ({ pos, seal, told, keys }) => {
  let count = 0;
  const prefix = `js-${Math.random().toString(36).slice(2, 8)}`;
  const { server } = told;
  const config = (more = {}) => ({ serverUrl: server.tls_url, authority: server.authority, ...more });
  const store = () => pos.Store.ofHost(new Vault(keys), new Texts());
  const line = (more) => new pos.Connection(config(more), store());
  const order = (name, amount, operation = "sale") => {
    const one = told.instruments[name];
    const place = told.institutions.find((place) => place.id === one.institution);
    const { number, expiry_year, expiry_month, security_code } = one.instrument;
    const orderId = `${prefix}-${++count}`;
    const card = {
      type: "card",
      number,
      expiryYear: expiry_year,
      expiryMonth: expiry_month,
      securityCode: security_code,
    };
    const binding = {
      institution: place.id,
      contractNumber: one.contract_number,
      operation,
      orderId,
      amount,
      currency: "JPY",
    };
    const envelope = seal(card, binding, JSON.stringify(place.seal_keys), place.seal_root);
    return { contractId: one.contract_id, orderId, amount, currency: "JPY", envelope };
  };
  return { pos, seal, told, config, store, line, order, key: () => `${prefix}-key-${++count}-0000000` };
};

export const cases = {
  async "a payment is made, repeated under its key without acting twice, and refunded"(w) {
    const line = w.line();
    const [order, key] = [w.order("approve", 1200), w.key()];
    const paid = await line.pay(order, key);
    same([paid.state, paid.doneAmount, paid.operation], ["done", 1200, "sale"]);
    const again = await line.pay(order, key);
    same(again.operationId, paid.operationId);
    const refunded = await line.refund(paid.paymentId, 200, "JPY");
    same([refunded.state, refunded.operation], ["done", "refund"]);
    const payment = await line.payment(paid.paymentId);
    same([payment.state, payment.captured, payment.refunded], ["partly_refunded", 1200, 200]);
    const status = await line.operation(key);
    same([status.type, status.operation.operationId], ["found", paid.operationId]);
    same(await line.inFlight(), { open: [], unreadable: [] });
  },

  async "an authorisation is captured in part and the rest released"(w) {
    const line = w.line();
    const held = await line.authorise(w.order("approve", 3000, "authorise"));
    same(held.state, "done");
    same((await line.capture(held.paymentId, 1000, "JPY")).state, "done");
    same((await line.void(held.paymentId)).state, "done");
    same((await line.payment(held.paymentId)).state, "paid");
  },

  async "a decline is an outcome that says what the shopper may be told"(w) {
    const operation = await w.line().pay(w.order("insufficient_funds", 1200));
    same(operation.state, "declined");
    same(operation.decline.reason, "insufficient_funds");
    assert(operation.decline.textJa.length > 0, operation.decline);
    same(operation.decline.shopperAdvice, "try_another");
  },

  async "what can be paid by is told with the keys to seal to"(w) {
    const methods = await w.line().methods();
    assert(methods.contracts.length >= 3, methods);
    const [contract] = methods.contracts;
    const quote = await w.line().quote({
      orderId: w.order("approve", 5).orderId,
      method: contract.methods[0],
      amount: 1200,
      currency: "JPY",
    });
    assert(quote.contract !== null && JSON.parse(quote.sealKeys).payload, quote);
  },

  async "wrong arguments are type errors and leave the line as it was"(w) {
    const line = w.line();
    const good = w.order("approve", 1200);
    const wrong = [
      [undefined],
      [null],
      [7],
      ["an order"],
      [{}],
      [() => good],
      [{ ...good, amount: NaN }],
      [{ ...good, amount: -1 }],
      [{ ...good, amount: 0.5 }],
      [{ ...good, amount: 2 ** 64 }],
      [{ ...good, amount: 5n }],
      [{ ...good, amount: "1200" }],
      [{ ...good, amount: null }],
      [{ ...good, orderId: "\ud800" }],
      [{ ...good, orderID: "1" }],
      [{ ...good, allowPartial: 1 }],
      [good, 7],
      [good, {}],
    ];
    for (const [at, args] of wrong.entries()) {
      const error = await thrown(() => line.pay(...args));
      assert(error instanceof TypeError, `${at}: ${error}`);
    }
    const names = await thrown(() => line.pay({ ...good, amount: "1200" }));
    same(names.message, "order: amount must be u64");
    same((await line.pay(good)).state, "done");
  },

  async "values that cannot be are the module's own errors"(w) {
    const line = w.line();
    const good = w.order("approve", 1200);
    const said = async (order, key) => {
      const error = await thrown(() => line.pay(order, key));
      assert(w.pos.isPosError(error), String(error));
      same(error.kind, "fix_the_request");
      return error.field;
    };
    same(await said({ ...good, amount: 2 ** 63 }), "amount");
    same(await said({ ...good, amount: 0 }), "amount");
    same(await said({ ...good, currency: "yen" }), "currency");
    same(await said({ ...good, orderId: "x".repeat(2 ** 20) }), "order_id");
    same(await said(good, "short"), "idempotency_key");
    assert(await said({ ...good, envelope: "{}" }).then((field) => field.startsWith("envelope")));
  },

  async "a closed line refuses, and says so in the chosen language"(w) {
    const line = w.line({ language: "japanese" });
    line.close();
    const error = await thrown(() => line.listKeys());
    same([error.name, error.kind, error.code], ["PosError", "fix_the_request", "closed"]);
    same(error.message, error.textJa);
    line.free();
    assert((await thrown(() => line.listKeys())) instanceof Error);
  },

  async "settings that cannot be are refused before anything is sent"(w) {
    const made = (config, store) => thrown(() => new w.pos.Connection(config, store ?? w.store()));
    same((await made({ serverUrl: "ftp://pos.example" })).kind, "fix_the_request");
    assert((await made({})) instanceof TypeError);
    assert((await made({ serverUrl: w.told.server.tls_url, language: "klingon" })) instanceof TypeError);
    assert((await thrown(() => w.pos.Store.ofHost({}, {}))) instanceof TypeError);
    const octets = (length) => new Uint8Array(length);
    for (const wrong of [null, 0, 32, "", "32", { length: 32 }, octets(32).buffer, octets(31), octets(48)]) {
      const options = { privateKey: wrong };
      const error = await thrown(() => w.pos.Store.ofHost(new Vault(w.keys), new Texts(), options));
      assert(error instanceof TypeError && error.message.startsWith("privateKey: "), String(error));
    }
  },

  async "a storage that throws is told and nothing is sent"(w) {
    const broken = () => {
      throw new RangeError("the vault is closed");
    };
    const byVault = (failing) => {
      const store = w.pos.Store.ofHost({ load: failing, replace: failing }, new Texts());
      return thrown(() => new w.pos.Connection(w.config(), store).methods());
    };
    // Words that may quote the keys are not passed on; those that were meant to be are.
    const closed = await byVault(broken);
    same([closed.kind, closed.code, closed.cause], ["give_up", "key_store", "the host's key store failed: RangeError"]);
    const sealed = await byVault(async () => {
      throw new w.pos.KeyStorageError("the vault is sealed");
    });
    same([sealed.code, sealed.cause], ["key_store", "the host's key store failed: KeyStorageError: the vault is sealed"]);
    const odd = await byVault(() => {
      throw null;
    });
    same(odd.cause, "the host's key store failed: an error of no class");
    const journal = { load: () => null, replace: broken, names: () => [] };
    const other = new w.pos.Connection(w.config(), w.pos.Store.ofHost(new Vault(w.keys), journal));
    const unnoted = await thrown(() => other.pay(w.order("approve", 1200)));
    assert(w.pos.isPosError(unnoted) && unnoted.cause.includes("the vault is closed"), String(unnoted));
    // One that never takes what is written is not asked for ever.
    const deaf = { load: () => null, replace: () => false, names: () => [] };
    const unheard = new w.pos.Connection(w.config(), w.pos.Store.ofHost(new Vault(w.keys), deaf));
    const stuck = await thrown(() => unheard.pay(w.order("approve", 1200)));
    same(stuck.code, "journal");
    assert(stuck.cause.includes("again and again"), stuck.cause);
    const quoting = {
      load: () => null,
      replace(_, next) {
        this.given = next;
        throw new w.pos.KeyStorageError(`INSERT INTO keys VALUES ('${next.slice(0, 40)}`);
      },
    };
    const { code, user_id } = w.unregistered();
    const line = new w.pos.Connection(w.config(), w.pos.Store.ofHost(quoting, new Texts()));
    const quoted = await thrown(() => line.register(user_id, "a password of my own choice", code));
    const { module_key } = JSON.parse(quoting.given);
    assert(quoting.given.slice(0, 40).includes(module_key.slice(0, 12)), "the test quotes no key");
    same([quoted.code, quoted.cause.includes("INSERT")], ["key_store", false]);
    // So does one that fails to read, by what it holds or by what it has given before.
    const reading = async (words, text) => {
      let loads = 0;
      const load = () => {
        if (text && ++loads === 1) return text;
        throw new w.pos.KeyStorageError(words);
      };
      const line = new w.pos.Connection(w.config(), w.pos.Store.ofHost({ load, replace: load }, new Texts()));
      if (text) await line.rollKey().catch(() => {});
      return (await thrown(() => line.rollKey())).cause;
    };
    const hidden = "the host's key store failed: its reason is not shown, because it quotes what is kept";
    same(await reading('no JSON: {"module_key":"x'), hidden);
    const piece = JSON.parse(w.keys).module_key.slice(20, 30);
    same(await reading(`no JSON at ${piece}`, w.keys), hidden);
    same(await reading("no JSON", w.keys), "the host's key store failed: KeyStorageError: no JSON");
    const seven = await byVault(() => 7);
    same(seven.code, "key_store");
  },

  async "a shop registers, signs a person in, and rolls its key"(w) {
    const { code, user_id } = w.unregistered();
    const vault = new Vault();
    const texts = new Texts();
    const made = () => new w.pos.Connection(w.config(), w.pos.Store.ofHost(vault, texts));
    const line = made();
    const password = "a password of my own choice";
    const registered = await line.register(user_id, password, code);
    same(registered.recoveryCodes.length, 10);
    // A version that no number of JavaScript is.
    const root = JSON.stringify(JSON.parse(vault.text).answer_key);
    const pin = `{"root":${root},"version":1732780000123456789}`;
    vault.text = `${vault.text.slice(0, -1)},"seals":{"elsewhere":${pin}}}`;
    const { key_id, ...rest } = await line.rollKey();
    assert(rest.keyId !== registered.keyId && key_id === undefined);
    assert(vault.text.includes(pin), vault.text.replace(/_key":"[^"]*/g, ""));
    same((await made().listKeys()).length, 2);
    const person = made();
    same((await person.login(user_id, password)).shopId, registered.shopId);
    await person.signOut();
    const wrong = await thrown(() => made().login(user_id, "another password"));
    same([wrong.kind, wrong.code], ["sign_in_again", "credential_refused"]);
  },

  async "an answer is proved by the server's key, and a forged one is not"(w) {
    const forged = await thrown(() =>
      w.pos.verify(w.told.server.answer_key, new Uint8Array(64), 200, {}, new Uint8Array()),
    );
    same([forged.kind, forged.code], ["ask_for_status", "answer_unverified"]);
    const wrong = await thrown(() => w.pos.verify("x", new Uint8Array(64), 200, {}, new Uint8Array()));
    same([wrong.kind, wrong.field], ["fix_the_request", "answer_key"]);
    const short = await thrown(() => w.pos.verify("x", "y", 200, {}, new Uint8Array()));
    assert(short instanceof TypeError, String(short));
  },

  async "sealing refuses what is no card and a set that is not the institution's"(w) {
    const one = w.told.instruments.approve;
    const place = w.told.institutions.find((place) => place.id === one.institution);
    const binding = {
      institution: place.id,
      contractNumber: one.contract_number,
      operation: "sale",
      orderId: "o-1",
      amount: 1200,
      currency: "JPY",
    };
    const card = { type: "card", number: one.instrument.number, expiryYear: 2039, expiryMonth: 12 };
    const keys = JSON.stringify(place.seal_keys);
    const said = (card, of = binding, root = place.seal_root) =>
      thrown(() => w.seal(card, of, keys, root));
    same((await said({ ...card, number: "4111111111111112" })).field, "number");
    assert((await said({ ...card, type: "cash" })) instanceof TypeError);
    assert((await said({ ...card, expiryYear: 70000 })) instanceof TypeError);
    const other = w.told.institutions.find((other) => other.id !== place.id);
    same((await said(card, binding, other.seal_root)).code, "seal_keys_refused");
  },

  async "connections of one store wait for each other's verb of the same key"(w) {
    const texts = new Texts();
    let [entered, letGo] = [0, null];
    const held = new Promise((resolve) => (letGo = resolve));
    const key = w.key();
    const replace = async (name, old, next) => {
      if (name === `call:${key}` && old === null && ++entered === 1) await held;
      return texts.replace(name, old, next);
    };
    const journal = { load: (name) => texts.load(name), replace, names: () => texts.names() };
    const store = w.pos.Store.ofHost(new Vault(w.keys), journal);
    const [one, other] = [0, 1].map(() => new w.pos.Connection(w.config(), store));
    const order = w.order("approve", 1200);
    const both = [one, other].map((line) => line.pay(order, key));
    await w.until(() => entered > 0);
    // Later, and yet to its end: by then the other had entered it too, did it not wait.
    same((await other.pay(w.order("approve", 1300))).state, "done");
    same(entered, 1);
    letGo();
    const [first, second] = await Promise.all(both);
    same([first.state, second.operationId], ["done", first.operationId]);
  },

  async "an open call survives what forgets it, and is settled"(w) {
    const texts = new Texts();
    const store = () => w.pos.Store.ofHost(new Vault(w.keys), texts);
    const key = w.key();
    const line = new w.pos.Connection(w.config({ totalTimeoutS: 6, attemptTimeoutS: 5 }), store());
    // Nobody waits for it; the journal holds it from before it is sent.
    const abandoned = line.pay(w.order("fault:no_answer", 1200), key).catch((error) => error);
    await w.until(() => texts.names().length > 0);
    const later = new w.pos.Connection(w.config(), store());
    same((await later.inFlight()).open.map((call) => call.idempotencyKey), [key]);
    await abandoned;
    const settled = async () => (await later.resume(key)).state === "done";
    await w.until(settled);
    same(await later.inFlight(), { open: [], unreadable: [] });
    same(texts.names(), []);
  },
};

/** Runs all; gives the names of those that failed, each with why. */
export const run = async (w) => {
  const failed = {};
  for (const [name, test] of Object.entries(cases)) {
    try {
      await test(w);
    } catch (error) {
      failed[name] = `${error.stack ?? error} ${JSON.stringify(error)}`;
    }
  }
  return failed;
};
