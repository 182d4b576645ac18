// Deletes objects whose owners are gone, and does what owners that are being deleted wait for.
import { type KindDefinition, kindOf, type Resource } from '#api';
import type { StoredObject, StoreEvent } from '#datastore';
import { isObject } from '#lib';
import type { PropagationPolicy } from './deletion-options.ts';
import { FOREGROUND, isInGracePeriod, isPendingDeletion, ORPHAN } from './deletion-plan.ts';
import { KindWatch, type KindWatchOptions } from './kind-watch.ts';
import { type OwnerReference, ownerReferencesOf } from './metadata-rules.ts';
import { type ObjectLife, OwnerGraph } from './owner-graph.ts';
import { RequestError } from './request-error.ts';
import type { NamedTarget, Resources } from './resources.ts';

export interface GarbageCollectorOptions {
  readonly kinds: readonly KindDefinition[];
  /** An object could not be dealt with; it is tried again. */
  readonly onError: (error: unknown) => void;
}

interface Owners {
  /** There, or of a kind that is not known here: they keep the object. */
  readonly solid: readonly OwnerReference[];
  readonly absent: readonly OwnerReference[];
  /** Being deleted in the foreground: they wait for this object. */
  readonly waiting: readonly OwnerReference[];
}

const RETRY_MS = 5_000;
const AT_ONCE = 8;
/** How long after its grace period an object stays that nobody has removed: nobody runs it. */
const OVERDUE_MS = 5_000;
/** Of a timer; what is due later is looked at again then. */
const MAX_DELAY_MS = 2 ** 31 - 1;
const MANAGER = 'garbage-collector';

/**
 * State, not events: an event only says which object to look at, and what is done follows from what is
 * there when it is looked at. The whole store is looked at when the collector starts.
 */
export class GarbageCollector {
  readonly #resources: Resources;
  readonly #options: GarbageCollectorOptions;
  readonly #graph = new OwnerGraph();
  /** Objects to look at, by uid. */
  readonly #queue = new Map<string, ObjectLife>();
  /** Owners that wait for their dependents to go, by uid. */
  readonly #waiting = new Map<string, ObjectLife>();
  readonly #running = new Set<Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #watches: readonly KindWatch[];
  #closed = false;

  constructor(resources: Resources, options: GarbageCollectorOptions) {
    this.#resources = resources;
    this.#options = options;
    const { kinds, onError } = options;
    this.#watches = kinds.map((kind) => {
      const onChange = (change: Parameters<KindWatchOptions['onChange']>[0]): void =>
        this.#observe(kind, change);
      return new KindWatch(resources, { kind, onChange, onError });
    });
  }

  /** Looks at everything, and from then on at what changes. */
  async start(): Promise<void> {
    for (const watch of this.#watches) await watch.start();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#queue.clear();
    await Promise.all(this.#running);
  }

  #observe(
    kind: KindDefinition,
    { key, value, previous }: Pick<StoreEvent, 'key' | 'value' | 'previous'>,
  ): void {
    const { namespace, name } = key;
    const [before, after] = [previous, value].map((object) => {
      const life = object && lifeOf({ kind, namespace, name }, object);
      return life && { life, owners: ownerReferencesOf(object['metadata']).map(({ uid }) => uid) };
    });
    if (before && before.life.uid !== after?.life.uid) {
      this.#look(this.#graph.dependentsOf(before.life.uid));
      this.#lookAtOwners(this.#graph.set(before.life, []));
    }
    if (!after) return;
    this.#lookAtOwners([...this.#graph.set(after.life, after.owners), ...after.owners]);
    if (after.owners.length > 0 || (value && isMarked(value))) this.#look([after.life]);
  }

  /** They may wait for this dependent. */
  #lookAtOwners(uids: readonly string[]): void {
    for (const uid of uids) {
      const owner = this.#waiting.get(uid);
      if (owner) this.#look([owner]);
    }
  }

  #look(lives: readonly ObjectLife[]): void {
    if (this.#closed) return;
    for (const life of lives) this.#queue.set(life.uid, life);
    while (this.#running.size < AT_ONCE) {
      const [life] = this.#queue.values();
      if (!life) return;
      this.#queue.delete(life.uid);
      const running: Promise<void> = this.#process(life)
        .catch((error: unknown) => {
          if (error instanceof RequestError && error.code === 404) return;
          if (!(error instanceof RequestError && error.code === 409)) this.#options.onError(error);
          this.#lookLater(life, RETRY_MS);
        })
        .finally(() => {
          this.#running.delete(running);
          this.#look([]);
        });
      this.#running.add(running);
    }
  }

  #lookLater(life: ObjectLife, delayMs: number): void {
    if (this.#closed) return;
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        this.#look([life]);
      },
      Math.min(delayMs, MAX_DELAY_MS),
    );
    this.#timers.add(timer);
  }

  async #process(life: ObjectLife): Promise<void> {
    const current = await this.#resources.find(life);
    if (!current || current.metadata.uid !== life.uid) {
      this.#waiting.delete(life.uid);
      return;
    }
    const finalizers = current.metadata.finalizers ?? [];
    if (isPendingDeletion(current)) {
      if (finalizers.includes(ORPHAN)) return this.#orphanDependents(life);
      if (finalizers.includes(FOREGROUND)) return this.#deleteDependents(life, current);
      if (isInGracePeriod(current)) return this.#endGracePeriod(life, current);
      return;
    }
    await this.#collect(life, current);
  }

  async #orphanDependents(life: ObjectLife): Promise<void> {
    const uids = new Set([life.uid]);
    for (const dependent of this.#graph.dependentsOf(life.uid)) {
      await this.#removeOwners(dependent, uids);
    }
    await this.#removeFinalizer(life, ORPHAN);
  }

  async #deleteDependents(life: ObjectLife, current: Resource): Promise<void> {
    this.#waiting.set(life.uid, life);
    const dependents = this.#graph.dependentsOf(life.uid);
    let blocked = false;
    for (const dependent of dependents) {
      const resource = await this.#find(dependent);
      const references = ownerReferencesOf(resource?.metadata);
      blocked ||= references.some((owner) => owner.uid === life.uid && blocks(owner));
    }
    if (!blocked) {
      await this.#removeFinalizer(life, FOREGROUND);
      this.#waiting.delete(life.uid);
      return;
    }
    this.#look(dependents);
    // Its own owner may be one of those that it waits for.
    if (isPendingDeletion(current)) await this.#breakCycle(life, current);
  }

  /** An owner that waits for one of its own dependents would wait for ever. */
  async #breakCycle(life: ObjectLife, current: Resource): Promise<void> {
    const dependents = new Set(this.#graph.dependentsOf(life.uid).map(({ uid }) => uid));
    const owners = ownerReferencesOf(current.metadata);
    const isCycle = owners.some((owner) => blocks(owner) && this.#reaches(dependents, owner.uid));
    if (!isCycle) return;
    await this.#changeOwners(life, (owner) => ({ ...owner, blockOwnerDeletion: false }));
  }

  /** Whether the uid is one of these or depends on them. */
  #reaches(from: ReadonlySet<string>, uid: string): boolean {
    const seen = new Set(from);
    for (const next of seen) {
      if (next === uid) return true;
      for (const dependent of this.#graph.dependentsOf(next)) seen.add(dependent.uid);
    }
    return false;
  }

  /** A pod whose kubelet has not ended it in time has no kubelet. */
  async #endGracePeriod(life: ObjectLife, { metadata }: Resource): Promise<void> {
    const wait = Date.parse(metadata.deletionTimestamp ?? '') + OVERDUE_MS - Date.now();
    if (wait > 0) return this.#lookLater(life, wait);
    await this.#delete(life, { gracePeriodSeconds: 0 });
  }

  async #collect(life: ObjectLife, current: Resource): Promise<void> {
    const { solid, absent, waiting } = await this.#ownersOf(life, current);
    const gone = [...absent, ...waiting];
    if (gone.length === 0) return;
    if (solid.length > 0) {
      return this.#removeOwners(life, new Set(gone.map(({ uid }) => uid)));
    }
    const isOwner = this.#graph.dependentsOf(life.uid).length > 0;
    const policy = waiting.length > 0 && isOwner ? 'Foreground' : policyOf(current);
    const { resourceVersion } = current.metadata;
    await this.#delete(life, { propagationPolicy: policy, resourceVersion });
  }

  async #ownersOf(life: ObjectLife, { metadata }: Resource): Promise<Owners> {
    const owners = { solid: [], absent: [], waiting: [] } as Record<keyof Owners, OwnerReference[]>;
    for (const reference of ownerReferencesOf(metadata)) {
      const kind = kindOf(reference.apiVersion, reference.kind);
      const known = kind !== undefined && this.#options.kinds.includes(kind);
      // What is in no namespace cannot belong to what is in one: it is never collected.
      if (!known || (kind.namespaced && !life.kind.namespaced)) {
        owners.solid.push(reference);
        continue;
      }
      const namespace = kind.namespaced ? life.namespace : '';
      const owner = await this.#resources.find({ kind, namespace, name: reference.name });
      owners[stateOf(owner, reference.uid)].push(reference);
    }
    return owners;
  }

  async #find(life: ObjectLife): Promise<Resource | undefined> {
    const found = await this.#resources.find(life);
    return found?.metadata.uid === life.uid ? found : undefined;
  }

  async #delete(
    { uid, ...target }: ObjectLife,
    options: {
      propagationPolicy?: PropagationPolicy | undefined;
      gracePeriodSeconds?: number;
      resourceVersion?: string | undefined;
    },
  ): Promise<void> {
    await this.#resources.delete(target, { dryRun: false, uid, ...options });
  }

  async #removeOwners(life: ObjectLife, uids: ReadonlySet<string>): Promise<void> {
    await this.#changeOwners(life, (owner) => (uids.has(owner.uid) ? undefined : owner));
  }

  async #changeOwners(
    life: ObjectLife,
    change: (owner: OwnerReference) => OwnerReference | undefined,
  ): Promise<void> {
    await this.#update(life, ({ metadata }) => {
      const { ownerReferences: _, ...others } = metadata;
      const left = ownerReferencesOf(metadata).map(change);
      const owners = left.filter((owner) => owner !== undefined);
      return owners.length > 0 ? { ...others, ownerReferences: owners } : others;
    });
  }

  async #removeFinalizer(life: ObjectLife, finalizer: string): Promise<void> {
    await this.#update(life, ({ metadata }) => ({
      ...metadata,
      finalizers: (metadata.finalizers ?? []).filter((name) => name !== finalizer),
    }));
  }

  async #update(
    { uid, ...target }: ObjectLife,
    change: (current: Resource) => Record<string, unknown>,
  ): Promise<void> {
    const options = { dryRun: false, manager: MANAGER };
    // The uid is a precondition: another life of the name is left alone.
    const next = (current: Resource) => ({ ...current, metadata: { ...change(current), uid } });
    await this.#resources.update(target, next, options).catch((error: unknown) => {
      if (!(error instanceof RequestError && error.code === 404)) throw error;
    });
  }
}

function lifeOf(target: NamedTarget, object: StoredObject): ObjectLife | undefined {
  const uid = isObject(object['metadata']) ? object['metadata']['uid'] : undefined;
  return typeof uid === 'string' ? { ...target, uid } : undefined;
}

function isMarked({ metadata }: StoredObject): boolean {
  return isObject(metadata) && metadata['deletionTimestamp'] !== undefined;
}

function blocks({ blockOwnerDeletion }: OwnerReference): boolean {
  return blockOwnerDeletion === true;
}

function stateOf(owner: Resource | undefined, uid: string): keyof Owners {
  if (owner?.metadata.uid !== uid) return 'absent';
  const foreground = owner.metadata.finalizers?.includes(FOREGROUND) ?? false;
  return isPendingDeletion(owner) && foreground ? 'waiting' : 'solid';
}

/** As the object's own finalizers say. */
function policyOf({ metadata: { finalizers = [] } }: Resource): PropagationPolicy {
  if (finalizers.includes(ORPHAN)) return 'Orphan';
  return finalizers.includes(FOREGROUND) ? 'Foreground' : 'Background';
}
