// Allocates addresses from a node's blocks: many requests at once become one write a block.
import { type Allocation, addressesOf, allocationsIn } from './block.ts';
import { Inventory, type IpamClient } from './inventory.ts';
import type { AddressRelease, AssignRequest, Operation, Outcome } from './plan.ts';
import { planBatch } from './plan.ts';
import { type PoolSelects, selectsEverything } from './pools.ts';
import { Reservations, settingsOf } from './settings.ts';
import type { AffinityOwner } from './affinity.ts';
import { carryOut, type Faults, isRaceLost } from './writer.ts';
import {
  affinityRepairs,
  blockWrites,
  handleWrites,
  indexAffinities,
  type Write,
} from './writes.ts';

export interface BlockAllocatorOptions {
  readonly client: IpamClient;
  readonly nodeName: string;
  /** Whose the blocks are; absent: the node's. */
  readonly owner?: AffinityOwner;
  /** Evaluates pools' selectors; without it only pools that select everything are used. */
  readonly poolSelects?: PoolSelects;
  /** What is known of the store; absent: it is listed for each batch. */
  readonly inventory?: Inventory;
  /** Writes IPAMHandle objects too, which other tools look for; an inventory must then have them. */
  readonly writesHandles?: boolean;
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
  /** Of two with the same key the later waits for the earlier. */
  readonly key: string;
  readonly resolve: (addresses: string[]) => void;
  readonly reject: (error: unknown) => void;
  /** Addresses given or freed by the attempts so far. */
  readonly done: Set<string>;
  /** Why it failed, while what it had gained is given back. */
  failure?: Error;
}

/** One per node. Safe against other nodes, and against another allocator of the same node. */
export class BlockAllocator {
  readonly #client: IpamClient;
  readonly #nodeName: string;
  readonly #owner: AffinityOwner;
  readonly #poolSelects: PoolSelects;
  readonly #inventory: Inventory;
  readonly #writesHandles: boolean;
  readonly #now: () => number;
  #queue: Pending[] = [];
  #isRunning = false;

  constructor(options: BlockAllocatorOptions) {
    const { client, nodeName, writesHandles = false } = options;
    this.#client = client;
    this.#nodeName = nodeName;
    this.#owner = options.owner ?? { type: 'host', name: nodeName };
    this.#poolSelects = options.poolSelects ?? selectsEverything;
    this.#writesHandles = writesHandles;
    this.#inventory = options.inventory ?? new Inventory(client, { withHandles: writesHandles });
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

  /**
   * Frees all that the handle holds, in any block, and what its other names hold; the addresses
   * freed, none if it held none.
   */
  release(request: {
    readonly handle: string;
    readonly aliases?: readonly string[];
  }): Promise<string[]> {
    const { handle, aliases = [] } = request;
    return this.#enqueue({ kind: 'release', handles: [handle, ...aliases] }, handle);
  }

  /**
   * Frees single addresses, all or none; those freed or resting already, without those that nobody
   * held. Throws `IpamError` where a handle or a sequence number is not that of the allocation.
   */
  releaseAddresses(items: readonly AddressRelease[]): Promise<string[]> {
    const key = `addresses ${items.map(({ address }) => address).join(' ')}`;
    return this.#enqueue({ kind: 'releaseAddresses', items }, key);
  }

  /** What the handle holds. */
  async allocationsOf(handle: string): Promise<Allocation[]> {
    await this.#inventory.refresh();
    const blocks = this.#inventory.blocks.filter((it) => addressesOf(it, handle).length > 0);
    return blocks.flatMap(allocationsIn).filter((allocation) => allocation.handle === handle);
  }

  /** What all handles hold whose attributes name this node. */
  async allocations(): Promise<Allocation[]> {
    await this.#inventory.refresh();
    return this.#inventory.blocks
      .flatMap((block) => allocationsIn(block))
      .filter((allocation) => allocation.attributes['node'] === this.#nodeName);
  }

  #enqueue(operation: Operation, key: string): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ operation, key, resolve, reject, done: new Set() });
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
        this.#inventory.doubt();
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
      if (batch.has(pending.key)) rest.push(pending);
      else batch.set(pending.key, pending);
    }
    this.#queue = rest;
    return [...batch.values()];
  }

  async #settle(batch: readonly Pending[]): Promise<void> {
    let open = batch;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && open.length > 0; attempt++) {
      const isListed = await this.#inventory.refresh();
      const { outcomes, writes } = this.#plan(open.map(({ operation }) => operation));
      if (!isListed && outcomes.some(isDisappointing)) {
        // What is known may be behind the store: nobody is sent away before it was listed.
        this.#inventory.doubt();
        continue;
      }
      const { faults } = await carryOut(this.#client, this.#inventory, writes);
      open = open.filter((pending, index) => {
        const outcome = outcomes[index];
        return outcome !== undefined && !conclude(pending, outcome, faults);
      });
    }
    for (const pending of open) {
      const lost = `lost ${MAX_ATTEMPTS} races for its block; try again`;
      pending.reject(new IpamError(`change addresses of "${pending.key}": ${lost}`));
    }
  }

  #plan(operations: readonly Operation[]): {
    readonly outcomes: readonly Outcome[];
    readonly writes: readonly Write[];
  } {
    const inventory = this.#inventory;
    const { before, after, outcomes } = planBatch(
      {
        pools: inventory.pools,
        blocks: inventory.blocks,
        reservations: new Reservations(inventory.reservations),
        settings: settingsOf(inventory.configuration),
        owner: this.#owner,
        poolSelects: this.#poolSelects,
        nowMs: this.#now(),
      },
      operations,
    );
    const affinities = indexAffinities(inventory.affinities);
    const handles = new Map(inventory.handles.map((handle) => [handle.spec.handleID, handle]));
    const writes = [
      ...blockWrites(before, after, affinities),
      ...affinityRepairs(this.#owner, before, after, affinities),
      ...(this.#writesHandles ? handleWrites(before, after, handles) : []),
    ];
    return { outcomes, writes };
  }
}

/** Nothing was found, or it was refused. */
function isDisappointing(outcome: Outcome): boolean {
  return outcome.failure !== undefined || outcome.changes.length === 0;
}

/** Answers the request if its blocks are written or lost for good; false: plan it again. */
function conclude(pending: Pending, outcome: Outcome, faults: Faults): boolean {
  if (outcome.failure !== undefined) return giveUp(pending, new IpamError(outcome.failure));
  const { kind } = pending.operation;
  for (const { address, block, isKept } of outcome.changes) {
    if (kind === 'releaseAddresses' ? !faults.has(block) : !isKept && !faults.has(block)) {
      pending.done.add(address);
    }
  }
  const failed = outcome.changes.filter(({ block }) => faults.has(block));
  const fatal = failed.find(({ block }) => !isRaceLost(faults.get(block)));
  if (fatal) pending.reject(pending.failure ?? faults.get(fatal.block));
  else if (failed.length > 0) return false;
  else if (pending.failure) pending.reject(pending.failure);
  else if (kind === 'assign') pending.resolve(outcome.changes.map(({ address }) => address));
  else pending.resolve([...pending.done]);
  return true;
}

/** All or none: what earlier attempts gained goes back before the request is refused. */
function giveUp(pending: Pending, failure: IpamError): boolean {
  if (pending.done.size === 0 || pending.operation.kind !== 'assign') {
    pending.reject(failure);
    return true;
  }
  pending.failure = failure;
  const items = [...pending.done].map((address) => ({ address, handle: pending.key }));
  pending.operation = { kind: 'releaseAddresses', items };
  return false;
}
