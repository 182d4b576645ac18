// The agent's side of packet capture: plans, keeps the thread that captures, reports, hands files out.
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CaptureFiles, PacketCapture } from '#api';
import { jsonEqual } from '#lib';
import { CaptureFollower } from './capture-follow.ts';
import { captureFiles, captureFolder, captureFolders, readPieces } from './capture-folder.ts';
import type {
  CaptureCount,
  FromCaptureThread,
  PodPlan,
  ToCaptureThread,
} from './capture-messages.ts';
import { CapturePlanner, type CaptureUpdate, type PlannedCapture } from './capture-plan.ts';
import { captureEntry, withEntry } from './capture-status.ts';
import type { RingLimits } from './ring-file.ts';

export interface CaptureSettings {
  readonly directory: string;
  readonly limits: RingLimits;
}

export interface CaptureAgentOptions {
  readonly node: string;
  readonly settings: () => CaptureSettings;
  /** Writes the whole list; refused where the capture has changed since. */
  readonly storeFiles: (capture: PacketCapture, files: readonly CaptureFiles[]) => Promise<void>;
  readonly log: (message: string) => void;
  readonly namespace?: number | undefined;
}

const TICK_MS = 1_000;
/** Counts alone are told no more often than this. */
const COUNTS_MS = 2_000;
const RESTART_MS = 1_000;
const REMOVE_MS = 10_000;
/** Each takes 2 MiB of the kernel's memory. */
const PODS_MAX = 64;

interface Known {
  readonly uid: string;
  /** What earlier agents, and earlier threads, had counted. */
  base: { packets: number; dropped: number };
  last: { packets: number; dropped: number };
  toldMs: number;
  writing: boolean;
}

export class CaptureAgent {
  readonly #options: CaptureAgentOptions;
  readonly #planner: CapturePlanner;
  readonly #timer: NodeJS.Timeout;
  readonly #known = new Map<string, Known>();
  readonly #removals = new Map<number, (error: string | undefined) => void>();
  readonly #orphans = new Set<string>();
  #counts = new Map<string, CaptureCount>();
  #worker: Worker | undefined;
  #planned = '[]';
  #removalId = 0;
  #inSync = false;
  #stopping = false;
  #failure = '';

  constructor(options: CaptureAgentOptions) {
    this.#options = options;
    this.#planner = new CapturePlanner(options.node);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  onUpdates(updates: readonly CaptureUpdate[]): void {
    this.#planner.onUpdates(updates);
  }

  /** Nothing is begun, ended or removed before all captures and pods are known. */
  setInSync(inSync: boolean): void {
    this.#inSync = inSync;
  }

  /** Ends what is captured; its files stay. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    const worker = this.#worker;
    if (!worker) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    worker.once('exit', () => resolve());
    this.#tell({ type: 'stop' });
    await promise;
  }

  /** A capture's files here, in pieces of at most so many bytes, each with the file's name. */
  *files(
    namespace: string,
    name: string,
    pieceBytes: number,
  ): Generator<{ readonly file: string; readonly bytes: Uint8Array }> {
    const directory = this.#folder(namespace, name);
    for (const file of captureFiles(directory)) {
      for (const bytes of readPieces(join(directory, file), pieceBytes)) yield { file, bytes };
    }
  }

  /** Packets of a capture as they come here; `all` begins with those that are in the files already. */
  follow(namespace: string, name: string, all: boolean): CaptureFollower {
    return new CaptureFollower(this.#folder(namespace, name), { all });
  }

  /** Whether packets of a capture may still come here. */
  mayCapture(namespace: string, name: string): boolean {
    const isOpen = (this.#counts.get(`${namespace}/${name}`)?.open ?? 0) > 0;
    return isOpen || this.#planner.mayCapture(namespace, name, Date.now());
  }

  /** Removes a capture's files; what is still captured goes into new ones. */
  async remove(namespace: string, name: string): Promise<void> {
    const directory = this.#folder(namespace, name);
    const id = ++this.#removalId;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const timer = setTimeout(() => resolve('the capturing thread does not answer'), REMOVE_MS);
    this.#removals.set(id, resolve);
    this.#start();
    this.#tell({ type: 'remove', directory, id });
    const error = await promise;
    clearTimeout(timer);
    this.#removals.delete(id);
    if (error !== undefined) {
      throw new Error(`cannot remove the files of capture ${namespace}/${name}: ${error}`);
    }
  }

  #folder(namespace: string, name: string): string {
    return captureFolder(this.#options.settings().directory, namespace, name);
  }

  #tick(): void {
    if (!this.#inSync || this.#stopping) return;
    try {
      const captures = this.#planner.plan(Date.now());
      const tooMany = this.#setPlan(captures);
      this.#removeOrphans(captures);
      for (const capture of captures) this.#report(capture, tooMany);
      this.#failure = '';
    } catch (error) {
      const message = `Cannot follow packet captures: ${messageOf(error)}`;
      if (message !== this.#failure) this.#options.log(message);
      this.#failure = message;
    }
  }

  /** Returns the captures that have pods for which there is no room. */
  #setPlan(captures: readonly PlannedCapture[]): ReadonlySet<string> {
    const { directory, limits } = this.#options.settings();
    const pods: PodPlan[] = captures
      .filter(({ phase }) => phase === 'active')
      .flatMap((capture) =>
        capture.pods.map((pod) => ({
          capture: keyOf(capture),
          directory: captureFolder(directory, capture.namespace, capture.name),
          stem: `${pod.name}_${pod.interfaceName}`,
          interfaceName: pod.interfaceName,
          pod: `${capture.namespace}/${pod.name}`,
          filters: capture.filters,
          deniedOnly: capture.deniedOnly,
          limits,
        })),
      );
    const within = pods.slice(0, PODS_MAX);
    const text = JSON.stringify(within);
    if (text !== this.#planned) {
      this.#planned = text;
      this.#start();
      this.#tell({ type: 'plan', pods: within });
    }
    return new Set(pods.slice(PODS_MAX).map((pod) => pod.capture));
  }

  #report(capture: PlannedCapture, tooMany: ReadonlySet<string>): void {
    const { node } = this.#options;
    const key = keyOf(capture);
    const { resource } = capture;
    const listed = resource.status?.files ?? [];
    const before = listed.find((one) => one.node === node);
    const known = this.#knownOf(capture, before);
    const directory = this.#folder(capture.namespace, capture.name);
    const count = this.#counts.get(key);
    known.last = { packets: count?.packets ?? 0, dropped: count?.dropped ?? 0 };
    const errors = [...(count?.errors ?? [])];
    if (tooMany.has(key)) errors.push(`more than ${PODS_MAX} pods are captured on this node`);
    const entry = captureEntry(capture, {
      node,
      directory,
      fileNames: captureFiles(directory),
      packets: known.base.packets + known.last.packets,
      dropped: known.base.dropped + known.last.dropped,
      open: count?.open ?? 0,
      errors,
    });
    if (jsonEqual(entry, before) || known.writing) return;
    const now = Date.now();
    const countsOnly = jsonEqual(withoutCounts(entry), withoutCounts(before));
    if (countsOnly && now - known.toldMs < COUNTS_MS) return;
    known.toldMs = now;
    known.writing = true;
    this.#options
      .storeFiles(resource, withEntry(listed, node, entry))
      // Another node was first, or the server is away: the next tick looks again.
      .catch((error: unknown) => {
        if (!isConflict(error))
          this.#options.log(`Cannot report on capture ${key}: ${messageOf(error)}`);
      })
      .finally(() => (known.writing = false));
  }

  #knownOf(capture: PlannedCapture, before: CaptureFiles | undefined): Known {
    const key = keyOf(capture);
    const uid = capture.resource.metadata.uid ?? '';
    const found = this.#known.get(key);
    if (found?.uid === uid) return found;
    const count = this.#counts.get(key);
    // One of the same name that was there before has counted too.
    const base = {
      packets: (before?.packets ?? 0) - (count?.packets ?? 0),
      dropped: (before?.droppedPackets ?? 0) - (count?.dropped ?? 0),
    };
    const known = { uid, base, last: { packets: 0, dropped: 0 }, toldMs: 0, writing: false };
    this.#known.set(key, known);
    return known;
  }

  /** Files go with the capture that they are of: nobody could ask for them any more. */
  #removeOrphans(captures: readonly PlannedCapture[]): void {
    const keys = new Set(captures.map(keyOf));
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
    for (const { namespace, name } of captureFolders(this.#options.settings().directory)) {
      const key = `${namespace}/${name}`;
      if (keys.has(key)) this.#orphans.delete(key);
      if (keys.has(key) || this.#orphans.has(key)) continue;
      // Once: a folder that cannot be removed is said once.
      this.#orphans.add(key);
      this.remove(namespace, name).catch((error: unknown) => this.#options.log(messageOf(error)));
    }
  }

  #start(): void {
    if (this.#worker || this.#stopping) return;
    const { namespace } = this.#options;
    const workerData = namespace === undefined ? {} : { namespace };
    const worker = new Worker(new URL('./capture-thread.ts', import.meta.url), { workerData });
    worker.on('message', (message: FromCaptureThread) => this.#onMessage(message));
    worker.on('error', (error) =>
      this.#options.log(`Cannot go on capturing: ${messageOf(error)}; beginning again`),
    );
    worker.on('exit', () => this.#onExit());
    this.#worker = worker;
  }

  /** The next tick makes a new thread and gives it the plan. */
  #onExit(): void {
    this.#worker = undefined;
    for (const known of this.#known.values()) {
      known.base.packets += known.last.packets;
      known.base.dropped += known.last.dropped;
    }
    this.#counts.clear();
    for (const resolve of this.#removals.values()) resolve('the capturing thread ended');
    if (!this.#stopping) setTimeout(() => (this.#planned = '[]'), RESTART_MS).unref();
  }

  #onMessage(message: FromCaptureThread): void {
    if (message.type === 'removed') this.#removals.get(message.id)?.(message.error);
    else this.#counts = new Map(message.counts.map((count) => [count.capture, count]));
  }

  #tell(message: ToCaptureThread): void {
    this.#worker?.postMessage(message);
  }
}

function keyOf({ namespace, name }: PlannedCapture): string {
  return `${namespace}/${name}`;
}

function withoutCounts(entry: CaptureFiles | undefined): unknown {
  if (!entry) return entry;
  const { packets: _, droppedPackets: __, ...rest } = entry;
  return rest;
}

function isConflict(error: unknown): boolean {
  return error instanceof Error && 'conflict' in error && error.conflict === true;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
