// Turns a batch of requests and what the store holds into the fewest block writes that satisfy it.
import type { IPAMBlock, IPPool } from '#api';
import { type Family, type Prefix, FAMILIES, parsePrefix } from '#lib';
import {
  type Owner,
  allocate,
  allocationsIn,
  blockPrefix,
  newBlock,
  releaseHandle,
} from './block.ts';
import {
  type NamedPools,
  type PoolRange,
  type PoolSelects,
  eligiblePools,
  nextFreeBlock,
  overlaps,
} from './pools.ts';

export interface AssignRequest extends Owner {
  /** One address of each; absent: of each family that some eligible pool has. */
  readonly families?: readonly Family[] | undefined;
  /** The pools to use for a family; absent: those that select node and namespace. */
  readonly pools?: NamedPools | undefined;
}

export type Operation =
  | { readonly kind: 'assign'; readonly request: AssignRequest }
  | { readonly kind: 'release'; readonly handle: string };

/** What the store held, and who asks. */
export interface Snapshot {
  readonly pools: readonly IPPool[];
  readonly blocks: readonly IPAMBlock[];
  readonly nodeName: string;
  readonly poolSelects: PoolSelects;
  /** Sequence number for blocks made now. */
  readonly firstSequence: number;
}

/** An address given or freed; true once the write of its block, if there is one, succeeded. */
export interface Change {
  readonly address: string;
  /** Name of the block. */
  readonly block: string;
  /** The handle held it before: nothing to undo. */
  readonly isKept: boolean;
}

export interface Outcome {
  readonly changes: readonly Change[];
  readonly failure?: string;
}

export interface Plan {
  readonly writes: ReadonlyMap<string, { readonly block: IPAMBlock; readonly isNew: boolean }>;
  /** One for each operation, in order. */
  readonly outcomes: readonly Outcome[];
}

/** Plans all operations in order, as if each saw the effect of those before it. */
export function planBatch(snapshot: Snapshot, operations: readonly Operation[]): Plan {
  const working = new Working(snapshot);
  const outcomes = operations.map((operation) =>
    operation.kind === 'assign'
      ? assign(working, operation.request)
      : release(working, operation.handle),
  );
  return { writes: working.writes(), outcomes };
}

class Working {
  readonly snapshot: Snapshot;
  readonly #stored: ReadonlyMap<string, IPAMBlock>;
  blocks: ReadonlyMap<string, IPAMBlock>;

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
    this.#stored = new Map(snapshot.blocks.map((block) => [block.metadata.name, block]));
    this.blocks = this.#stored;
  }

  put(block: IPAMBlock): void {
    this.blocks = new Map(this.blocks).set(block.metadata.name, block);
  }

  writes(): Plan['writes'] {
    const changed = [...this.blocks].filter(([name, block]) => this.#stored.get(name) !== block);
    return new Map(
      changed.map(([name, block]) => [name, { block, isNew: !this.#stored.has(name) }]),
    );
  }
}

function assign(working: Working, request: AssignRequest): Outcome {
  const { nodeName, poolSelects } = working.snapshot;
  const pools = eligiblePools(working.snapshot.pools, {
    pools: request.pools,
    attributes: request.attributes,
    poolSelects,
  });
  const families =
    request.families ??
    FAMILIES.filter((family) => pools.some((pool) => pool.prefix.family === family));
  const before = working.blocks;
  const changes: Change[] = [];
  for (const family of families) {
    const ofFamily = pools.filter((pool) => pool.prefix.family === family);
    const found = held(working, request.handle, family) ?? take(working, request, ofFamily);
    if (!found) {
      working.blocks = before;
      return refusal(shortage(family, ofFamily, request));
    }
    changes.push(found);
  }
  if (changes.length > 0) return { changes };
  return refusal(
    `assign an address to "${request.handle}": no enabled IPPool selects node "${nodeName}"; create one`,
  );
}

function refusal(failure: string): Outcome {
  return { changes: [], failure };
}

function shortage(family: Family, pools: readonly PoolRange[], request: AssignRequest): string {
  const named = request.pools?.[family];
  const wanted = named ? ` among "${named.join(', ')}"` : '';
  const reason =
    pools.length === 0
      ? `no enabled IPPool${wanted} has IPv${family} addresses; create or enable one`
      : `IPPool "${pools.map((pool) => pool.name).join(', ')}" has no free address or block; add a pool`;
  return `assign an IPv${family} address to "${request.handle}": ${reason}`;
}

function held(working: Working, handle: string, family: Family): Change | undefined {
  for (const [name, block] of working.blocks) {
    if (blockPrefix(block)?.family !== family) continue;
    const own = allocationsIn(block).find((allocation) => allocation.handle === handle);
    if (own) return { address: own.address, block: name, isKept: true };
  }
  return undefined;
}

function take(working: Working, owner: Owner, pools: readonly PoolRange[]): Change | undefined {
  const affinity = `host:${working.snapshot.nodeName}`;
  for (const [name, block] of working.blocks) {
    const prefix = blockPrefix(block);
    if (block.spec.affinity !== affinity || !prefix || !inPools(prefix, pools)) continue;
    const taken = allocate(block, owner);
    if (!taken) continue;
    working.put(taken.block);
    return { address: taken.address, block: name, isKept: false };
  }
  return claim(working, owner, pools);
}

function inPools(prefix: Prefix, pools: readonly PoolRange[]): boolean {
  return pools.some((pool) => prefix.length >= pool.prefix.length && overlaps(prefix, pool.prefix));
}

/** Makes the node's next block, with the owner's address in it from the start. */
function claim(working: Working, owner: Owner, pools: readonly PoolRange[]): Change | undefined {
  const { nodeName, firstSequence } = working.snapshot;
  // A block that cannot be read still holds its ground if its prefix can.
  const taken = [...working.blocks.values()].flatMap((block) => parsePrefix(block.spec.cidr) ?? []);
  for (const pool of pools) {
    const prefix = nextFreeBlock(pool, taken, nodeName);
    if (!prefix) continue;
    const made = allocate(newBlock(prefix, `host:${nodeName}`, firstSequence), owner);
    if (!made) continue;
    working.put(made.block);
    return { address: made.address, block: made.block.metadata.name, isKept: false };
  }
  return undefined;
}

function release(working: Working, handle: string): Outcome {
  const changes: Change[] = [];
  for (const [name, block] of working.blocks) {
    const released = releaseHandle(block, handle);
    if (released.addresses.length === 0) continue;
    working.put(released.block);
    changes.push(...released.addresses.map((address) => ({ address, block: name, isKept: false })));
  }
  return { changes };
}
