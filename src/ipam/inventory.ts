// What the store holds of address management: listed, kept up to date by watch events and by own writes.
import {
  type BlockAffinity,
  blockAffinityKind,
  type IPAMBlock,
  type IPAMConfiguration,
  type IPAMHandle,
  type IPPool,
  type IPReservation,
  ipamBlockKind,
  ipamConfigurationKind,
  ipamHandleKind,
  ipPoolKind,
  ipReservationKind,
  type KindDefinition,
  type Resource,
} from '#api';
import type { ApiClient } from '#datastore/client';
import { isObject } from '#lib';

/** What of the API client address management uses; writes must be compare-and-swap. */
export type IpamClient = Pick<ApiClient, 'list' | 'create' | 'replace' | 'delete'>;

/** The kinds an allocator reads; handles only where it writes them. */
export const INVENTORY_KINDS: readonly KindDefinition[] = [
  ipPoolKind,
  ipReservationKind,
  ipamConfigurationKind,
  ipamBlockKind,
  blockAffinityKind,
];

/** One change as a syncer tells it; without a resource it was deleted. */
export interface InventoryUpdate {
  readonly kind: Pick<KindDefinition, 'group' | 'kind'>;
  /** Ends with the object's name, after a space. */
  readonly key: string;
  readonly resource?: Resource | undefined;
}

const GROUP = 'projectcalico.org';

/** Serves values: a resource in it is never changed. */
export class Inventory {
  readonly #client: IpamClient;
  readonly #kinds: readonly KindDefinition[];
  readonly #resources: ReadonlyMap<string, Map<string, Resource>>;
  /** Kind and name of what we wrote and no event has told since. */
  readonly #unseen = new Set<string>();
  #isFed = false;
  #isDoubtful = true;

  constructor(client: IpamClient, options: { readonly withHandles?: boolean } = {}) {
    this.#client = client;
    this.#kinds = options.withHandles ? [...INVENTORY_KINDS, ipamHandleKind] : INVENTORY_KINDS;
    this.#resources = new Map(this.#kinds.map(({ kind }) => [kind, new Map<string, Resource>()]));
  }

  /** Takes changes in from now on: what is known need not be listed before each use. */
  onUpdates(updates: readonly InventoryUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      if (kind.group !== GROUP || !this.#resources.has(kind.kind)) continue;
      const name = resource?.metadata.name ?? key.slice(key.lastIndexOf(' ') + 1);
      const id = `${kind.kind} ${name}`;
      if (resource) {
        if (this.#put(resource)) this.#unseen.delete(id);
        continue;
      }
      // An own write that the watch has not told yet: was it deleted after that, or before?
      if (this.#unseen.delete(id)) this.doubt();
      this.forget(kind.kind, name);
    }
  }

  /** Whether updates are complete: until they are, and after they ended, each use lists. */
  setFed(isFed: boolean): void {
    this.#isFed = isFed;
  }

  /** Something went another way than what is known here made likely: list before the next use. */
  doubt(): void {
    this.#isDoubtful = true;
  }

  /** The answer to an own write. */
  record(resource: Resource): void {
    if (this.#put(resource)) this.#unseen.add(`${resource.kind} ${resource.metadata.name}`);
  }

  /** An older one than is known changes nothing; whether it was taken in. */
  #put(resource: Resource): boolean {
    const known = this.#resources.get(resource.kind);
    const current = known?.get(resource.metadata.name);
    if (!known || (current && isNewer(current, resource.metadata.resourceVersion))) return false;
    known.set(resource.metadata.name, resource);
    return true;
  }

  forget(kind: string, name: string): void {
    this.#unseen.delete(`${kind} ${name}`);
    this.#resources.get(kind)?.delete(name);
  }

  /** Lists unless what is known is current; whether it listed. Throws the client's errors. */
  async refresh(): Promise<boolean> {
    if (this.#isFed && !this.#isDoubtful) return false;
    const lists = await Promise.all(this.#kinds.map((kind) => this.#client.list(kind)));
    for (const [index, { items, resourceVersion }] of lists.entries()) {
      const known = this.#resources.get(this.#kinds[index]?.kind ?? '');
      if (known) replaceAll(known, items, resourceVersion);
    }
    this.#isDoubtful = false;
    return true;
  }

  get pools(): IPPool[] {
    return this.#valid('IPPool', isPool);
  }

  /** Those too that are marked as deleted, whose place may be taken. */
  get blocks(): IPAMBlock[] {
    return this.#valid('IPAMBlock', isBlock);
  }

  get affinities(): BlockAffinity[] {
    return this.#valid('BlockAffinity', isAffinity);
  }

  get handles(): IPAMHandle[] {
    return this.#valid('IPAMHandle', isHandle);
  }

  get reservations(): IPReservation[] {
    return this.#valid('IPReservation', isReservation);
  }

  get configuration(): IPAMConfiguration | undefined {
    return this.#valid('IPAMConfiguration', isConfiguration).find(
      ({ metadata }) => metadata.name === 'default',
    );
  }

  #valid<R extends Resource>(kind: string, isValid: (resource: Resource) => resource is R): R[] {
    return [...(this.#resources.get(kind)?.values() ?? [])].filter(isValid);
  }
}

function replaceAll(
  known: Map<string, Resource>,
  items: readonly Resource[],
  revision: string,
): void {
  const kept = [...known.values()].filter((resource) => isNewer(resource, revision));
  known.clear();
  for (const item of items) known.set(item.metadata.name, item);
  for (const resource of kept) {
    const listed = known.get(resource.metadata.name);
    if (!listed || isNewer(resource, listed.metadata.resourceVersion)) {
      known.set(resource.metadata.name, resource);
    }
  }
}

/** Revisions are numbers at every server there is; where they are not, the later word counts. */
function isNewer(resource: Resource, revision: string | undefined): boolean {
  return Number(resource.metadata.resourceVersion) > Number(revision);
}

export function isPool(resource: Resource): resource is IPPool {
  return typeof specOf(resource)?.['cidr'] === 'string';
}

export function isBlock(resource: Resource): resource is IPAMBlock {
  const spec = specOf(resource);
  return (
    typeof spec?.['cidr'] === 'string' &&
    Array.isArray(spec['allocations']) &&
    Array.isArray(spec['unallocated']) &&
    Array.isArray(spec['attributes'])
  );
}

export function isAffinity(resource: Resource): resource is BlockAffinity {
  const spec = specOf(resource);
  return typeof spec?.['cidr'] === 'string' && typeof spec['node'] === 'string';
}

export function isHandle(resource: Resource): resource is IPAMHandle {
  const spec = specOf(resource);
  return typeof spec?.['handleID'] === 'string' && isObject(spec['block']);
}

function isReservation(resource: Resource): resource is IPReservation {
  return specOf(resource) !== undefined;
}

function isConfiguration(resource: Resource): resource is IPAMConfiguration {
  return specOf(resource) !== undefined;
}

function specOf(resource: Resource): Record<string, unknown> | undefined {
  return 'spec' in resource && isObject(resource.spec) ? resource.spec : undefined;
}
