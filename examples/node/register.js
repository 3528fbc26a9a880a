// Registers this shop's software with the code that the operator gave: `node register.js USER_ID CODE`.

import { line } from "./payment.js";

const [userId, code] = process.argv.slice(2);
const { shopId, recoveryCodes, panicCode } = await line.register(
  userId,
  process.env.SHOP_PASSWORD,
  code,
);
console.log(`registered as ${shopId}. Write these down, they are shown once:`);
for (const recoveryCode of recoveryCodes) console.log(`  ${recoveryCode}`);
console.log(`and to stop all payments: ${panicCode}`);
