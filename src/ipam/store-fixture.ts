// For tests: a store in memory that enforces compare-and-swap, and can be late, lossy, cut off and stale.
import type { IPAMBlock, IPAMConfiguration, IPPool, KindDefinition, Resource } from '#api';
import { ApiError, ConnectionError } from '#datastore/client';

/** What goes wrong with a request: it never arrives, or its answer is lost. */
export type Fault = 'none' | 'before' | 'after';

interface Key {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Resources are values: nobody may change one, so none is copied. */
export class MemoryStore {
  readonly resources = new Map<string, Resource>();
  writes = 0;
  conflicts = 0;
  readonly #writesByKind = new Map<string, number>();
  /** Turns of the event loop before each request takes effect and before its answer. */
  turns: () => number = () => 1;
  /** Waits in place of `turns`. */
  wait: (() => Promise<void>) | undefined;
  fault: () => Fault = () => 'none';
  /** How many revisions a list is behind. */
  lag: () => number = () => 0;
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

  async list(kind: KindDefinition): Promise<{ items: Resource[]; resourceVersion: string }> {
    await this.#wait();
    this.#lose(this.fault(), 'before');
    const behind = Math.min(this.lag(), this.#past.length);
    const resourceVersion = String(this.#revision - behind);
    const view = behind === 0 ? this.resources : this.#viewBehind(behind);
    const items = [...view.values()].filter((item) => item.kind === kind.kind);
    await this.#wait();
    return { items, resourceVersion };
  }

  async get(kind: KindDefinition, key: Key): Promise<Resource | undefined> {
    await this.#wait();
    this.#lose(this.fault(), 'before');
    return this.find(kind.kind, key);
  }

  create(_kind: KindDefinition, resource: Resource): Promise<Resource> {
    return this.#write(resource.kind, () => {
      if (this.find(resource.kind, resource.metadata)) throw this.#refuse('AlreadyExists');
      return this.put(resource);
    });
  }

  replace(_kind: KindDefinition, resource: Resource): Promise<Resource> {
    return this.#write(resource.kind, () => {
      this.#require(resource.kind, resource.metadata, resource.metadata.resourceVersion);
      return this.put(resource);
    });
  }

  async delete(
    kind: KindDefinition,
    key: Key,
    options: { resourceVersion?: string } = {},
  ): Promise<void> {
    await this.#write(kind.kind, () => {
      const current = this.#require(kind.kind, key, options.resourceVersion);
      this.remove(kind.kind, key);
      return current;
    });
  }

  #require(kind: string, key: Key, version: string | undefined): Resource {
    const current = this.find(kind, key);
    if (!current) throw new ApiError(404, 'NotFound', 'not found');
    if (version !== undefined && current.metadata.resourceVersion !== version) {
      throw this.#refuse('Conflict');
    }
    return current;
  }

  async #write(kind: string, apply: () => Resource): Promise<Resource> {
    await this.#wait();
    const fault = this.fault();
    this.#lose(fault, 'before');
    const written = apply();
    this.writes++;
    this.#writesByKind.set(kind, this.writesOf(kind) + 1);
    await this.#wait();
    this.#lose(fault, 'after');
    return written;
  }

  #lose(fault: Fault, moment: Fault): void {
    if (fault !== moment) return;
    throw new ConnectionError('https://api.test', new Error('reset'));
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

  async #wait(): Promise<void> {
    if (this.wait) return this.wait();
    for (let turn = this.turns(); turn > 0; turn--) await new Promise((done) => setImmediate(done));
    return undefined;
  }
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
