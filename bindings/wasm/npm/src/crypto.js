// Ed25519 by WebCrypto. Private keys come in as octets, or stay where they are as CryptoKey.

const ED25519 = { name: "Ed25519" };
// RFC 8410: what comes before the 32 octets of a private key.
const PKCS8 = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32);

const subtle = () => globalThis.crypto.subtle;
export const octetsOf = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

const joined = (...parts) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
};

const publicOf = async (pkcs8) => {
  const key = await subtle().importKey("pkcs8", pkcs8, ED25519, true, ["sign"]);
  return octetsOf((await subtle().exportKey("jwk", key)).x);
};

export const webCrypto = {
  publicOf: (secret) => publicOf(joined(PKCS8, secret)),
  async draw() {
    const pair = await subtle().generateKey(ED25519, true, ["sign", "verify"]);
    const { x, d } = await subtle().exportKey("jwk", pair.privateKey);
    return joined(octetsOf(x), octetsOf(d));
  },
  async sign(secret, octets) {
    const pkcs8 = joined(PKCS8, secret);
    const key = await subtle().importKey("pkcs8", pkcs8, ED25519, false, ["sign"]);
    return new Uint8Array(await subtle().sign(ED25519, key, octets));
  },
  async verify(key, octets, signature) {
    const verifying = await subtle().importKey("raw", key, ED25519, false, ["verify"]);
    return subtle().verify(ED25519, verifying, signature, octets);
  },
};

/** A pair whose private half no script can read, with its public half as octets. */
export const drawKept = async () => {
  const pair = await subtle().generateKey(ED25519, false, ["sign", "verify"]);
  return [pair, new Uint8Array(await subtle().exportKey("raw", pair.publicKey))];
};

/** A private key in PKCS#8 (DER) that the shop keeps elsewhere. */
export const held = async (pkcs8) => {
  const key = await subtle().importKey("pkcs8", pkcs8, ED25519, false, ["sign"]);
  return [{ privateKey: key }, await publicOf(pkcs8)];
};

export const signKept = async (pair, octets) =>
  new Uint8Array(await subtle().sign(ED25519, pair.privateKey, octets));

export const base64url = (octets) =>
  btoa(String.fromCharCode(...octets))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
export const pkcs8Of = (key) => (key.length === 32 ? joined(PKCS8, key) : key);
export const hex = (octets) => Array.from(octets, (o) => o.toString(16).padStart(2, "0")).join("");
