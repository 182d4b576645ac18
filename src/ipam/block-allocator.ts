// Allocates pod addresses from the node's blocks: many requests at once become one write a block.
import { type IPAMBlock, type IPPool, type Resource, ipPoolKind, ipamBlockKind } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { isObject } from '#lib';
import { type Allocation, allocationsIn } from './block.ts';
import { type AssignRequest, type Operation, type Outcome, type Plan, planBatch } from './plan.ts';
import { type PoolSelects, selectsEverything } from './pools.ts';

/** What of the API client the allocator uses; writes must be compare-and-swap. */
export type BlockClient = Pick<ApiClient, 'list' | 'create' | 'replace'>;

export interface BlockAllocatorOptions {
  readonly client: BlockClient;
  readonly nodeName: string;
  /** Evaluates pools' selectors; without it only pools that select everything are used. */
  readonly poolSelects?: PoolSelects;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** No address could be had; the message says why and what to do. */
export class IpamError extends Error {
  override readonly name = 'IpamError';
}

/** Upstream's bound on compare-and-swap retries (spec 05). */
const MAX_ATTEMPTS = 100;

interface Pending {
  operation: Operation;
  readonly handle: string;
  readonly resolve: (addresses: string[]) => void;
  readonly reject: (error: unknown) => void;
  /** Addresses given or freed by the attempts so far. */
  readonly done: Set<string>;
  /** Why it failed, while what it had gained is given back. */
  failure?: Error;
}

/** One per node. Safe against other nodes, and against another allocator of the same node. */
export class BlockAllocator {
  readonly #client: BlockClient;
  readonly #nodeName: string;
  readonly #poolSelects: PoolSelects;
  readonly #now: () => number;
  #queue: Pending[] = [];
  #isRunning = false;

  constructor(options: BlockAllocatorOptions) {
    this.#client = options.client;
    this.#nodeName = options.nodeName;
    this.#poolSelects = options.poolSelects ?? selectsEverything;
    this.#now = options.now ?? Date.now;
  }

  /**
   * One address of each family for the handle, IPv4 first; those it has already stay. All or none.
   * The addresses are in the store when this resolves. Throws `IpamError` when there are none, and
   * the client's error when the store fails: then some may be allocated until `release`.
   */
  assign(request: AssignRequest): Promise<string[]> {
    return this.#enqueue({ kind: 'assign', request }, request.handle);
  }

  /** Frees all that the handle holds, in any block; the addresses freed, none if it held none. */
  release(request: { readonly handle: string }): Promise<string[]> {
    return this.#enqueue({ kind: 'release', handle: request.handle }, request.handle);
  }

  /** What the handle holds. */
  async allocationsOf(handle: string): Promise<Allocation[]> {
    return (await this.allocations()).filter((allocation) => allocation.handle === handle);
  }

  /** What all handles hold whose attributes name this node. */
  async allocations(): Promise<Allocation[]> {
    const blocks = await this.#blocks();
    return blocks
      .flatMap((block) => allocationsIn(block))
      .filter((allocation) => allocation.attributes['node'] === this.#nodeName);
  }

  #enqueue(operation: Operation, handle: string): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ operation, handle, resolve, reject, done: new Set() });
      if (this.#isRunning) return;
      this.#isRunning = true;
      // A turn later, so that requests that arrive together share the first write too.
      setImmediate(() => void this.#drain());
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#settle(batch);
      } catch (error) {
        for (const pending of batch) pending.reject(pending.failure ?? error);
      }
    }
    this.#isRunning = false;
  }

  /** The first request of each handle: a later one must see what became of the earlier one. */
  #takeBatch(): Pending[] {
    const batch = new Map<string, Pending>();
    const rest: Pending[] = [];
    for (const pending of this.#queue) {
      if (batch.has(pending.handle)) rest.push(pending);
      else batch.set(pending.handle, pending);
    }
    this.#queue = rest;
    return [...batch.values()];
  }

  async #settle(batch: readonly Pending[]): Promise<void> {
    let open = batch;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && open.length > 0; attempt++) {
      const plan = planBatch(
        {
          pools: await this.#pools(),
          blocks: await this.#blocks(),
          nodeName: this.#nodeName,
          poolSelects: this.#poolSelects,
          // Microseconds: a block made again is ahead of its predecessor, and exact in a double.
          firstSequence: this.#now() * 1000,
        },
        open.map((pending) => pending.operation),
      );
      const faults = await this.#write(plan.writes);
      open = open.filter((pending, index) => {
        const outcome = plan.outcomes[index];
        return outcome !== undefined && !conclude(pending, outcome, faults);
      });
    }
    for (const pending of open) {
      const lost = `lost ${MAX_ATTEMPTS} races for its block; try again`;
      pending.reject(new IpamError(`change addresses of "${pending.handle}": ${lost}`));
    }
  }

  async #write(writes: Plan['writes']): Promise<Faults> {
    const faults = new Map<string, unknown>();
    const write = async (name: string, block: IPAMBlock, isNew: boolean) => {
      try {
        await (isNew
          ? this.#client.create(ipamBlockKind, block)
          : this.#client.replace(ipamBlockKind, block));
      } catch (error) {
        faults.set(name, error);
      }
    };
    await Promise.all([...writes].map(([name, { block, isNew }]) => write(name, block, isNew)));
    return faults;
  }

  async #pools(): Promise<IPPool[]> {
    const { items } = await this.#client.list(ipPoolKind);
    return items.filter(isPool);
  }

  async #blocks(): Promise<IPAMBlock[]> {
    const { items } = await this.#client.list(ipamBlockKind);
    return items.filter(isBlock);
  }
}

/** What went wrong, by the name of the block whose write failed. */
type Faults = ReadonlyMap<string, unknown>;

/** Answers the request if its blocks are written or lost for good; false: plan it again. */
function conclude(pending: Pending, outcome: Outcome, faults: Faults): boolean {
  if (outcome.failure !== undefined) return giveUp(pending, new IpamError(outcome.failure));
  for (const { address, block, isKept } of outcome.changes) {
    if (!isKept && !faults.has(block)) pending.done.add(address);
  }
  const failed = outcome.changes.filter(({ block }) => faults.has(block));
  const fatal = failed.find(({ block }) => !isRaceLost(faults.get(block)));
  if (fatal) pending.reject(pending.failure ?? faults.get(fatal.block));
  else if (failed.length > 0) return false;
  else if (pending.failure) pending.reject(pending.failure);
  else if (pending.operation.kind === 'release') pending.resolve([...pending.done]);
  else pending.resolve(outcome.changes.map(({ address }) => address));
  return true;
}

/** All or none: what earlier attempts gained goes back before the request is refused. */
function giveUp(pending: Pending, failure: IpamError): boolean {
  if (pending.done.size === 0) {
    pending.reject(failure);
    return true;
  }
  pending.failure = failure;
  pending.operation = { kind: 'release', handle: pending.handle };
  return false;
}

/** Somebody else wrote, made or removed the block first: nothing of ours is in it. */
function isRaceLost(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 409 || error.status === 404);
}

function isPool(resource: Resource): resource is IPPool {
  return resource.kind === 'IPPool' && 'spec' in resource && isObject(resource.spec);
}

function isBlock(resource: Resource): resource is IPAMBlock {
  if (resource.kind !== 'IPAMBlock' || !('spec' in resource)) return false;
  const { spec } = resource;
  return (
    isObject(spec) &&
    typeof spec['cidr'] === 'string' &&
    Array.isArray(spec['allocations']) &&
    Array.isArray(spec['unallocated']) &&
    Array.isArray(spec['attributes'])
  );
}
