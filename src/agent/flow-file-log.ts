// Writes flow logs to files of the node, as the parameters flowLogsFile* say (spec 04, flow logs; 12.2).
import type { ParameterValue } from '#api';
import { type AggregationLevel, FileLogEntries, type FileLogSettings, type Flow } from '#flows';
import { jsonEqual } from '#lib';
import { FlowLogFile, type FlowLogFileOptions } from './flow-log-file.ts';

export interface FlowFileLogOptions {
  /** The node's name: who writes. */
  readonly host: string;
  readonly log: (message: string) => void;
  readonly now?: () => number;
  /** Entries at which an interval ends early. */
  readonly entriesMax?: number;
  /** Bytes that wait for a disk that takes no more; beyond, entries are given up and counted. */
  readonly pendingMax?: number;
}

/** What the parameters mean; undefined where no file is to be written. */
interface Plan {
  readonly settings: FileLogSettings;
  readonly file: FlowLogFileOptions;
  readonly intervalMs: number;
}

const ENTRIES_MAX = 20_000;
const PENDING_MAX = 64 << 20;
const TICK_MS = 1_000;
const MEBIBYTE = 1 << 20;

/**
 * Entries of one interval are written together, in threads of the file system. Of an agent that is killed those of
 * the last interval are not in the file.
 */
export class FlowFileLog {
  readonly #options: FlowFileLogOptions;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #plan: Plan | undefined;
  #file: FlowLogFile | undefined;
  #entries: FileLogEntries | undefined;
  #startMs = 0;
  /** Lines that are not in the file yet. */
  #pending: string[] = [];
  #pendingBytes = 0;
  #written = 0;
  #lost = 0;
  #told = '';
  #work: Promise<void> = Promise.resolve();

  constructor(options: FlowFileLogOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Entries that wait for the end of their interval. */
  waiting(verdict: Flow['verdict']): number {
    return this.#entries?.sizeOf(verdict) ?? 0;
  }

  /** Entries that are in the files, and those that were given up. */
  get counts(): { readonly written: number; readonly lost: number } {
    return { written: this.#written, lost: this.#lost };
  }

  /** What was collected before goes as it was to be written then. */
  setParameters(parameters: ReadonlyMap<string, ParameterValue>): void {
    const plan = planOf(parameters);
    if (jsonEqual(plan, this.#plan)) return;
    this.#flush();
    this.#plan = plan;
    this.#file = plan && new FlowLogFile(plan.file);
    this.#entries = plan && new FileLogEntries(this.#options.host, plan.settings);
    this.#startMs = this.#now();
  }

  add(flows: readonly Flow[]): void {
    const entries = this.#entries;
    if (!entries) return;
    for (const flow of flows) entries.add(flow);
    if (entries.size >= (this.#options.entriesMax ?? ENTRIES_MAX)) this.#flush();
  }

  /** Writes what there is; the disk has it when this resolves, or it is counted as lost. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#flush();
    await this.#work;
    const left = this.#pending.splice(0).length;
    this.#lost += left;
    if (left > 0) this.#options.log(`Flow logs end, ${left} entries of which could not be written`);
  }

  #tick(): void {
    if (this.#plan && this.#now() - this.#startMs >= this.#plan.intervalMs) this.#flush();
  }

  #flush(): void {
    const [file, entries, now] = [this.#file, this.#entries, this.#now()];
    if (!file || !entries) return;
    for (const entry of entries.take(this.#startMs, now)) this.#keep(JSON.stringify(entry));
    this.#startMs = now;
    this.#work = this.#work.then(() => this.#write(file));
  }

  #keep(line: string): void {
    if (this.#pendingBytes + line.length > (this.#options.pendingMax ?? PENDING_MAX)) {
      this.#lost++;
      return;
    }
    this.#pending.push(line);
    this.#pendingBytes += line.length;
  }

  async #write(file: FlowLogFile): Promise<void> {
    const lines = this.#pending;
    if (lines.length === 0) return;
    const { taken, error } = await file.append(lines);
    // More may have come meanwhile, at the end.
    const done = this.#pending.splice(0, taken);
    this.#pendingBytes -= done.reduce((sum, line) => sum + line.length, 0);
    this.#written += taken;
    const reason = error instanceof Error ? error.message : String(error);
    const told =
      error === undefined ? '' : `Cannot write flow logs to ${file.directory}: ${reason}`;
    if (told !== this.#told) this.#options.log(told || this.#goesOn());
    this.#told = told;
  }

  #goesOn(): string {
    return `Flow logs are written again; given up so far: ${this.#lost} entries`;
  }
}

function planOf(parameters: ReadonlyMap<string, ParameterValue>): Plan | undefined {
  const is = (name: string): boolean => parameters.get(`FlowLogs${name}`) === true;
  const number = (name: string): number => Number(parameters.get(`FlowLogs${name}`));
  const directory = parameters.get('FlowLogsFileDirectory');
  if (!is('FileEnabled') || typeof directory !== 'string') return undefined;
  const level = (of: 'Allowed' | 'Denied'): AggregationLevel | undefined =>
    is(`FileEnabledFor${of}`) ? levelOf(number(`FileAggregationKindFor${of}`)) : undefined;
  return {
    settings: {
      allowed: level('Allowed'),
      denied: level('Denied'),
      labels: is('FileIncludeLabels'),
      policies: is('FileIncludePolicies'),
      service: is('FileIncludeService'),
      networkSets: is('EnableNetworkSets'),
      processes: is('CollectProcessInfo'),
      tcp: is('CollectTcpStats'),
      processMax: number('FilePerFlowProcessLimit'),
      argsMax: number('FilePerFlowProcessArgsLimit'),
      natPortsMax: number('FileNatOutgoingPortLimit'),
    },
    file: {
      directory,
      maxBytes: number('FileMaxFileSizeMB') * MEBIBYTE,
      maxFiles: number('FileMaxFiles'),
    },
    intervalMs: number('FlushInterval'),
  };
}

function levelOf(kind: number): AggregationLevel {
  return ([0, 1, 2, 3] as const).find((level) => level === kind) ?? 2;
}
