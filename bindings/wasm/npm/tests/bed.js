// The test bed as a process of its own: a server, three institutions, a shop.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

export const startBed = async () => {
  const child = spawn(process.env.POS_TESTBED, { stdio: ["pipe", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const told = JSON.parse((await lines.next()).value);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  return {
    told,
    async close() {
      child.stdin.end();
      const more = await lines.next();
      const code = await ended;
      if (code !== 0 || !more.done) throw new Error(`the bed ended with ${code}: ${more.value}`);
    },
  };
};

/** What a key storage holds after the bed's shop was registered. */
export const moduleKeys = ({ shop, server }) => {
  const jwk = `{"crv":"Ed25519","kty":"OKP","x":"${server.answer_key}"}`;
  const pin = createHash("sha256").update(jwk).digest().subarray(0, 16).toString("base64url");
  return JSON.stringify({ module_key: shop.module_key.seed, shop_id: shop.id, pin });
};
