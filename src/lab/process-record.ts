// Processes that somebody else may have to end: found again by pid and start time, never by name.
import { mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isObject } from '#lib';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import type { LabFolder } from './lab-folder.ts';

/** In the environment of every process of a lab, with the lab's name as its value. */
export const LAB_MARK = 'TORTIE_LAB_PROCESS';

/** A process and when it started: together they name one process for ever. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTime: string;
}

export interface ProcessExit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  /** RFC 3339. */
  readonly at: string;
}

export interface ProcessRecord extends ProcessId {
  /** `server`, `node-1`, `pod/shop.cart/main`. */
  readonly label: string;
  readonly log: string;
  readonly exit?: ProcessExit;
}

/** When a process started; undefined where it is gone, or a zombie. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything: fields are counted from behind it (man 5 proc).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function isAlive({ pid, startTime }: ProcessId): boolean {
  return processStartTime(pid) === startTime;
}

/** Sends a signal to that very process, or to its group; false when it is gone. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals, group = false): boolean {
  if (!isAlive(id)) return false;
  try {
    return process.kill(group ? -id.pid : id.pid, signal);
  } catch {
    return false;
  }
}

export function writeProcessRecord(folder: LabFolder, record: ProcessRecord): void {
  mkdirSync(folder.processes, { recursive: true, mode: 0o700 });
  writeJsonFile(recordPath(folder, record), record);
}

/** Forgets a process that ended. */
export function removeProcessRecord(
  folder: LabFolder,
  record: Pick<ProcessRecord, 'label' | 'pid'>,
): void {
  rmSync(recordPath(folder, record), { force: true });
}

/** By pid too: a pod's next life may begin before the one before it has ended. */
function recordPath(
  folder: LabFolder,
  { label, pid }: Pick<ProcessRecord, 'label' | 'pid'>,
): string {
  return join(folder.processes, `${label.replaceAll('/', '_')}.${pid}.json`);
}

export function readProcessRecords(folder: LabFolder): ProcessRecord[] {
  let names: string[];
  try {
    names = readdirSync(folder.processes);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => readJsonFile(join(folder.processes, name)))
    .filter(isProcessRecord);
}

function isProcessRecord(value: unknown): value is ProcessRecord {
  return (
    isObject(value) &&
    typeof value['label'] === 'string' &&
    Number.isSafeInteger(value['pid']) &&
    typeof value['startTime'] === 'string'
  );
}

/**
 * Processes that run in one of the network namespaces or carry the mark of a lab, whoever started them; without this
 * process and those that it descends from.
 */
export function findProcesses(namespaces: readonly string[], lab?: string): ProcessId[] {
  const own = new Set(ancestors(process.pid));
  const inodes = new Set(namespaces.map(namespaceInode).filter((inode) => inode !== undefined));
  const mark = lab === undefined ? undefined : `${LAB_MARK}=${lab}`;
  const found: ProcessId[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || own.has(pid)) continue;
    const startTime = processStartTime(pid);
    if (startTime === undefined) continue;
    if (inodes.has(processNamespace(pid)) || hasMark(pid, mark)) found.push({ pid, startTime });
  }
  return found;
}

function namespaceInode(path: string): string | undefined {
  try {
    return `net:[${statSync(path).ino}]`;
  } catch {
    return undefined;
  }
}

function processNamespace(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

function hasMark(pid: number, mark: string | undefined): boolean {
  if (mark === undefined) return false;
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark);
  } catch {
    return false;
  }
}

function ancestors(pid: number): number[] {
  const chain = [pid];
  for (let at = pid; at > 1; ) {
    at = parentOf(at);
    chain.push(at);
  }
  return chain;
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
  } catch {
    return 0;
  }
}
