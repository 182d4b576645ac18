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
  /** `namespace`, `pod`, `node`, `timestamp`, `type`, as upstream's `secondary`. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Allocation extends Owner {
  readonly address: string;
  /** The block's number when it was allocated; undefined in blocks of old. */
  readonly sequence?: number;
}

/** What the field `allocations` says of one address. */
export interface Entry {
  readonly ordinal: number;
  readonly address: string;
  readonly handle: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  readonly sequence: number | undefined;
  /** RFC 3339: released, and resting until it may be used again. */
  readonly releasedAt: string | undefined;
}

type Spec = IPAMBlock['spec'];
type Attribute = Spec['attributes'][number];

/** The most addresses one block may hold: upstream allows IPv4 /20 to /32 and IPv6 /116 to /128. */
export const MAX_BLOCK_ADDRESSES = 4096;

/** The handle under which Windows keeps the first three and the last address of its blocks. */
export const WINDOWS_HANDLE = 'windows-reserved-ipam-handle';

/** The object name of a block: its prefix with every `.`, `:` and `/` written `-`. */
export function blockName(prefix: Prefix): string {
  return formatPrefix(prefix).replaceAll(/[.:/]/g, '-');
}

/**
 * A block with all addresses free. `sequenceNumber` must differ from that of any earlier block of
 * the same prefix, so that a release made for the earlier one is recognised as stale. `claimTime`
 * is RFC 3339. Fields stand in the order of upstream's type.
 */
export function newBlock(
  prefix: Prefix,
  affinity: string,
  sequenceNumber: number,
  claimTime?: string,
): IPAMBlock {
  const size = 2 ** (familyBits(prefix.family) - prefix.length);
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMBlock',
    metadata: { name: blockName(prefix) },
    spec: {
      cidr: formatPrefix(prefix),
      affinity,
      ...(claimTime === undefined ? {} : { affinityClaimTime: claimTime }),
      allocations: Array.from({ length: size }, () => null),
      unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
      attributes: [],
      sequenceNumber,
      sequenceNumberForAllocation: {},
      deleted: false,
      strictAffinity: false,
    },
  };
}

interface Facts {
  readonly prefix: Prefix | undefined;
  /** Ordinals by handle, without those that rest. */
  readonly byHandle: ReadonlyMap<string, readonly number[]>;
}

/** Blocks are values: what is worked out of one holds for ever. */
const FACTS = new WeakMap<Spec, Facts>();

function factsOf({ spec }: IPAMBlock): Facts {
  const known = FACTS.get(spec);
  if (known) return known;
  const parsed = parsePrefix(spec.cidr);
  const size = parsed ? 2 ** (familyBits(parsed.family) - parsed.length) : 0;
  const fits = size <= MAX_BLOCK_ADDRESSES && spec.allocations.length === size;
  const byHandle = new Map<string, number[]>();
  for (const [ordinal, index] of spec.allocations.entries()) {
    const attribute = index === null ? undefined : spec.attributes[index];
    if (!attribute?.handle_id || attribute.releasedAt !== undefined) continue;
    const list = byHandle.get(attribute.handle_id);
    if (list) list.push(ordinal);
    else byHandle.set(attribute.handle_id, [ordinal]);
  }
  const facts = { prefix: fits ? parsed : undefined, byHandle };
  FACTS.set(spec, facts);
  return facts;
}

/** The block's prefix; undefined for a block that no allocator may trust. */
export function blockPrefix(block: IPAMBlock): Prefix | undefined {
  return factsOf(block).prefix;
}

/** Nothing in it is held or rests; what Windows keeps does not count (spec 05). */
export function isEmpty({ spec }: IPAMBlock): boolean {
  return spec.allocations.every(
    (index) => index === null || spec.attributes[index]?.handle_id === WINDOWS_HANDLE,
  );
}

/** Free addresses, in the order in which they would be given. */
export function freeOrdinals({ spec }: IPAMBlock): number[] {
  return spec.unallocated.filter((ordinal) => spec.allocations[ordinal] === null);
}

/** Whether an address is kept from automatic allocation. */
export type IsReserved = (address: Address) => boolean;

/**
 * Gives the address that has been free longest to the owner; undefined when the block has none.
 * Every address is usable, the first and the last too (spec 05, 5.1), but for those reserved.
 */
export function allocate(
  block: IPAMBlock,
  owner: Owner,
  isReserved?: IsReserved,
): { block: IPAMBlock; address: string } | undefined {
  const prefix = blockPrefix(block);
  const { spec } = block;
  if (!prefix || spec.deleted) return undefined;
  const ordinal = spec.unallocated.find(
    (candidate) =>
      spec.allocations[candidate] === null && !isReserved?.(addressAt(prefix, candidate)),
  );
  return ordinal === undefined ? undefined : take(block, prefix, ordinal, owner);
}

/** Gives this very address to the owner, reserved or not; undefined when it is held or rests. */
export function allocateAddress(
  block: IPAMBlock,
  address: Address,
  owner: Owner,
): { block: IPAMBlock; address: string } | undefined {
  const prefix = blockPrefix(block);
  if (!prefix || block.spec.deleted) return undefined;
  const ordinal = Number(address.bits - prefix.bits);
  if (block.spec.allocations[ordinal] !== null) return undefined;
  return take(block, prefix, ordinal, owner);
}

function take(block: IPAMBlock, prefix: Prefix, ordinal: number, owner: Owner) {
  const { spec } = block;
  const attribute = { handle_id: owner.handle, secondary: { ...owner.attributes } };
  const known = spec.attributes.findIndex((item) => jsonEqual(item, attribute));
  const sequenceNumber = nextSequence(spec.sequenceNumber);
  const next = {
    ...spec,
    allocations: spec.allocations.with(ordinal, known < 0 ? spec.attributes.length : known),
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

export interface Freed {
  readonly block: IPAMBlock;
  /** Those that now have no owner. */
  readonly addresses: readonly string[];
}

/** Frees every address of the handle; they go to the end of the queue. See `freeEntries`. */
export function releaseHandle(block: IPAMBlock, handle: string, restsSince?: string): Freed {
  if (!factsOf(block).byHandle.has(handle)) return { block, addresses: [] };
  return freeEntries(block, (entry) => entry.handle === handle, restsSince);
}

/**
 * Takes the chosen addresses from their owners. With `restsSince` (RFC 3339) they rest: they stay in
 * `allocations` until `freeRested`. Without, they are free and go to the end of the queue.
 */
export function freeEntries(
  block: IPAMBlock,
  chosen: (entry: Entry) => boolean,
  restsSince?: string,
): Freed {
  const { spec } = block;
  const freed = entriesOf(block).filter((e) => e.releasedAt === undefined && chosen(e));
  if (freed.length === 0) return { block, addresses: [] };
  const addresses = freed.map(({ address }) => address);
  if (restsSince === undefined) {
    return { block: withoutOrdinals(block, new Set(freed.map((e) => e.ordinal))), addresses };
  }
  const attributes: Attribute[] = [...spec.attributes];
  const allocations = [...spec.allocations];
  for (const { ordinal } of freed) {
    const rested = { ...spec.attributes[spec.allocations[ordinal] ?? -1], releasedAt: restsSince };
    const known = attributes.findIndex((item) => jsonEqual(item, rested));
    allocations[ordinal] = known < 0 ? attributes.push(rested) - 1 : known;
  }
  const sequenceNumber = nextSequence(spec.sequenceNumber);
  const next = { ...spec, ...compacted(allocations, attributes), sequenceNumber };
  return { block: { ...block, spec: next }, addresses };
}

/** Frees what has rested for so long, the longest-rested first; the same block when there is nothing. */
export function freeRested(block: IPAMBlock, nowMs: number, restMs: number): IPAMBlock {
  if (!block.spec.attributes.some(({ releasedAt }) => releasedAt !== undefined)) return block;
  const rested = entriesOf(block)
    .map((entry) => ({ ...entry, since: Date.parse(entry.releasedAt ?? '') }))
    .filter(({ releasedAt, since }) => releasedAt !== undefined && !(nowMs - since < restMs))
    .toSorted((a, b) => a.since - b.since || a.ordinal - b.ordinal);
  if (rested.length === 0) return block;
  return withoutOrdinals(block, new Set(rested.map(({ ordinal }) => ordinal)));
}

/** In the order of the set, they join the queue's end. */
function withoutOrdinals(block: IPAMBlock, ordinals: ReadonlySet<number>): IPAMBlock {
  const { spec } = block;
  const allocations = spec.allocations.map((index, ordinal) =>
    ordinals.has(ordinal) ? null : index,
  );
  const sequences = Object.entries(spec.sequenceNumberForAllocation ?? {}).filter(
    ([ordinal]) => !ordinals.has(Number(ordinal)),
  );
  const next = {
    ...spec,
    ...compacted(allocations, spec.attributes),
    unallocated: [...spec.unallocated.filter((each) => !ordinals.has(each)), ...ordinals],
    sequenceNumber: nextSequence(spec.sequenceNumber),
    sequenceNumberForAllocation: Object.fromEntries(sequences),
  };
  return { ...block, spec: next };
}

/** Drops attributes that no address refers to. */
function compacted(allocations: readonly (number | null)[], attributes: readonly Attribute[]) {
  const used = new Set(allocations);
  const places = new Map<number, number>();
  const kept = attributes.filter((_, index) => {
    if (!used.has(index)) return false;
    places.set(index, places.size);
    return true;
  });
  // An index that points at nothing stays what it is: nobody knows whose the address is.
  const moved = allocations.map((index) => (index === null ? null : (places.get(index) ?? index)));
  return { allocations: moved, attributes: kept };
}

/** The block without its node; the addresses stay with their owners. */
export function withoutAffinity(block: IPAMBlock): IPAMBlock {
  const { affinity: _, affinityClaimTime: __, ...spec } = block.spec;
  const sequenceNumber = nextSequence(spec.sequenceNumber);
  return { ...block, spec: { ...spec, sequenceNumber } };
}

/** Every address that is not free, those that rest too, in the order of the addresses. */
export function entriesOf(block: IPAMBlock): Entry[] {
  const prefix = blockPrefix(block);
  if (!prefix) return [];
  const { spec } = block;
  return spec.allocations.flatMap((index, ordinal) => {
    if (index === null) return [];
    const attribute = spec.attributes[index];
    return [
      {
        ordinal,
        address: formatAddress(addressAt(prefix, ordinal)),
        handle: attribute?.handle_id ?? undefined,
        attributes: attribute?.secondary ?? {},
        sequence: spec.sequenceNumberForAllocation?.[String(ordinal)],
        releasedAt: attribute?.releasedAt,
      },
    ];
  });
}

/** Every allocation that carries a handle and does not rest, in the order of the addresses. */
export function allocationsIn(block: IPAMBlock): Allocation[] {
  return entriesOf(block).flatMap(({ address, handle, attributes, sequence, releasedAt }) =>
    handle && releasedAt === undefined
      ? [{ address, handle, attributes, ...(sequence === undefined ? {} : { sequence }) }]
      : [],
  );
}

/** The addresses of one handle in the block, without those that rest. */
export function addressesOf(block: IPAMBlock, handle: string): string[] {
  const { prefix, byHandle } = factsOf(block);
  if (!prefix) return [];
  return (byHandle.get(handle) ?? []).map((at) => formatAddress(addressAt(prefix, at)));
}

/** How many addresses each handle holds here, without those that rest. */
export function handleCounts(block: IPAMBlock): Map<string, number> {
  return new Map([...factsOf(block).byHandle].map(([handle, list]) => [handle, list.length]));
}

export function addressAt(prefix: Prefix, ordinal: number): Address {
  return { family: prefix.family, bits: prefix.bits + BigInt(ordinal) };
}

/** Upstream starts from nanoseconds, which a double holds only to the nearest 256. */
export function nextSequence(current: number | undefined): number {
  if (current === undefined) return 1;
  return Number.isSafeInteger(current) ? current + 1 : current + 1024;
}
