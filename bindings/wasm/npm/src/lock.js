// A lock among processes. Node has none that the system lets go with its holder, as `flock` does: a
// lock is a file here, put in place whole and exclusively, that says who holds it.

import { randomUUID } from "node:crypto";
import {
  existsSync,
  linkSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

// As in Rust: how long a lock is waited for, and how often it is tried.
const [LIMIT_MS, PAUSE_MS] = [5_000, 5];
// How long an empty lock may be one that somebody is about to write to.
const EMPTY_MS = 2_000;

/** What `work` gives; `otherwise` where it fails with this code. */
export const unless = (code, otherwise, work) => {
  try {
    return work();
  } catch (cause) {
    if (cause.code === code) return otherwise;
    throw cause;
  }
};

/** Where Linux has a text of its own; empty elsewhere. */
const told = (read) => {
  try {
    return read();
  } catch {
    return "";
  }
};

/** When a process was started, which tells it from a later one of its number. */
const startOf = (pid) => {
  const stat = told(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  // The 22nd field; the second is a name in brackets that may hold anything.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
};

// A number means something only where it was given: on this machine, and in this container.
const place = () => `${hostname()} ${told(() => readlinkSync("/proc/self/ns/pid"))}`;

let me;
const holder = () => (me ??= `${process.pid} ${startOf(process.pid)} ${place()}`);

/** Whether the process is certainly gone. */
const isGone = (held) => {
  const [pid, start, ...rest] = held.split(" ");
  if (!/^[1-9]\d*$/.test(pid) || rest.join(" ") !== place()) return false;
  if (unless("ESRCH", true, () => process.kill(Number(pid), 0) !== true)) return true;
  const now = startOf(pid);
  return start !== "" && now !== "" && now !== start;
};

/** What is written to its own name first can be left there half, by a full disk or a kill; a lock cannot. */
const take = (path) => {
  if (existsSync(path)) return false;
  const own = join(dirname(path), `${randomUUID()}.held`);
  try {
    writeFileSync(own, holder(), { flag: "wx", mode: 0o600 });
    return unless("EEXIST", false, () => {
      linkSync(own, path);
      return true;
    });
  } finally {
    rmSync(own, { force: true });
  }
};

const holderOf = (path) => unless("ENOENT", "", () => readFileSync(path, "utf8"));

/** Whether a lock is there that nobody holds. */
const isLeft = (path) => {
  const held = holderOf(path);
  if (held !== "") return isGone(held);
  // No holder writes an empty one: the machine went down, or the disk was full for an earlier version.
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.size === 0 && Date.now() - found.mtimeMs > EMPTY_MS;
};

const turnAt = (path) => path + ".clearing";

/**
 * Takes away a lock that nobody holds. One process at a time may, so that none takes away what
 * somebody else has taken since it looked. The turn is a lock as well, and left by a process that is
 * killed in it.
 */
const cleared = (path) => {
  if (!isLeft(path)) return;
  const turn = turnAt(path);
  if (!take(turn)) return cleared(turn);
  try {
    if (isLeft(path)) unlinkSync(path);
  } finally {
    unlinkSync(turn);
  }
};

/** The lock that is waited for: of one that nobody holds, the turn to take it away. */
const inTheWay = (path) => (isLeft(path) ? inTheWay(turnAt(path)) : path);

/**
 * Does `change`, which waits for nothing, while no other thread or process does one under this lock.
 * Should a process be killed within it, the next one that can tell takes the lock away; others refuse.
 */
export const alone = async (path, change) => {
  for (const end = performance.now() + LIMIT_MS; !take(path); cleared(path)) {
    if (performance.now() > end) {
      const lock = inTheWay(path);
      const [pid, , host] = holderOf(lock).split(" ");
      const who = host ? `process ${pid} of ${host}` : "a process that it does not name";
      throw new Error(`${lock} is held by ${who}: remove it if that one is gone`);
    }
    await pause(PAUSE_MS);
  }
  try {
    return change();
  } finally {
    unlinkSync(path);
  }
};
