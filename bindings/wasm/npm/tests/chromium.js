// A headless Chromium with pages of our own, served from this machine: a secure context, as a shop's.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

import { chromium } from "playwright-core";

const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // For the test bed alone, whose authority is its own. Chromium believes one by its user's database (NSS) or the
  // machine's policy, which are not the tests' to write to; and --ignore-certificate-errors-spki-list wants the
  // key of the server's own certificate, where a runner knows the authority's, and that only once it runs.
  "--ignore-certificate-errors",
];

/** Serves the installed package under /pkg/ and the tests under /tests/. */
export const serve = async (pkg, tests) => {
  const asked = [];
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://here").pathname));
    asked.push(path);
    const [, root, ...rest] = path.split("/");
    const folder = { pkg, tests }[root];
    try {
      const octets =
        path === "/" ? "<!doctype html><title>shop</title>" : await readFile(join(folder, ...rest));
      response.setHeader("content-type", TYPES[extname(path)] ?? "text/html");
      response.end(octets);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return { url, asked, close: () => new Promise((resolve) => server.close(resolve)) };
};

/** What `specifier` is in a browser, by the package's own export conditions. */
export const entry = async (pkg, specifier) => {
  const { exports } = JSON.parse(await readFile(join(pkg, "package.json"), "utf8"));
  const { browser } = exports[specifier];
  return `/pkg/${(browser.default ?? browser).slice(2)}`;
};

export const launch = (userData) =>
  chromium.launchPersistentContext(userData, {
    executablePath: process.env.POS_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
  });
