// A folder of one process at a time: a file for each text. What waits for the disk, or may, is done on
// another thread; the rest here, because it takes less than the way there and back.

import {
  closeSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  unlink,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

const [synced, removed] = [fsync, unlink].map(promisify);

// Capitals are written `=a`, because some file systems do not tell them from small letters.
const fileOf = (name) =>
  encodeURIComponent(name).replace(/[A-Z]/g, (letter) => "=" + letter.toLowerCase()) + ".json";
const nameOf = (file) =>
  decodeURIComponent(
    file.slice(0, -5).replace(/=[a-z]/g, (two) => two[1].toUpperCase()),
  );

/** What `work` gives; `otherwise` where it fails with this code. */
const unless = (code, otherwise, work) => {
  try {
    return work();
  } catch (cause) {
    if (cause.code === code) return otherwise;
    throw cause;
  }
};

/** Has the disk keep an open file, with this text if one is given, and closes it. */
const kept = async (file, text) => {
  try {
    if (text !== undefined) writeFileSync(file, text);
    await synced(file);
  } finally {
    closeSync(file);
  }
};

/** Makes a folder. One that a crash takes away would take away what is kept in it. */
const make = (folder) => {
  const top = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (top === undefined) return;
  for (let made = resolve(folder); made !== dirname(resolve(top)); made = dirname(made)) {
    const above = openSync(dirname(made));
    try {
      fsyncSync(above);
    } finally {
      closeSync(above);
    }
  }
};

/** Texts that are put in place whole. */
export class Folder {
  #folder;
  #isMade = false;
  #turns = new Map();
  constructor(folder) {
    if (typeof folder !== "string" || folder === "") throw new TypeError("folder: must name one");
    this.#folder = folder;
  }
  load(name) {
    return unless("ENOENT", null, () => readFileSync(this.path(name), "utf8"));
  }
  replace(name, old, next) {
    return this.turn(name, () => this.#replaced(name, old, next));
  }
  /** Changes of one text, one after the other. */
  turn(name, change) {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(change);
    const ended = turn.catch(() => {}).then(() => {
      if (this.#turns.get(name) === ended) this.#turns.delete(name);
    });
    this.#turns.set(name, ended);
    return turn;
  }
  async #replaced(name, old, next) {
    const path = this.path(name);
    await kept(this.open(path + ".new", "w"), next);
    if (this.load(name) !== old) {
      rmSync(path + ".new");
      return false;
    }
    renameSync(path + ".new", path);
    await this.sync();
    return true;
  }
  names() {
    const files = unless("ENOENT", [], () => readdirSync(this.#folder));
    return files.filter((file) => file.endsWith(".json")).map(nameOf);
  }
  path(name) {
    return join(this.#folder, fileOf(name));
  }
  open(path, flags) {
    if (!this.#isMade) make(this.#folder);
    this.#isMade = true;
    return openSync(path, flags, 0o600);
  }
  /** Has the disk keep what is new, or has another name, in the folder. */
  sync() {
    return kept(openSync(this.#folder));
  }
}

/**
 * Open calls. A new one is written straight to its name, so that the disk is waited for once less; it
 * ends in a line feed, and without one a crash has cut it short before anything was sent.
 */
export class Calls extends Folder {
  load(name) {
    const text = super.load(name);
    return text?.endsWith("\n") ? text.slice(0, -1) : null;
  }
  async replace(name, old, next) {
    if (next === null) return this.turn(name, () => this.#removed(name, old));
    const text = next + "\n";
    const file =
      old === null ? unless("EEXIST", null, () => this.open(this.path(name), "wx")) : null;
    if (file === null) return super.replace(name, old, text);
    await kept(file, text);
    await this.sync();
    return true;
  }
  // It may be there again after a crash, and is asked for again then.
  async #removed(name, old) {
    if (this.load(name) !== old) return false;
    await removed(this.path(name));
    return true;
  }
}
