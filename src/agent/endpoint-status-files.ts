// A file for each workload whose policy is in the kernel, for those that wait for it (spec 04: endpoint status files).
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { DeltaTracker, differences, jsonEqual, parsePrefix } from '#lib';

const FOLDER = 'endpoint-status';
const UNFINISHED = '.unfinished';

export interface EndpointStatusFilesOptions {
  /** Whether all of an endpoint is in the kernel. */
  readonly isEnforced: (id: string) => boolean;
  readonly log: (message: string) => void;
}

/** As Felix writes it. */
interface EndpointStatus {
  readonly ifaceName: string;
  readonly ipv4Nets: readonly string[];
  readonly ipv6Nets: readonly string[];
}

const OF_FORMER_RUN: EndpointStatus = { ifaceName: '', ipv4Nets: [], ipv6Nets: [] };

/** Files are whole or not there. What cannot be written is told once, and tried again at each apply. */
export class EndpointStatusFiles {
  readonly #options: EndpointStatusFilesOptions;
  readonly #files = new DeltaTracker<string, EndpointStatus>(jsonEqual);
  readonly #waiting = new Set<string>();
  #folder: string | undefined;
  #endpoints: DataplaneState['endpoints'] = new Map();
  #told = '';

  constructor(options: EndpointStatusFilesOptions) {
    this.#options = options;
  }

  /** `prefix`: the folder in which the files' folder is; empty for no files. */
  onApplied({ endpoints }: Pick<DataplaneState, 'endpoints'>, prefix: string): void {
    const folder = prefix === '' ? undefined : join(prefix, FOLDER);
    if (folder !== this.#folder) this.#move(folder);
    for (const { key } of differences(this.#endpoints, endpoints)) this.#waiting.add(key);
    this.#endpoints = endpoints;
    for (const id of this.#waiting) {
      const endpoint = endpoints.get(id);
      const isKept = endpoint !== undefined && this.#options.isEnforced(id);
      if (isKept) this.#files.setDesired(fileName(id), statusOf(endpoint));
      else this.#files.deleteDesired(fileName(id));
      if (isKept || !endpoint) this.#waiting.delete(id);
    }
    if (folder !== undefined && !this.#files.inSync) this.#write(folder);
  }

  /** Files of a former run are of nobody until their endpoints are enforced again. */
  #move(folder: string | undefined): void {
    if (this.#folder !== undefined) this.#removeAll(this.#folder);
    this.#folder = folder;
    this.#files.replaceDesired([]);
    this.#files.replaceActual([]);
    this.#endpoints = new Map();
    if (folder === undefined) return;
    this.#attempt(folder, () => {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      for (const name of readdirSync(folder)) this.#files.setActual(name, OF_FORMER_RUN);
    });
  }

  #removeAll(folder: string): void {
    for (const name of this.#files.actual.keys()) rmSync(join(folder, name), { force: true });
  }

  #write(folder: string): void {
    this.#attempt(folder, () => {
      for (const [name] of this.#files.pendingDeletes()) {
        rmSync(join(folder, name), { force: true });
        this.#files.deleteActual(name);
      }
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      for (const [name, status] of this.#files.pendingUpdates()) {
        const unfinished = join(folder, UNFINISHED);
        writeFileSync(unfinished, JSON.stringify(status), { mode: 0o644 });
        renameSync(unfinished, join(folder, name));
        this.#files.setActual(name, status);
      }
      this.#told = '';
    });
  }

  #attempt(folder: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (this.#told !== reason) this.#options.log(`Cannot keep the files in ${folder}: ${reason}`);
      this.#told = reason;
    }
  }
}

/** As Felix names them: orchestrator, workload and endpoint, escaped, with spaces between. */
function fileName(id: string): string {
  return ['k8s', id, 'eth0'].map(encodeURIComponent).join(' ');
}

function statusOf({ interfaceName, addresses }: LocalEndpoint): EndpointStatus {
  const of = (family: number) => addresses.filter((one) => parsePrefix(one)?.family === family);
  return { ifaceName: interfaceName, ipv4Nets: of(4), ipv6Nets: of(6) };
}
