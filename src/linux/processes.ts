// The processes of this machine, by network namespace and by the sockets that they hold (proc(5)).

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';

/** A process and what it was started with. */
export interface ProcessInfo {
  readonly pid: number;
  /** The program's file name as it was called, without folders. */
  readonly name: string;
  /** After the program; bounded. */
  readonly args: readonly string[];
}

const ARGS_MAX = 5;
const ARG_MAX = 128;

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    // It has gone meanwhile, or may not be looked at.
    return undefined;
  }
}

/** A process may enter its namespace some time after it was made. */
const SETTLED_MS = 5_000;
/** Numbers of processes are given again. */
const REREAD_MS = 30_000;

/** The processes of this machine by network namespace; those of other PID namespaces are not seen. */
export class NamespaceProcesses {
  readonly #proc: string;
  readonly #now: () => number;
  /** By process number; `inode` is undefined where it may not be known. */
  #known = new Map<number, { readonly inode: number | undefined; readonly sinceMs: number }>();
  #rereadAt = 0;

  constructor({ proc = '/proc', now = Date.now }: { proc?: string; now?: () => number } = {}) {
    this.#proc = proc;
    this.#now = now;
  }

  /**
   * Process numbers by inode number of the namespace, the newest first. Reads what is new since the last call:
   * some microseconds for each new process, and a tenth of one for each other.
   */
  refresh(): Map<number, number[]> {
    const now = this.#now();
    const rereads = now >= this.#rereadAt;
    if (rereads) this.#rereadAt = now + REREAD_MS;
    const before = this.#known;
    this.#known = new Map();
    const found = new Map<number, number[]>();
    for (const pid of this.#pids(before)) {
      const known = before.get(pid);
      const isSettled = known !== undefined && now - known.sinceMs >= SETTLED_MS;
      const inode = isSettled && !rereads ? known.inode : this.#namespaceOf(pid);
      this.#known.set(pid, { inode, sinceMs: known?.sinceMs ?? now });
      if (inode === undefined) continue;
      const pids = found.get(inode);
      if (pids) pids.push(pid);
      else found.set(inode, [pid]);
    }
    return found;
  }

  /** Those that were not there at the last call first. */
  #pids(before: ReadonlyMap<number, unknown>): number[] {
    const pids = readdirSync(this.#proc).map(Number).filter(Number.isInteger);
    const news = pids.filter((pid) => !before.has(pid));
    const there = new Set(pids);
    return [...news.toReversed(), ...[...before.keys()].filter((pid) => there.has(pid))];
  }

  #namespaceOf(pid: number): number | undefined {
    const link = attempt(() => readlinkSync(`${this.#proc}/${pid}/ns/net`));
    const inode = Number(/^net:\[(\d+)\]$/.exec(link ?? '')?.[1]);
    return Number.isInteger(inode) ? inode : undefined;
  }
}

/** The inode number of a namespace, by a descriptor of it. */
export function namespaceInode(fd: number): number {
  return statSync(`/proc/self/fd/${fd}`).ino;
}

/** Inode numbers of the sockets that a process holds; looks at so many descriptors at most. */
export function socketsOfProcess(pid: number, max: number, proc = '/proc'): number[] {
  const folder = `${proc}/${pid}/fd`;
  const names = attempt(() => readdirSync(folder)) ?? [];
  return names.slice(0, max).flatMap((name) => {
    const link = attempt(() => readlinkSync(`${folder}/${name}`)) ?? '';
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    return inode === undefined ? [] : [Number(inode)];
  });
}

/** Undefined of a process that is not there. Values of arguments that look like secrets are left out. */
export function processInfo(pid: number, proc = '/proc'): ProcessInfo | undefined {
  const own = attempt(() => readFileSync(`${proc}/${pid}/comm`, 'utf8'))?.trimEnd();
  if (own === undefined) return undefined;
  const line = attempt(() => readFileSync(`${proc}/${pid}/cmdline`, 'utf8')) ?? '';
  const [program = '', ...words] = line.split('\0');
  const name = basename(program).slice(0, ARG_MAX) || own;
  return { pid, name, args: withoutSecrets(words.slice(0, -1)).slice(0, ARGS_MAX) };
}

const SECRET = /pass|secret|token|credential|api-?key|auth/i;

/** `--token=x` and `--token x` become `--token=…` and `--token …`. */
function withoutSecrets(words: readonly string[]): string[] {
  return words.map((word, index) => {
    const [name = '', ...value] = word.split('=');
    if (value.length > 0 && SECRET.test(name)) return `${name.slice(0, ARG_MAX)}=…`;
    const before = words[index - 1] ?? '';
    if (before.startsWith('-') && !before.includes('=') && SECRET.test(before)) return '…';
    return word.length > ARG_MAX ? `${word.slice(0, ARG_MAX - 1)}…` : word;
  });
}
