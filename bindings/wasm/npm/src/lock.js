// A lock among processes. Node has none that the system lets go with its holder, as `flock` does: a
// lock is a file here, made exclusively, that says who holds it.

import { readFileSync, readlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

// As in Rust: how long a lock is waited for, and how often it is tried.
const [LIMIT_MS, PAUSE_MS] = [5_000, 5];

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

const take = (path) =>
  unless("EEXIST", false, () => {
    writeFileSync(path, holder(), { flag: "wx", mode: 0o600 });
    return true;
  });

const holderOf = (path) => unless("ENOENT", "", () => readFileSync(path, "utf8"));

/**
 * Takes away a lock whose holder is gone. One process at a time may, so that none takes away what
 * somebody else has taken since it looked.
 */
const cleared = (path) => {
  const turn = path + ".clearing";
  if (!isGone(holderOf(path)) || !take(turn)) return;
  try {
    if (isGone(holderOf(path))) unlinkSync(path);
  } finally {
    unlinkSync(turn);
  }
};

/**
 * Does `change`, which waits for nothing, while no other thread or process does one under this lock.
 * Should a process be killed within it, the next one that can tell takes the lock away; others refuse.
 */
export const alone = async (path, change) => {
  for (const end = performance.now() + LIMIT_MS; !take(path); cleared(path)) {
    if (performance.now() > end) {
      const [pid, , host] = holderOf(path).split(" ");
      throw new Error(`${path} is held by process ${pid} of ${host}: remove it if that one is gone`);
    }
    await pause(PAUSE_MS);
  }
  try {
    return change();
  } finally {
    unlinkSync(path);
  }
};
