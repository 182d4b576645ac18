// Flows of one interval as entries of a flow log file, aggregated as configured, with exact sums (spec 12.2).
import { type Flow, flowKey } from './flow.ts';
import {
  addFlow,
  addSums,
  type FileLogEntry,
  type FileLogIdentity,
  type FileLogSettings,
  type FileLogSums,
  identityOf,
  noSums,
  sumFields,
} from './file-log-entry.ts';

type Labels = Readonly<Record<string, string>>;

/** Flows of one identity, by the name of their process. */
interface Group {
  readonly identity: FileLogIdentity;
  readonly verdict: Flow['verdict'];
  sourceLabels: Labels;
  destLabels: Labels;
  readonly byProcess: Map<string, FileLogSums>;
}

/** Takes reports of flows in, and gives entries out; nothing that was counted is left out. */
export class FileLogEntries {
  readonly #host: string;
  #settings: FileLogSettings;
  #groups = new Map<string, Group>();

  constructor(host: string, settings: FileLogSettings) {
    this.#host = host;
    this.#settings = settings;
  }

  /** Entries so far, but for processes. */
  get size(): number {
    return this.#groups.size;
  }

  /** Entries so far of flows with this verdict. */
  sizeOf(verdict: Flow['verdict']): number {
    let size = 0;
    for (const group of this.#groups.values()) if (group.verdict === verdict) size++;
    return size;
  }

  /** For what is added from now on; what was added before has to be taken first. */
  setSettings(settings: FileLogSettings): void {
    this.#settings = settings;
  }

  add(flow: Flow): void {
    const level = flow.verdict === 'deny' ? this.#settings.denied : this.#settings.allowed;
    if (level === undefined) return;
    const identity = identityOf(flow, level, this.#settings);
    const text = JSON.stringify(identity);
    const { source, destination, verdict } = flow;
    let group = this.#groups.get(text);
    if (!group) {
      const labels = { sourceLabels: source.labels, destLabels: destination.labels };
      group = { identity, verdict, ...labels, byProcess: new Map() };
      this.#groups.set(text, group);
    }
    group.sourceLabels = common(group.sourceLabels, source.labels);
    group.destLabels = common(group.destLabels, destination.labels);
    const name = this.#settings.processes ? (flow.process?.name ?? '') : '';
    const sums = group.byProcess.get(name) ?? noSums();
    group.byProcess.set(name, sums);
    addFlow(sums, flow, flowKey(flow));
  }

  /** All entries of the interval, which begins anew. Times are written in seconds. */
  take(startMs: number, endMs: number): FileLogEntry[] {
    const groups = this.#groups;
    this.#groups = new Map();
    const times = { start_time: Math.floor(startMs / 1000), end_time: Math.ceil(endMs / 1000) };
    return [...groups.values()].flatMap((group) =>
      this.#sumsOf(group).map((sums) => ({
        host: this.#host,
        ...times,
        ...group.identity,
        source_labels: this.#labels(group.sourceLabels),
        dest_labels: this.#labels(group.destLabels),
        ...sumFields(sums, this.#settings),
      })),
    );
  }

  /** One for each process, or one for all where there are too many. */
  #sumsOf({ byProcess }: Group): FileLogSums[] {
    const each = [...byProcess.values()];
    const named = each.length - (byProcess.has('') ? 1 : 0);
    if (named <= this.#settings.processMax) return each;
    const all = noSums();
    for (const sums of each) addSums(all, sums);
    return [all];
  }

  #labels(labels: Labels): FileLogEntry | null {
    if (!this.#settings.labels) return null;
    return { labels: Object.entries(labels).map(([key, value]) => `${key}=${value}`) };
  }
}

/** What both have. */
function common(a: Labels, b: Labels): Labels {
  if (a === b) return a;
  const shared = Object.entries(a).filter(([key, value]) => b[key] === value);
  return shared.length === Object.keys(a).length ? a : Object.fromEntries(shared);
}
