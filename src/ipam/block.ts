// One IPAM block as a value: its name, which of its addresses are free, and who holds the others.
import type { IPAMBlock } from '#api';
import {
  type Address,
  type Prefix,
  familyBits,
  formatAddress,
  formatPrefix,
  jsonEqual,
  parsePrefix,
} from '#lib';

/** Who an address is allocated to. */
export interface Owner {
  /** `<network>.<containerID>` for a pod. */
  readonly handle: string;
  /** `namespace`, `pod`, `node`, `timestamp`, as upstream's `secondary`. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Allocation extends Owner {
  readonly address: string;
}

/** The most addresses one block may hold: upstream allows IPv4 /20 to /32 and IPv6 /116 to /128. */
export const MAX_BLOCK_ADDRESSES = 4096;

/** The object name of a block: its prefix with every `.`, `:` and `/` written `-`. */
export function blockName(prefix: Prefix): string {
  return formatPrefix(prefix).replaceAll(/[.:/]/g, '-');
}

/**
 * A block with all addresses free. `sequenceNumber` must differ from that of any earlier block of
 * the same prefix, so that a release made for the earlier one is recognised as stale.
 */
export function newBlock(prefix: Prefix, affinity: string, sequenceNumber: number): IPAMBlock {
  const size = 2 ** (familyBits(prefix.family) - prefix.length);
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMBlock',
    metadata: { name: blockName(prefix) },
    spec: {
      cidr: formatPrefix(prefix),
      affinity,
      allocations: Array.from({ length: size }, () => null),
      unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
      attributes: [],
      sequenceNumber,
      sequenceNumberForAllocation: {},
      deleted: false,
    },
  };
}

/** The block's prefix; undefined for a block that no allocator may trust. */
export function blockPrefix(block: IPAMBlock): Prefix | undefined {
  const prefix = parsePrefix(block.spec.cidr);
  if (!prefix) return undefined;
  const size = 2 ** (familyBits(prefix.family) - prefix.length);
  return size <= MAX_BLOCK_ADDRESSES && block.spec.allocations.length === size ? prefix : undefined;
}

/**
 * Gives the address that has been free longest to the owner; undefined when the block is full.
 * Every address is usable, the first and the last too (spec 05, 5.1).
 */
export function allocate(
  block: IPAMBlock,
  owner: Owner,
): { block: IPAMBlock; address: string } | undefined {
  const prefix = blockPrefix(block);
  const { spec } = block;
  if (!prefix || spec.deleted) return undefined;
  const ordinal = spec.unallocated.find((candidate) => spec.allocations[candidate] === null);
  if (ordinal === undefined) return undefined;
  const attribute = { handle_id: owner.handle, secondary: { ...owner.attributes } };
  const known = spec.attributes.findIndex((item) => jsonEqual(item, attribute));
  const index = known < 0 ? spec.attributes.length : known;
  const sequenceNumber = nextSequence(spec.sequenceNumber);
  const next = {
    ...spec,
    allocations: spec.allocations.with(ordinal, index),
    unallocated: spec.unallocated.filter((candidate) => candidate !== ordinal),
    attributes: known < 0 ? [...spec.attributes, attribute] : spec.attributes,
    sequenceNumber,
    sequenceNumberForAllocation: {
      ...spec.sequenceNumberForAllocation,
      [String(ordinal)]: sequenceNumber,
    },
  };
  return { block: { ...block, spec: next }, address: formatAddress(addressAt(prefix, ordinal)) };
}

/** Frees every address of the handle; they go to the end of the queue. */
export function releaseHandle(
  block: IPAMBlock,
  handle: string,
): { block: IPAMBlock; addresses: string[] } {
  const { spec } = block;
  const addresses = allocationsIn(block)
    .filter((allocation) => allocation.handle === handle)
    .map((allocation) => allocation.address);
  if (addresses.length === 0) return { block, addresses };
  const kept = spec.attributes.filter((attribute) => attribute.handle_id !== handle);
  const allocations = spec.allocations.map((index) => {
    const attribute = index === null ? undefined : spec.attributes[index];
    return attribute === undefined || attribute.handle_id === handle
      ? null
      : kept.indexOf(attribute);
  });
  const freed = [...spec.allocations.keys()].filter(
    (ordinal) => spec.allocations[ordinal] !== null && allocations[ordinal] === null,
  );
  const sequences = Object.entries(spec.sequenceNumberForAllocation ?? {}).filter(
    ([ordinal]) => !freed.includes(Number(ordinal)),
  );
  const next = {
    ...spec,
    allocations,
    unallocated: [...spec.unallocated, ...freed],
    attributes: kept,
    sequenceNumber: nextSequence(spec.sequenceNumber),
    sequenceNumberForAllocation: Object.fromEntries(sequences),
  };
  return { block: { ...block, spec: next }, addresses };
}

/** Every allocation that carries a handle, in the order of the addresses. */
export function allocationsIn(block: IPAMBlock): Allocation[] {
  const prefix = blockPrefix(block);
  if (!prefix) return [];
  return block.spec.allocations.flatMap((index, ordinal) => {
    const attribute = index === null ? undefined : block.spec.attributes[index];
    if (!attribute?.handle_id) return [];
    const address = formatAddress(addressAt(prefix, ordinal));
    return [{ address, handle: attribute.handle_id, attributes: attribute.secondary ?? {} }];
  });
}

function addressAt(prefix: Prefix, ordinal: number): Address {
  return { family: prefix.family, bits: prefix.bits + BigInt(ordinal) };
}

/** Upstream starts from nanoseconds, which a double holds only to the nearest 256. */
function nextSequence(current: number | undefined): number {
  if (current === undefined) return 1;
  return Number.isSafeInteger(current) ? current + 1 : current + 1024;
}
