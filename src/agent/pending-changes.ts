// Undoes on this node what nobody confirmed in time and the server, out of reach, could not undo.
import {
  type ChangedObject,
  type KindDefinition,
  kindOf,
  type PendingChange,
  pendingChangeKind,
  type Resource,
} from '#api';
import { resourceKey, type SyncerUpdate } from '#datastore/syncer';
import type { Undoing } from './guarded-calculation.ts';

export interface PendingChangesOptions {
  /** Takes what this node is to go by instead of what it was last told. */
  readonly deliver: (updates: readonly SyncerUpdate[]) => void;
  readonly log: (message: string) => void;
  /** How long after its end a change waits for the server to undo it; milliseconds. */
  readonly graceMs?: number;
  /** When changes are due that a process before this one had seen, by uid; milliseconds since 1970. */
  readonly dueTimes?: Readonly<Record<string, number>>;
}

const GRACE_MS = 10_000;

interface Watched {
  readonly change: PendingChange;
  readonly timer: NodeJS.Timeout;
  /** Milliseconds since 1970, by this node's clock from when it first saw the change. */
  readonly dueAt: number;
  /** Keys of what was undone here; undefined as long as nothing was. */
  undone?: ReadonlySet<string>;
}

/**
 * Stands between the syncer and the calculation. A change that the server undid, or that somebody
 * confirmed, is no longer there when its time is over. One that still is, is undone here: the policy in
 * it may be what keeps the server away. When it goes, what the server says counts again.
 */
export class PendingChanges {
  readonly #options: PendingChangesOptions;
  readonly #watched = new Map<string, Watched>();
  /** What the server last said of each resource that a change may name. */
  readonly #told = new Map<string, SyncerUpdate>();

  constructor(options: PendingChangesOptions) {
    this.#options = options;
  }

  /** Returns those of the updates that count now. */
  onUpdates(updates: readonly SyncerUpdate[]): SyncerUpdate[] {
    const counting: SyncerUpdate[] = [];
    for (const update of updates) {
      if (update.kind === pendingChangeKind) this.#onChange(update);
      if (update.resource) this.#told.set(update.key, update);
      else this.#told.delete(update.key);
      const held = [...this.#watched.values()].some(({ undone }) => undone?.has(update.key));
      if (!held) counting.push(update);
    }
    return counting;
  }

  /** What undoes all changes that wait, those that are undone here already among them; undefined: there is none. */
  undoing(): Undoing | undefined {
    if (this.#watched.size === 0) return undefined;
    // Of two changes to one resource the older one knows what was before both.
    const watched = [...this.#watched.values()].toReversed();
    const open = watched.filter(({ undone }) => !undone);
    const back = open.flatMap(({ change }) =>
      change.spec.objects.flatMap((object) => asBefore(object) ?? []),
    );
    const dueAt = Math.min(...watched.map((one) => one.dueAt));
    return {
      dueAt,
      waitMs: Math.max(0, dueAt - Date.now()),
      dueTimes: Object.fromEntries(watched.map((one) => [uidOf(one.change), one.dueAt])),
      back,
      forth: back.map(({ kind, key }) => this.#counting(kind, key)),
    };
  }

  stop(): void {
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
  }

  #onChange({ key, resource }: SyncerUpdate): void {
    const watched = this.#watched.get(key);
    if (!resource) {
      this.#watched.delete(key);
      clearTimeout(watched?.timer);
      if (watched?.undone) this.#return(watched, watched.undone);
    } else if (!watched) {
      const change = resource as PendingChange;
      const { graceMs = GRACE_MS, dueTimes = {} } = this.#options;
      const after = change.spec.confirmWithinSeconds * 1000 + graceMs;
      const now = Date.now();
      const dueAt = Math.min(dueTimes[uidOf(change)] ?? Infinity, now + after);
      const timer = setTimeout(() => this.#undo(key), Math.max(0, dueAt - now));
      this.#watched.set(key, { change, timer, dueAt });
    }
  }

  #undo(key: string): void {
    const watched = this.#watched.get(key);
    if (!watched) return;
    const { name } = watched.change.metadata;
    const updates = watched.change.spec.objects.flatMap((object) => asBefore(object) ?? []);
    watched.undone = new Set(updates.map((update) => update.key));
    this.#options.log(
      `nobody confirmed ${name}, and the server did not undo it: undone on this node`,
    );
    this.#options.deliver(updates);
  }

  #return({ change }: Watched, keys: ReadonlySet<string>): void {
    const { name } = change.metadata;
    this.#options.log(`${name} is settled at the server: what that says counts again`);
    const updates = change.spec.objects.flatMap((object) => asBefore(object) ?? []);
    this.#options.deliver(
      updates.filter(({ key }) => keys.has(key)).map(({ kind, key }) => this.#toldOf(kind, key)),
    );
  }

  #toldOf(kind: KindDefinition, key: string): SyncerUpdate {
    return this.#told.get(key) ?? { kind, key, resource: undefined };
  }

  /** What is gone by: what the server said, unless a change that is undone here says otherwise. */
  #counting(kind: KindDefinition, key: string): SyncerUpdate {
    const holder = [...this.#watched.values()].find(({ undone }) => undone?.has(key));
    const before = holder?.change.spec.objects.flatMap((object) => asBefore(object) ?? []);
    return before?.find((update) => update.key === key) ?? this.#toldOf(kind, key);
  }
}

function asBefore({
  apiVersion,
  kind: kindName,
  namespace,
  name,
  before,
}: ChangedObject): SyncerUpdate | undefined {
  const kind = kindOf(apiVersion, kindName);
  if (!kind) return undefined;
  const key = resourceKey(kind, { name, ...(namespace !== undefined && { namespace }) });
  return { kind, key, resource: before as unknown as Resource | undefined };
}

function uidOf({ metadata }: PendingChange): string {
  return metadata.uid ?? metadata.name;
}
