// Another process at a folder: node neighbour.mjs FOLDER (add TIMES | hold)

import { writeSync } from "node:fs";

const { Folder } = await import(new URL("folder.js", import.meta.resolve("pos-connect")));

const [path, what, times] = process.argv.slice(2);
const folder = new Folder(path);
if (what === "add") {
  for (let added = 0; added < Number(times); ) {
    const old = folder.load("sum");
    if (await folder.replace("sum", old, String(Number(old) + 1))) added += 1;
  }
} else {
  await folder.alone("sum", () => {
    writeSync(1, "held");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}
