// For tests: a store in memory that enforces compare-and-swap, and can be late, lossy, cut off and stale.
import {
  apiVersionOf,
  type IPAMBlock,
  type IPAMConfiguration,
  type IPPool,
  type KindDefinition,
  type Resource,
} from '#api';
import { ApiError, ConnectionError } from '#datastore/client';

/** What goes wrong with a request: it never arrives, or its answer is lost. */
export type Fault = 'none' | 'before' | 'after';

interface Key {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Calico has a Node too. */
function isOf(kind: KindDefinition, resource: Resource): boolean {
  return resource.kind === kind.kind && resource.apiVersion === apiVersionOf(kind);
}

/** What is stored. Resources are values: nobody may change one, so none is copied. */
export class StoreContents {
  readonly resources = new Map<string, Resource>();
  writes = 0;
  conflicts = 0;
  readonly #writesByKind = new Map<string, number>();
  /** Sees each change once it has happened. */
  onChange: (next: Resource | undefined, previous: Resource | undefined) => void = () => undefined;
  #revision = 0;
  readonly #past: { revision: number; key: string; previous: Resource | undefined }[] = [];

  /** How many changes of the past a list may leave out. */
  readonly #memory: number;

  constructor(memory = 0) {
    this.#memory = memory;
  }

  put(resource: Resource): Resource {
    const metadata = { ...resource.metadata, resourceVersion: String(++this.#revision) };
    const stored = Object.freeze({ ...resource, metadata: Object.freeze(metadata) });
    this.#set(keyOf(resource.kind, resource.metadata), stored);
    return stored;
  }

  remove(kind: string, key: Key): void {
    this.#revision++;
    this.#set(keyOf(kind, key), undefined);
  }

  find(kind: string, key: Key): Resource | undefined {
    return this.resources.get(keyOf(kind, key));
  }

  /** Those of a kind as they are now. */
  of(kind: string): Resource[] {
    return [...this.resources.values()].filter((item) => item.kind === kind);
  }

  blocks(): IPAMBlock[] {
    return this.of('IPAMBlock').filter((item): item is IPAMBlock => item.kind === 'IPAMBlock');
  }

  /** Successful writes of one kind. */
  writesOf(kind: string): number {
    return this.#writesByKind.get(kind) ?? 0;
  }

  listNow(kind: KindDefinition, lag = 0): { items: Resource[]; resourceVersion: string } {
    const behind = Math.min(lag, this.#past.length);
    const view = behind === 0 ? this.resources : this.#viewBehind(behind);
    const items = [...view.values()].filter((item) => isOf(kind, item));
    return { items, resourceVersion: String(this.#revision - behind) };
  }

  createNow(resource: Resource): Resource {
    if (this.find(resource.kind, resource.metadata)) throw this.#refuse('AlreadyExists');
    this.#count(resource.kind);
    return this.put(resource);
  }

  replaceNow(resource: Resource): Resource {
    this.#require(resource.kind, resource.metadata, resource.metadata.resourceVersion);
    this.#count(resource.kind);
    return this.put(resource);
  }

  deleteNow(kind: string, key: Key, version: string | undefined): Resource {
    const current = this.#require(kind, key, version);
    this.#count(kind);
    this.remove(kind, key);
    return current;
  }

  #count(kind: string): void {
    this.writes++;
    this.#writesByKind.set(kind, this.writesOf(kind) + 1);
  }

  #require(kind: string, key: Key, version: string | undefined): Resource {
    const current = this.find(kind, key);
    if (!current) throw new ApiError(404, 'NotFound', 'not found');
    if (version !== undefined && current.metadata.resourceVersion !== version) {
      throw this.#refuse('Conflict');
    }
    return current;
  }

  #refuse(reason: string): ApiError {
    this.conflicts++;
    return new ApiError(409, reason, 'lost the race');
  }

  #set(key: string, next: Resource | undefined): void {
    const previous = this.resources.get(key);
    if (next) this.resources.set(key, next);
    else this.resources.delete(key);
    if (this.#memory > 0) this.#past.push({ revision: this.#revision, key, previous });
    if (this.#past.length > this.#memory * 2) this.#past.splice(0, this.#memory);
    this.onChange(next, previous);
  }

  #viewBehind(count: number): ReadonlyMap<string, Resource> {
    const view = new Map(this.resources);
    for (const { key, previous } of this.#past.slice(-count).toReversed()) {
      if (previous) view.set(key, previous);
      else view.delete(key);
    }
    return view;
  }
}

/** One client's way to the store. */
export class StoreLink {
  readonly contents: StoreContents;
  /** Turns of the event loop before each request takes effect and before its answer. */
  turns: () => number = () => 1;
  /** Waits in place of `turns`. */
  wait: (() => Promise<void>) | undefined;
  fault: () => Fault = () => 'none';
  /** How many revisions a list is behind. */
  lag: () => number = () => 0;

  constructor(contents: StoreContents) {
    this.contents = contents;
  }

  async list(kind: KindDefinition): Promise<{ items: Resource[]; resourceVersion: string }> {
    await this.#pause();
    lose(this.fault(), 'before');
    const list = this.contents.listNow(kind, this.lag());
    await this.#pause();
    return list;
  }

  async get(kind: KindDefinition, key: Key): Promise<Resource | undefined> {
    await this.#pause();
    lose(this.fault(), 'before');
    const found = this.contents.find(kind.kind, key);
    return found && isOf(kind, found) ? found : undefined;
  }

  create(_kind: KindDefinition, resource: Resource): Promise<Resource> {
    return this.#write(() => this.contents.createNow(resource));
  }

  replace(_kind: KindDefinition, resource: Resource): Promise<Resource> {
    return this.#write(() => this.contents.replaceNow(resource));
  }

  async delete(
    kind: KindDefinition,
    key: Key,
    options: { resourceVersion?: string } = {},
  ): Promise<void> {
    await this.#write(() => this.contents.deleteNow(kind.kind, key, options.resourceVersion));
  }

  async #write(apply: () => Resource): Promise<Resource> {
    await this.#pause();
    const fault = this.fault();
    lose(fault, 'before');
    const written = apply();
    await this.#pause();
    lose(fault, 'after');
    return written;
  }

  async #pause(): Promise<void> {
    if (this.wait) return this.wait();
    for (let turn = this.turns(); turn > 0; turn--) await new Promise((done) => setImmediate(done));
    return undefined;
  }
}

/** A store with one client, which it is itself. */
export class MemoryStore extends StoreLink {
  constructor() {
    super(new StoreContents());
  }

  get resources(): Map<string, Resource> {
    return this.contents.resources;
  }

  get writes(): number {
    return this.contents.writes;
  }

  set onChange(see: StoreContents['onChange']) {
    this.contents.onChange = see;
  }

  put(resource: Resource): Resource {
    return this.contents.put(resource);
  }

  remove(kind: string, key: Key): void {
    this.contents.remove(kind, key);
  }

  of(kind: string): Resource[] {
    return this.contents.of(kind);
  }

  blocks(): IPAMBlock[] {
    return this.contents.blocks();
  }

  writesOf(kind: string): number {
    return this.contents.writesOf(kind);
  }
}

function lose(fault: Fault, moment: Fault): void {
  if (fault !== moment) return;
  throw new ConnectionError('https://api.test', new Error('reset'));
}

function keyOf(kind: string, { namespace = '', name }: Key): string {
  return `${kind} ${namespace}/${name}`;
}

export function pool(name: string, cidr: string, spec: Partial<IPPool['spec']> = {}): IPPool {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name },
    spec: { cidr, ...spec },
  };
}

export function storeWith(...resources: Resource[]): MemoryStore {
  const store = new MemoryStore();
  for (const each of resources) store.put(each);
  return store;
}

/** The cluster's IPAMConfiguration. */
export function configuration(spec: IPAMConfiguration['spec']): IPAMConfiguration {
  const metadata = { name: 'default' };
  return { apiVersion: 'projectcalico.org/v3', kind: 'IPAMConfiguration', metadata, spec };
}
