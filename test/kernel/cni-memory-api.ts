// The API that the CNI tests speak to: in memory, with compare-and-swap, and with faults on demand.
import type { KindDefinition, Resource } from '#api';
import { ApiError } from '#datastore/client';
import { isObject } from '#lib';

interface Key {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/**
 * What it stores and answers is shared and frozen, what it is given as well: nobody can change what others have, and
 * reading costs no more than where a watch has brought it already.
 */
export class MemoryApi {
  readonly #resources = new Map<string, Resource>();
  #revision = 0;
  /** Called before each request: it may delay it, and what it throws is the answer. */
  intercept: (method: string, kind: string) => void | Promise<void> = () => undefined;
  /** Told of each change: what is there now, or what was there when it is gone. */
  onChange: (change: { readonly resource: Resource; readonly isGone: boolean }) => void = () =>
    undefined;

  put(resource: Resource): Resource {
    const metadata = { ...resource.metadata, resourceVersion: String(++this.#revision) };
    const stored = frozen({ ...resource, metadata });
    this.#resources.set(keyText(resource.kind, resource.metadata), stored);
    this.onChange({ resource: stored, isGone: false });
    return stored;
  }

  remove(kind: string, key: Key): void {
    const resource = this.find(kind, key);
    this.#resources.delete(keyText(kind, key));
    if (resource) this.onChange({ resource, isGone: true });
  }

  find(kind: string, key: Key): Resource | undefined {
    return this.#resources.get(keyText(kind, key));
  }

  async list(kind: KindDefinition): Promise<{ items: Resource[]; resourceVersion: string }> {
    await this.#arrive('list', kind);
    const items = [...this.#resources.values()].filter((item) => item.kind === kind.kind);
    return { items, resourceVersion: String(this.#revision) };
  }

  async get(kind: KindDefinition, key: Key): Promise<Resource | undefined> {
    await this.#arrive('get', kind);
    return this.find(kind.kind, key);
  }

  async create(kind: KindDefinition, resource: Resource): Promise<Resource> {
    await this.#arrive('create', kind);
    if (this.find(kind.kind, resource.metadata)) {
      throw new ApiError(409, 'AlreadyExists', 'there is one already');
    }
    return this.put(resource);
  }

  async replace(kind: KindDefinition, resource: Resource): Promise<Resource> {
    await this.#arrive('replace', kind);
    const current = this.#require(kind.kind, resource.metadata);
    if (current.metadata.resourceVersion !== resource.metadata.resourceVersion) {
      throw new ApiError(409, 'Conflict', 'it was changed meanwhile');
    }
    return this.put(resource);
  }

  async delete(
    kind: KindDefinition,
    key: Key,
    options: { resourceVersion?: string } = {},
  ): Promise<void> {
    await this.#arrive('delete', kind);
    const current = this.#require(kind.kind, key);
    const { resourceVersion = current.metadata.resourceVersion } = options;
    if (current.metadata.resourceVersion !== resourceVersion) {
      throw new ApiError(409, 'Conflict', 'it was changed meanwhile');
    }
    this.remove(kind.kind, key);
  }

  async patch(kind: KindDefinition, key: Key, patch: unknown): Promise<Resource> {
    await this.#arrive('patch', kind);
    return this.put(merge(this.#require(kind.kind, key), patch) as Resource);
  }

  #require(kind: string, key: Key): Resource {
    const current = this.find(kind, key);
    if (!current) throw new ApiError(404, 'NotFound', `there is no ${kind} ${key.name}`);
    return current;
  }

  async #arrive(method: string, kind: KindDefinition): Promise<void> {
    await new Promise((done) => setImmediate(done));
    await this.intercept(method, kind.kind);
  }
}

function keyText(kind: string, key: Key): string {
  return `${kind} ${key.namespace ?? ''}/${key.name}`;
}

/** The value itself, with all that it holds; what is frozen was frozen here. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}

/** RFC 7386. */
function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = merge(merged[name], value);
  }
  return merged;
}
