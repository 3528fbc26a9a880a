// Ed25519 by Node itself, in this thread: to sign takes less than the way to another thread and back.

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from "node:crypto";

import { base64url, joined, keeping, octetsOf, pkcs8Of } from "./crypto.js";

const OKP = { kty: "OKP", crv: "Ed25519" };
const privateOf = (secret) =>
  createPrivateKey({ key: Buffer.from(pkcs8Of(secret)), format: "der", type: "pkcs8" });
const publicOf = (key) =>
  createPublicKey({ key: { ...OKP, x: base64url(key) }, format: "jwk" });

export const openSsl = () => {
  const [signing, verifying] = [keeping(privateOf), keeping(publicOf)];
  return {
    publicOf: (secret) => octetsOf(createPublicKey(privateOf(secret)).export({ format: "jwk" }).x),
    draw() {
      const { x, d } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
      return joined(octetsOf(x), octetsOf(d));
    },
    sign: (secret, octets) => new Uint8Array(sign(null, octets, signing(secret))),
    verify: (key, octets, signature) => verify(null, octets, verifying(key), signature),
  };
};
