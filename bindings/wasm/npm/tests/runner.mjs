// node runner.mjs [--chromium]: the installed package, driven by the shared scenarios.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const inNode = async () => {
  const [pos, { seal }, { runner }, { believe }] = await Promise.all([
    import("pos-connect"),
    import("pos-connect/seal"),
    import("./runner.core.js"),
    import("./trust.js"),
  ]);
  return [runner({ pos, seal, stores: pos.Store, believe }), () => {}];
};

const inChromium = async () => {
  const { entry, launch, serve } = await import("./chromium.js");
  const pkg = dirname(fileURLToPath(import.meta.resolve("pos-connect")));
  const userData = await mkdtemp(join(tmpdir(), "pos-chromium-"));
  const server = await serve(pkg, dirname(fileURLToPath(import.meta.url)));
  const browser = await launch(userData);
  const page = await browser.newPage();
  await page.goto(server.url);
  await page.evaluate(
    async ([main, sealing]) => {
      const [pos, { seal }, { runner }] = await Promise.all([
        import(main),
        import(sealing),
        import("/tests/runner.core.js"),
      ]);
      const journals = new Map();
      const journal = (folder) => {
        if (!journals.has(folder)) journals.set(folder, texts());
        return journals.get(folder);
      };
      const texts = () => {
        const kept = new Map();
        const load = (name) => kept.get(name) ?? null;
        const replace = (name, old, next) => {
          if (load(name) !== old) return false;
          next === null ? kept.delete(name) : kept.set(name, next);
          return true;
        };
        return { load, replace, names: () => [...kept.keys()] };
      };
      const stores = {
        inMemory: () => pos.Store.inMemory(),
        // A page has no files: its own lasting storage under that name.
        inFolder: (folder) => pos.Store.inBrowser(folder),
        ofHost: (keys, folder) => pos.Store.ofHost(keys, journal(folder)),
      };
      // The browser itself is told to believe every certificate.
      globalThis.answer = runner({ pos, seal, stores, believe: () => {} });
    },
    [await entry(pkg, "."), await entry(pkg, "./seal")],
  );
  const close = async () => {
    await browser.close();
    await server.close();
    await rm(userData, { recursive: true });
  };
  return [(request) => page.evaluate((request) => answer(request), request), close];
};

const [answer, close] = await (process.argv.includes("--chromium") ? inChromium() : inNode());
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
await close();
