// The resources of all kinds over the store: create, read, update and delete with their rules.
import { ipPoolKind, type KindDefinition, pendingChangeKind, type Resource } from '#api';
import { isObject } from '#lib';
import {
  RevisionConflict,
  type Store,
  type StoredValue,
  type StoreList,
  type StorePosition,
} from '#datastore';
import { applyFields, type FieldManager, trackUpdate } from './field-managers.ts';
import type { ObjectSelector } from './object-selector.ts';
import type { DeleteOptions } from './deletion-options.ts';
import { isFinished, markedForDeletion } from './deletion-plan.ts';
import { EventExpiry } from './event-expiry.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { PendingChanges } from './pending-changes.ts';
import { checkPoolOverlap } from './pool-overlap.ts';
import { Protection } from './protection.ts';
import { RequestCounts } from './request-counts.ts';
import { alreadyExists, conflict, notFound } from './request-error.ts';
import { storeKey, toResource, toStored } from './stored-resource.ts';
import { timestamp } from './timestamp.ts';
import { WATCH_LIMITS, type WatchLimits } from './watch-response.ts';
import {
  type Accepted,
  acceptCreate,
  acceptFinalize,
  acceptStatus,
  acceptUpdate,
  type Birth,
  isUnchanged,
  nameSuffix,
  type Target,
} from './write-strategy.ts';

export interface ResourcesOptions {
  readonly store: Store;
  readonly kinds: readonly KindDefinition[];
  /** Work after a request failed, and is tried again. */
  readonly onError: (error: unknown) => void;
  /** How long a deleted namespace keeps its contents; milliseconds, 1000 by default. */
  readonly graceMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** The end of a generated name, by default drawn at random. */
  readonly suffix?: () => string;
  readonly watchLimits?: WatchLimits;
}

export interface ListQuery {
  readonly selector?: ObjectSelector | undefined;
  /** The revision to list at, by default the newest. */
  readonly at?: number | undefined;
}

export interface PageQuery extends ListQuery {
  /** Items at most; all when undefined. */
  readonly limit?: number | undefined;
  /** Only what comes after it. */
  readonly after?: StorePosition | undefined;
}

export interface ResourcePage {
  readonly items: readonly StoredValue[];
  readonly revision: number;
  /** Undefined: this is the end. */
  readonly rest: { readonly after: StorePosition; readonly count: number } | undefined;
}

export interface WriteOptions {
  readonly dryRun: boolean;
  /** In whose name fields are managed; by default the server's own. */
  readonly manager?: string;
  /** Refuses a change that the caller may not make, by throwing. `current` is absent on a create. */
  readonly authorize?: ((next: Resource, current?: Resource) => void) | undefined;
}

export interface ApplyOptions extends UpdateOptions {
  /** Takes over what others manage. */
  readonly force: boolean;
}

export interface Applied extends Accepted {
  readonly created: boolean;
}

/** A part of an object with a path of its own; `finalize` is of namespaces. */
export type Subresource = 'status' | 'finalize';

export interface UpdateOptions extends WriteOptions {
  readonly subresource?: Subresource | undefined;
}

export interface DeleteCheck {
  /** Refuses the deletion of what was found, by throwing. */
  readonly authorize?: ((current: Readonly<Record<string, unknown>>) => void) | undefined;
}

export interface Deleted {
  /** As it was, or as it is while it waits. */
  readonly resource: Resource;
  readonly gone: boolean;
}

export type NamedTarget = Target & { readonly name: string };

const ACCEPT = { object: acceptUpdate, status: acceptStatus, finalize: acceptFinalize } as const;

/** How often a write is tried that others keep overtaking. */
const ATTEMPTS = 100;
/** How many objects are read at once to find those that are selected. */
const CHUNK = 500;
/** How many generated names are tried, as in Kubernetes. */
const NAMES = 8;
const GRACE_MS = 1_000;
const OWN_MANAGER = 'tortie-server';
const OVERTAKEN = 'others are changing it all the time; try again';

export class Resources {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #suffix: () => string;
  readonly watchLimits: WatchLimits;
  /** What clients asked for, and were sent by watches. */
  readonly counts = new RequestCounts();
  readonly #protection: Protection;
  readonly #collector: GarbageCollector;
  readonly #expiry: EventExpiry;
  readonly #pending: PendingChanges;

  constructor(options: ResourcesOptions) {
    const { store, onError, graceMs = GRACE_MS, now = Date.now } = options;
    const kinds = options.kinds.filter(({ storedAs }) => storedAs === undefined);
    this.watchLimits = options.watchLimits ?? WATCH_LIMITS;
    this.#suffix = options.suffix ?? nameSuffix;
    this.#store = store;
    this.#now = now;
    this.#protection = new Protection(this, { kinds, graceMs, onError });
    this.#collector = new GarbageCollector(this, { kinds, onError });
    this.#expiry = new EventExpiry(this, onError);
    this.#pending = new PendingChanges(this, onError);
  }

  get store(): Store {
    return this.#store;
  }

  /** In the store's order; all namespaces when it is undefined. Throws `RevisionTooOld`. */
  async list(
    kind: KindDefinition,
    namespace: string | undefined,
    { selector, at }: ListQuery = {},
  ): Promise<StoreList> {
    const { items, revision } = await this.#store.list(storeKey(kind, '', '').kind, {
      namespace: kind.namespaced ? namespace : undefined,
      at,
    });
    const selected = selector ? items.filter((item) => selector(item.value)) : items;
    return { items: selected, revision };
  }

  /** A part of a list. `rest.count` counts what is selected or not. Throws `RevisionTooOld`. */
  async page(
    kind: KindDefinition,
    namespace: string | undefined,
    { selector, at, limit, after }: PageQuery,
  ): Promise<ResourcePage> {
    if (limit === undefined && after === undefined) {
      return { ...(await this.list(kind, namespace, { selector, at })), rest: undefined };
    }
    const items: StoredValue[] = [];
    const place = kind.namespaced ? namespace : undefined;
    const name = storeKey(kind, '', '').kind;
    let options = { namespace: place, at, after, limit: selector ? CHUNK : limit };
    for (;;) {
      const chunk = await this.#store.list(name, options);
      const { revision } = chunk;
      for (const [index, item] of chunk.items.entries()) {
        if (selector && !selector(item.value)) continue;
        items.push(item);
        const count = chunk.remaining + chunk.items.length - index - 1;
        if (items.length < (limit ?? Infinity)) continue;
        return { items, revision, rest: count > 0 ? { after: item.key, count } : undefined };
      }
      const last = chunk.items.at(-1);
      if (chunk.remaining === 0 || !last) return { items, revision, rest: undefined };
      options = { ...options, at: revision, after: last.key };
    }
  }

  /** Undefined where there is none. */
  async find({ kind, namespace, name }: NamedTarget): Promise<Resource | undefined> {
    const stored = await this.#store.get(storeKey(kind, namespace, name));
    return stored && toResource(stored.value, stored.revision);
  }

  /** Throws 404. */
  async get(target: NamedTarget): Promise<Resource> {
    const resource = await this.find(target);
    if (!resource) throw notFound(target.kind, target.name);
    return resource;
  }

  async create(target: Target, body: unknown, options: WriteOptions): Promise<Accepted> {
    const { kind } = target;
    const wanted = kind === pendingChangeKind ? await this.#pending.captured(body) : body;
    for (let attempt = 1; ; attempt++) {
      const { resource: next, warnings } = acceptCreate(target, wanted, this.#birth());
      const resource = trackUpdate(kind, { current: undefined, next }, this.#manager(options));
      const created = await this.#add(target, { resource, warnings }, options);
      if (created) return created;
      const { name, generateName } = resource.metadata;
      const isGenerated = generateName !== undefined && !hasName(body);
      if (!isGenerated || attempt === NAMES) throw alreadyExists(kind, name);
    }
  }

  /** `change` makes the wanted body from the current resource; it may be called several times. */
  async update(
    target: NamedTarget,
    change: (current: Resource) => unknown,
    options: UpdateOptions,
  ): Promise<Accepted> {
    const { kind, name } = target;
    const accept = ACCEPT[options.subresource ?? 'object'];
    const manager = this.#manager(options);
    const revise = (current: Resource): Accepted => {
      const { resource: next, warnings } = accept(target, current, change(current));
      return { resource: trackUpdate(kind, { current, next }, manager), warnings };
    };
    const updated = await this.#change(target, revise, options);
    if (!updated) throw notFound(kind, name);
    return updated;
  }

  /** Server-side apply: creates what is not there. Throws a 409 where other managers are in the way. */
  async apply(target: NamedTarget, body: unknown, options: ApplyOptions): Promise<Applied> {
    const { kind, name } = target;
    const { subresource, force } = options;
    const by = { ...this.#manager(options), force };
    const accept = ACCEPT[subresource ?? 'object'];
    const revise = (current: Resource): Accepted => {
      const { wanted, track } = applyFields(kind, { current, body }, by);
      const { resource, warnings } = accept(target, current, wanted);
      return { resource: track(resource), warnings };
    };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const changed = await this.#change(target, revise, options);
      if (changed) return { ...changed, created: false };
      if (subresource !== undefined) throw notFound(kind, name);
      const { wanted, track } = applyFields(kind, { current: undefined, body }, by);
      refuseIdentity(target, wanted);
      const { resource, warnings } = acceptCreate(target, wanted, this.#birth());
      const accepted = { resource: track(resource), warnings };
      const created = await this.#add(target, accepted, options);
      if (created) return { ...created, created: true };
    }
    throw conflict(kind, name, OVERTAKEN);
  }

  /** Undefined: it is there already. */
  async #add(
    { kind, namespace }: Target,
    { resource, warnings }: Accepted,
    options: WriteOptions,
  ): Promise<Accepted | undefined> {
    options.authorize?.(resource);
    const { name } = resource.metadata;
    await this.#protection.checkCreate(kind, namespace, name);
    if (kind === ipPoolKind) await checkPoolOverlap(this, resource);
    const key = storeKey(kind, namespace, name);
    if (options.dryRun) return (await this.#store.get(key)) ? undefined : { resource, warnings };
    const value = toStored(kind, resource);
    const revision = await this.#attempt({ key, value, expected: 0 });
    return revision === undefined ? undefined : { resource: toResource(value, revision), warnings };
  }

  /** Undefined: it is not there. `revise` may be called several times. */
  async #change(
    { kind, namespace, name }: NamedTarget,
    revise: (current: Resource) => Accepted,
    options: WriteOptions,
  ): Promise<Accepted | undefined> {
    const key = storeKey(kind, namespace, name);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stored = await this.#store.get(key);
      if (!stored) return undefined;
      const current = toResource(stored.value, stored.revision);
      const { resource, warnings } = revise(current);
      options.authorize?.(resource, current);
      if (isUnchanged(current, resource)) return { resource: current, warnings };
      if (options.dryRun) return { resource, warnings };
      const kept = !isFinished(resource) || !(await this.#protection.mayRemove(kind, resource));
      const value = kept ? toStored(kind, resource) : undefined;
      const revision = await this.#attempt({ key, value, expected: stored.revision });
      if (revision === undefined) continue;
      if (!kept) await this.#protection.afterRemove(kind, resource);
      return { resource: toResource(toStored(kind, resource), revision), warnings };
    }
    throw conflict(kind, name, OVERTAKEN);
  }

  /** Deletes, or marks for deletion what must wait. */
  async delete(target: NamedTarget, options: DeleteOptions & DeleteCheck): Promise<Deleted> {
    const { kind, name, namespace } = target;
    const key = storeKey(kind, namespace, name);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stored = await this.#store.get(key);
      if (!stored) throw notFound(kind, name);
      const current = toResource(stored.value, stored.revision);
      options.authorize?.({ ...current });
      this.#checkDelete(kind, current, options);
      const marked = markedForDeletion(kind, current, options, this.#now());
      const gone = isFinished(marked) && (await this.#protection.mayRemove(kind, marked));
      if (options.dryRun) return { resource: gone ? current : marked, gone };
      if (gone) {
        const removed = await this.#attempt({ key, value: undefined, expected: stored.revision });
        if (removed === undefined) continue;
        await this.#protection.afterRemove(kind, current);
        return { resource: current, gone };
      }
      if (isUnchanged(current, marked)) {
        return { resource: current, gone };
      }
      const value = toStored(kind, marked);
      const revision = await this.#attempt({ key, value, expected: stored.revision });
      if (revision === undefined) continue;
      await this.#protection.afterMark(kind, marked);
      return { resource: toResource(value, revision), gone };
    }
    throw conflict(kind, name, OVERTAKEN);
  }

  /** Goes on with what was marked for deletion when the server last stopped, and collects garbage. */
  async resume(): Promise<void> {
    await this.#collector.start();
    this.#expiry.start();
    this.#pending.start();
    await this.#protection.resume();
  }

  /** Ends the work that goes on after requests; the store stays open. */
  async close(): Promise<void> {
    await this.#expiry.close();
    await this.#pending.close();
    await this.#collector.close();
    await this.#protection.close();
  }

  #checkDelete(kind: KindDefinition, current: Resource, options: DeleteOptions): void {
    const { name, uid, resourceVersion } = current.metadata;
    this.#protection.checkDelete(kind, name);
    if (options.uid !== undefined && options.uid !== uid) {
      throw conflict(kind, name, `its uid is ${uid}, not ${options.uid}`);
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
      throw conflict(kind, name, `it has changed since resourceVersion ${options.resourceVersion}`);
    }
  }

  #manager({
    manager,
    subresource,
  }: WriteOptions & Pick<UpdateOptions, 'subresource'>): FieldManager {
    const ofStatus = subresource === 'status' ? subresource : undefined;
    return { name: manager ?? OWN_MANAGER, subresource: ofStatus, time: timestamp(this.#now()) };
  }

  #birth(): Birth {
    return { now: this.#now(), suffix: this.#suffix };
  }

  /** Undefined: somebody else was faster. */
  async #attempt(write: Parameters<Store['write']>[0]): Promise<number | undefined> {
    try {
      return await this.#store.write(write);
    } catch (error) {
      if (error instanceof RevisionConflict) return undefined;
      throw error;
    }
  }
}

/** What is applied to an object that was there before must not make another. */
function refuseIdentity({ kind, name }: NamedTarget, wanted: unknown): void {
  const metadata = isObject(wanted) && isObject(wanted['metadata']) ? wanted['metadata'] : {};
  for (const field of ['uid', 'resourceVersion']) {
    if (!metadata[field]) continue;
    throw conflict(kind, name, `it is not there, but metadata.${field} is given; leave that out`);
  }
}

function hasName(body: unknown): boolean {
  const metadata = isObject(body) && isObject(body['metadata']) ? body['metadata'] : {};
  return metadata['name'] !== undefined && metadata['name'] !== null && metadata['name'] !== '';
}
