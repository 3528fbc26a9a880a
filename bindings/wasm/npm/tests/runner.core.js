// The runner of tests/scenarios/README.md, but for where it runs: requests in, answers out.

const snake = (name) => name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());
const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

const ODD = {
  nan: NaN,
  minus_one: -1,
  two_to_63: 2 ** 63,
  lone_surrogate: "\ud800",
  megabyte: "x".repeat(2 ** 20),
  bytes: Uint8Array.of(255, 254),
  object: {},
};

class Vault {
  constructor(text) {
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

const failing = (Thrown, text) => {
  const fail = () => {
    throw new Thrown(text);
  };
  return { load: fail, replace: fail };
};

const toJson = (value) => {
  if (Array.isArray(value)) return value.map(toJson);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [snake(name), toJson(one)]));
};

/** `stores` makes those that differ from host to host, and `believe` takes a server's certificate. */
export const runner = ({ pos, seal, stores, believe }) => {
  const kept = new Map();
  const STORAGES = {
    memory: (text) => new Vault(text),
    raises: (text) => failing(pos.KeyStorageError, text),
    throws: (text) => failing(RangeError, text),
  };

  const fromJson = (value) => {
    if (Array.isArray(value)) return value.map(fromJson);
    if (value === null || typeof value !== "object") return value;
    const fields = (rename) => {
      const all = Object.entries(value.fields);
      return Object.fromEntries(all.map(([name, one]) => [rename(name), fromJson(one)]));
    };
    if ("record" in value) {
      const record = fields(camel);
      if (value.record !== "Config") return record;
      // The certificates that are believed are the host's, not the package's.
      const { caPem, ...config } = record;
      if (caPem) believe(caPem);
      return config;
    }
    if ("enum" in value) return value.value;
    if ("variant" in value) return { type: value.variant.split(".")[1], ...fields(camel) };
    if ("kept" in value) return kept.get(value.kept);
    if ("octets" in value) return Uint8Array.from(atob(value.octets), (c) => c.charCodeAt(0));
    if ("odd" in value) return ODD[value.odd];
    if ("storage" in value) return STORAGES[value.storage](value.text);
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fromJson(one)]));
  };

  const called = (request, values) => {
    if ("on" in request) return kept.get(request.on)[camel(request.call)](...values);
    if (request.call === "Connection") return new pos.Connection(...values);
    if (request.call === "seal") return seal(...values);
    const [of, name] = request.call.split(".");
    return of === "Store" ? stores[camel(name)](...values) : pos[camel(of)](...values);
  };

  return async (request) => {
    if ("drop" in request) {
      kept.delete(request.drop);
      return { value: null };
    }
    try {
      const value = await called(request, Object.values(request.arguments).map(fromJson));
      if ("keep" in request) {
        kept.set(request.keep, value);
        return { kept: request.keep };
      }
      if (value?.type === undefined) return { value: toJson(value ?? null) };
      const { type, ...fields } = value;
      return { value: { variant: `KeyStatus.${type}`, fields: toJson(fields) } };
    } catch (error) {
      if (pos.isPosError(error)) {
        const { name: _, ...fields } = error;
        return { error: toJson(fields) };
      }
      if (error instanceof TypeError) return { refused: error.name };
      return { failed: String(error?.stack ?? error) };
    }
  };
};
