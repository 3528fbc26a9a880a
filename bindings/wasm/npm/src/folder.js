// A folder: a file for each text, which threads and processes change in turn. What waits for the disk,
// or may, is done on another thread; the rest here, because it takes less than the way there and back.

import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  unlink,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

import { alone, unless } from "./lock.js";

const [synced, removed] = [fsync, unlink].map(promisify);

// Capitals are written `=a`, because some file systems do not tell them from small letters.
const fileOf = (name) =>
  encodeURIComponent(name).replace(/[A-Z]/g, (letter) => "=" + letter.toLowerCase()) + ".json";
/** Nothing for a file that is none of these, whoever put it there. */
const nameOf = (file) => {
  const encoded = file.replace(/\.json$/, "").replace(/=[a-z]/g, (two) => two[1].toUpperCase());
  try {
    const name = decodeURIComponent(encoded);
    return fileOf(name) === file ? name : null;
  } catch {
    return null;
  }
};

/** Has the disk keep an open file, and closes it. */
const kept = async (file) => {
  try {
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

/** A folder by the one path that leads to it, as far as it is there already. */
const real = (folder) => {
  try {
    return realpathSync(folder);
  } catch {
    const above = dirname(folder);
    return above === folder ? folder : join(real(above), basename(folder));
  }
};

/** Texts that are put in place whole. */
export class Folder {
  constructor(folder) {
    this.folder = folder;
  }
  load(name) {
    return unless("ENOENT", null, () => readFileSync(this.path(name), "utf8"));
  }
  async replace(name, old, next) {
    if (this.load(name) !== old) return false;
    const beside = this.beside(name);
    await kept(this.written(beside, next));
    const isNext = await this.alone(name, () => {
      if (this.load(name) !== old) return false;
      renameSync(beside, this.path(name));
      return true;
    });
    await (isNext ? this.sync() : removed(beside));
    return isNext;
  }
  names() {
    const files = unless("ENOENT", [], () => readdirSync(this.folder));
    return files.map(nameOf).filter((name) => name !== null);
  }
  path(name) {
    return join(this.folder, fileOf(name));
  }
  /** A file of nobody else's. */
  beside(name) {
    return `${this.path(name)}.${randomUUID()}`;
  }
  /** Changes a text, after others who do. */
  alone(name, change) {
    this.#ready();
    return alone(this.path(name) + ".held", change);
  }
  /** A new file with this text, open. */
  written(path, text) {
    this.#ready();
    const file = openSync(path, "wx", 0o600);
    try {
      writeFileSync(file, text);
      return file;
    } catch (cause) {
      closeSync(file);
      throw cause;
    }
  }
  /** Has the disk keep what is new, or has another name, in the folder. */
  sync() {
    return kept(openSync(this.folder));
  }
  #ready() {
    if (!existsSync(this.folder)) make(this.folder);
  }
}

/**
 * Open calls. A new one is written straight to its name, so that the disk is waited for once less; it
 * ends in a line feed, and without one a crash has cut it short before anything was sent.
 */
export class Calls extends Folder {
  static #known = new Map();
  /** Those in a folder: in this thread one value, by which they are known to be the same. */
  static of(folder) {
    if (typeof folder !== "string" || folder === "") throw new TypeError("folder: must name one");
    const path = real(resolve(folder));
    if (!this.#known.has(path)) this.#known.set(path, new this(path));
    return this.#known.get(path);
  }
  load(name) {
    const text = super.load(name);
    return text?.endsWith("\n") ? text.slice(0, -1) : null;
  }
  async replace(name, old, next) {
    if (next === null) return this.#removed(name, old);
    const text = next + "\n";
    const file = old === null ? await this.#entered(name, text) : null;
    if (file === null) return super.replace(name, old, text);
    await kept(file);
    await this.sync();
    return true;
  }
  #entered(name, text) {
    return this.alone(name, () => unless("EEXIST", null, () => this.written(this.path(name), text)));
  }
  // It may be there again after a crash, and is asked for again then.
  async #removed(name, old) {
    const beside = this.beside(name);
    const isOld = await this.alone(name, () => {
      if (this.load(name) !== old) return false;
      renameSync(this.path(name), beside);
      return true;
    });
    if (isOld) await removed(beside);
    return isOld;
  }
}
