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

/**
 * Process numbers by network namespace (its inode number). Some microseconds for each process; those of
 * other PID namespaces are not seen.
 */
export function processesByNamespace(proc = '/proc'): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const name of readdirSync(proc)) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const link = attempt(() => readlinkSync(`${proc}/${pid}/ns/net`));
    const inode = Number(/^net:\[(\d+)\]$/.exec(link ?? '')?.[1]);
    if (!Number.isInteger(inode)) continue;
    const pids = found.get(inode);
    if (pids) pids.push(pid);
    else found.set(inode, [pid]);
  }
  return found;
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
