// A folder of one process at a time: a file for each text, put in place whole.

import { mkdir, open, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

// Capitals are written `=a`, because some file systems do not tell them from small letters.
const fileOf = (name) =>
  encodeURIComponent(name).replace(/[A-Z]/g, (letter) => "=" + letter.toLowerCase()) + ".json";
const nameOf = (file) =>
  decodeURIComponent(
    file.slice(0, -5).replace(/=[a-z]/g, (two) => two[1].toUpperCase()),
  );

export class Folder {
  #folder;
  #made;
  #last = Promise.resolve();
  constructor(folder) {
    if (typeof folder !== "string" || folder === "") throw new TypeError("folder: must name one");
    this.#folder = folder;
  }
  async load(name) {
    try {
      return await readFile(join(this.#folder, fileOf(name)), "utf8");
    } catch (cause) {
      if (cause.code === "ENOENT") return null;
      throw cause;
    }
  }
  replace(name, old, next) {
    const turn = this.#last.then(() => this.#replaced(name, old, next));
    this.#last = turn.catch(() => {});
    return turn;
  }
  async #replaced(name, old, next) {
    await (this.#made ??= mkdir(this.#folder, { recursive: true, mode: 0o700 }));
    if ((await this.load(name)) !== old) return false;
    const path = join(this.#folder, fileOf(name));
    if (next === null) {
      await rm(path);
    } else {
      const file = await open(path + ".new", "w", 0o600);
      try {
        await file.writeFile(next);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(path + ".new", path);
    }
    const folder = await open(this.#folder);
    await folder.sync().finally(() => folder.close());
    return true;
  }
  async names() {
    try {
      const files = await readdir(this.#folder);
      return files.filter((file) => file.endsWith(".json")).map(nameOf);
    } catch (cause) {
      if (cause.code === "ENOENT") return [];
      throw cause;
    }
  }
}
