// Ed25519 by WebCrypto. Private keys come in as octets, or stay where they are as CryptoKey.

const ED25519 = { name: "Ed25519" };
// RFC 8410: what comes before the 32 octets of a private key.
const PKCS8 = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32);

const subtle = () => globalThis.crypto.subtle;
export const octetsOf = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

export const joined = (...parts) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
};

export const pkcs8Of = (secret) => joined(PKCS8, secret);

const isSame = (one, other) =>
  one.length === other.length && one.every((octet, at) => octet === other[at]);

/** What `read` makes of octets, made once while they stay the same. */
export const keeping = (read) => {
  let octets = new Uint8Array();
  let made;
  return (wanted) => {
    if (!isSame(octets, wanted)) [octets, made] = [wanted, read(wanted)];
    return made;
  };
};

/** For one store, which signs by one key and believes one: to read a key takes longer than to use it. */
export const webCrypto = () => {
  const read = (secret, extractable) =>
    subtle().importKey("pkcs8", pkcs8Of(secret), ED25519, extractable, ["sign"]);
  const signing = keeping((secret) => read(secret, false));
  const verifying = keeping((key) => subtle().importKey("raw", key, ED25519, false, ["verify"]));
  return {
    async publicOf(secret) {
      return octetsOf((await subtle().exportKey("jwk", await read(secret, true))).x);
    },
    async draw() {
      const pair = await subtle().generateKey(ED25519, true, ["sign", "verify"]);
      const { x, d } = await subtle().exportKey("jwk", pair.privateKey);
      return joined(octetsOf(x), octetsOf(d));
    },
    async sign(secret, octets) {
      return new Uint8Array(await subtle().sign(ED25519, await signing(secret), octets));
    },
    async verify(key, octets, signature) {
      return subtle().verify(ED25519, await verifying(key), signature, octets);
    },
  };
};

/** A pair whose private half no script can read, with its public half as octets. */
export const drawKept = async () => {
  const pair = await subtle().generateKey(ED25519, false, ["sign", "verify"]);
  return [pair, new Uint8Array(await subtle().exportKey("raw", pair.publicKey))];
};

export const signKept = async (pair, octets) =>
  new Uint8Array(await subtle().sign(ED25519, pair.privateKey, octets));

export const base64url = (octets) =>
  btoa(String.fromCharCode(...octets))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
// RFC 5958: the public half may follow, under another length [1] and version [4].
const isPkcs8 = (key) =>
  key.length >= 48 &&
  key[1] === key.length - 2 &&
  PKCS8.every((octet, at) => at === 1 || at === 4 || key[at] === octet);

/** A copy of the 32 octets of a private key, of which they may be all or which is PKCS#8 (DER); else nothing. */
export const secretOf = (key) => {
  if (!(key instanceof Uint8Array)) return null;
  if (key.length === 32) return Uint8Array.from(key);
  return isPkcs8(key) ? Uint8Array.from(key.subarray(16, 48)) : null;
};
export const hex = (octets) => Array.from(octets, (o) => o.toString(16).padStart(2, "0")).join("");
