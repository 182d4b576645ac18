// Starts a process of a lab: marked, recorded, in its own group, in its network namespace, with a log of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import type { LabFolder } from './lab-folder.ts';
import {
  LAB_MARK,
  type ProcessExit,
  processStartTime,
  removeProcessRecord,
  signalProcess,
  writeProcessRecord,
} from './process-record.ts';

export interface LaunchOptions {
  /** What it is called in records and messages; also names its log. */
  readonly label: string;
  /** The program and its arguments; never a shell's text. */
  readonly argv: readonly string[];
  /** Path of a network namespace; the root namespace where absent. */
  readonly namespace?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingFolder?: string;
  /** Descriptors that the process gets as 3, 4 ... */
  readonly descriptors?: readonly number[];
}

/** A process that was started. */
export interface Launched {
  readonly label: string;
  readonly log: string;
  /** Undefined where it could not be started at all. */
  readonly pid: number | undefined;
  /** Resolves when it ended; never rejects. */
  readonly ended: Promise<ProcessExit>;
  /** Ends it and its group: SIGTERM, and SIGKILL where that takes longer than the grace. */
  end(graceMs: number): Promise<void>;
  /** Takes its record away, once it has ended. */
  forget(): void;
}

/** The environment that every process of a lab starts from: this program's Node comes first on PATH. */
export function labEnvironment(lab: string): Record<string, string> {
  const path = [dirname(process.execPath), process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin'];
  return {
    PATH: path.join(delimiter),
    HOME: process.env['HOME'] ?? '/root',
    LANG: process.env['LANG'] ?? 'C.UTF-8',
    [LAB_MARK]: lab,
  };
}

/** `argv` as it is run inside a network namespace; the process that runs stays the same. */
export function inNamespace(namespace: string | undefined, argv: readonly string[]): string[] {
  return namespace === undefined ? [...argv] : ['nsenter', `--net=${namespace}`, '--', ...argv];
}

/** Starts a process that outlives this one. */
export function launch(folder: LabFolder, options: LaunchOptions): Launched {
  mkdirSync(folder.logs, { recursive: true, mode: 0o700 });
  const log = folder.log(options.label);
  const output = openSync(log, 'a', 0o600);
  const [program = '', ...args] = inNamespace(options.namespace, options.argv);
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', output, output, ...(options.descriptors ?? [])],
      env: { ...labEnvironment(folder.name), ...options.environment },
      ...(options.workingFolder === undefined ? {} : { cwd: options.workingFolder }),
    });
  } finally {
    closeSync(output);
  }
  return watchChild(folder, child, options.label);
}

function watchChild(folder: LabFolder, child: ChildProcess, label: string): Launched {
  // It outlives this process: it is no reason to stay.
  child.unref();
  const { pid } = child;
  const log = folder.log(label);
  const startTime = pid === undefined ? undefined : processStartTime(pid);
  const record = { label, log, pid: pid ?? 0, startTime: startTime ?? '' };
  if (pid !== undefined) writeProcessRecord(folder, record);
  const ended = new Promise<ProcessExit>((resolve) => {
    const finish = (code: number | null, signal: string | null) => {
      const exit = { code, signal, at: new Date().toISOString() };
      writeProcessRecord(folder, { ...record, exit });
      resolve(exit);
    };
    child.once('exit', finish);
    child.once('error', () => finish(127, null));
  });
  const end = async (graceMs: number) => {
    if (pid === undefined) return;
    signalProcess(record, 'SIGTERM', true);
    const timer = setTimeout(() => signalProcess(record, 'SIGKILL', true), graceMs);
    await ended;
    clearTimeout(timer);
  };
  const forget = () => removeProcessRecord(folder, record);
  return { label, log, pid, ended, end, forget };
}
