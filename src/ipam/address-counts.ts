// Addresses and blocks counted by pool and node, as upstream's metrics of IPAM count them.
import {
  type IPAMBlock,
  ipamBlockKind,
  type IPPool,
  ipPoolKind,
  type IPReservation,
  ipReservationKind,
} from '#api';
import type { ApiClient } from '#datastore/client';
import { parsePrefix, prefixContains } from '#lib';
import { affinityOwner } from './affinity.ts';
import { blockPrefix, entriesOf, WINDOWS_HANDLE } from './block.ts';
import type { Finding } from './collection.ts';
import { isBlock, isPool } from './inventory.ts';
import { Reservations } from './settings.ts';
import { utilizationOf } from './utilization.ts';

export interface AddressCount {
  readonly ippool: string;
  readonly node: string;
  readonly value: number;
}

export interface PoolSize {
  readonly ippool: string;
  readonly size: number;
  readonly reserved: number;
}

export interface AddressCounts {
  /** By the node that the address was allocated for. */
  readonly inUse: readonly AddressCount[];
  /** Those of them whose block another node holds, or nobody. */
  readonly borrowed: readonly AddressCount[];
  /** By the node that holds the block. */
  readonly blocks: readonly AddressCount[];
  readonly pools: readonly PoolSize[];
}

/** Where a block lies in no pool, nobody holds it, or an allocation does not say its node. */
const NO_POOL = 'no_ippool';
const NO_AFFINITY = 'no_affinity';
const NO_NODE = 'unknown_node';

/** Reads blocks and pools now. Throws the client's errors. */
export async function readAddressCounts(client: Pick<ApiClient, 'list'>): Promise<AddressCounts> {
  const blocks = (await client.list(ipamBlockKind)).items.filter(isBlock);
  const pools = (await client.list(ipPoolKind)).items.filter(isPool);
  const reservations = (await client.list(ipReservationKind)).items as IPReservation[];
  return countAddresses(pools, blocks, new Reservations(reservations));
}

/** Addresses that rest after their release, and those that Windows keeps, are not in use. */
export function countAddresses(
  pools: readonly IPPool[],
  blocks: readonly IPAMBlock[],
  reservations: Reservations,
): AddressCounts {
  const inUse = new PairCounts();
  const borrowed = new PairCounts();
  const held = new PairCounts();
  for (const block of blocks) {
    const owner = affinityOwner(block.spec.affinity)?.name ?? NO_AFFINITY;
    const ippool = poolOf(pools, block.spec.cidr);
    held.add(ippool, owner);
    for (const { attributes, handle, releasedAt } of entriesOf(block)) {
      if (releasedAt !== undefined || handle === WINDOWS_HANDLE) continue;
      const node = attributes['node'] ?? NO_NODE;
      inUse.add(ippool, node);
      if (node !== owner) borrowed.add(ippool, node);
    }
  }
  const sizes = utilizationOf(pools, blocks.filter(blockPrefix), reservations);
  return {
    inUse: inUse.list(),
    borrowed: borrowed.list(),
    blocks: held.list(),
    pools: sizes.flatMap(({ pool, capacity, reserved }) =>
      pool === undefined
        ? []
        : [{ ippool: pool, size: Number(capacity), reserved: Number(reserved) }],
    ),
  };
}

/** Leaks, by pool and node. */
export class LeakCounts {
  readonly #counts = new PairCounts();

  /** Nothing for a finding that is no leak. */
  add(pools: readonly IPPool[], { kind, subject, node }: Finding): void {
    if (kind === 'leaked') this.#counts.add(poolOf(pools, subject), node ?? NO_NODE);
  }

  list(): readonly AddressCount[] {
    return this.#counts.list();
  }
}

/** The pool that an address or a block lies in. */
function poolOf(pools: readonly IPPool[], text: string): string {
  const prefix = parsePrefix(text);
  const pool = pools.find(({ spec }) => {
    const range = parsePrefix(spec.cidr);
    return prefix && range && prefix.length >= range.length && prefixContains(range, prefix);
  });
  return pool?.metadata.name ?? NO_POOL;
}

class PairCounts {
  readonly #counts = new Map<string, AddressCount>();

  add(ippool: string, node: string): void {
    const key = JSON.stringify([ippool, node]);
    const value = (this.#counts.get(key)?.value ?? 0) + 1;
    this.#counts.set(key, { ippool, node, value });
  }

  list(): readonly AddressCount[] {
    return [...this.#counts.values()];
  }
}
