// Turns a batch of requests and what the store holds into the fewest writes that satisfy it.
import type { IPAMBlock, IPPool } from '#api';
import {
  type Address,
  type Family,
  FAMILIES,
  formatAddress,
  parseAddress,
  prefixContains,
} from '#lib';
import {
  allocate,
  allocateAddress,
  entriesOf,
  freeEntries,
  isEmpty,
  nextSequence,
  type Owner,
  releaseHandle,
} from './block.ts';
import {
  allowsUse,
  eligibleRanges,
  inRanges,
  type NamedPools,
  nameOrder,
  nextFreeBlock,
  type PoolRange,
  type PoolSelects,
  type PoolUse,
  usableRanges,
} from './pools.ts';
import { maxBlocks, type Reservations } from './settings.ts';
import { affinityOwner } from './affinity.ts';
import { type Ground, type Place, WorkingBlocks } from './working-blocks.ts';

export interface AssignRequest extends Owner {
  /** One address of each; absent: of each family that some eligible pool has. */
  readonly families?: readonly Family[] | undefined;
  /** The pools to use for a family; absent: those that select node and namespace. */
  readonly pools?: NamedPools | undefined;
  /** These and no others, at most one a family; decides the families too. */
  readonly addresses?: readonly string[] | undefined;
  /** What pools must allow; `Workload` where it does not say. */
  readonly use?: PoolUse | undefined;
  /** Blocks of one family that may be claimed for it; 0 or absent: the cluster's limit. */
  readonly maxBlocks?: number | undefined;
}

/** One address to free; the handle and the sequence number, where given, must be its own. */
export interface AddressRelease {
  readonly address: string;
  readonly handle?: string | undefined;
  readonly sequence?: number | undefined;
}

export type Operation =
  | { readonly kind: 'assign'; readonly request: AssignRequest }
  | { readonly kind: 'release'; readonly handles: readonly string[] }
  | { readonly kind: 'releaseAddresses'; readonly items: readonly AddressRelease[] };

/** What the store held, and who asks. */
export interface Snapshot extends Ground {
  readonly pools: readonly IPPool[];
  readonly reservations: Reservations;
  readonly poolSelects: PoolSelects;
}

/** An address given or freed; true once the write of its block, if there is one, succeeded. */
export interface Change {
  readonly address: string;
  /** Name of the block. */
  readonly block: string;
  /** It was so before: nothing to undo. */
  readonly isKept: boolean;
}

export interface Outcome {
  readonly changes: readonly Change[];
  readonly failure?: string;
}

export interface Plan {
  readonly before: WorkingBlocks['stored'];
  readonly after: WorkingBlocks['stored'];
  /** One for each operation, in order. */
  readonly outcomes: readonly Outcome[];
}

/** An empty block of another node may be taken over when it was claimed this long ago (spec 05). */
export const MIN_RECLAIM_AGE_MS = 60_000;

/** Plans all operations in order, as if each saw the effect of those before it. */
export function planBatch(snapshot: Snapshot, operations: readonly Operation[]): Plan {
  const planner = new Planner(snapshot);
  const outcomes = operations.map((operation) => planner.outcome(operation));
  planner.retire();
  return { before: planner.working.stored, after: planner.working.planned(), outcomes };
}

class Planner {
  readonly #snapshot: Snapshot;
  readonly #ranges: readonly PoolRange[];
  readonly working: WorkingBlocks;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.#ranges = usableRanges(snapshot.pools);
    this.working = new WorkingBlocks(snapshot);
  }

  outcome(operation: Operation): Outcome {
    if (operation.kind === 'assign') return this.#assign(operation.request);
    if (operation.kind === 'release') return this.#release(operation.handles);
    return this.#releaseAddresses(operation.items);
  }

  #assign(request: AssignRequest): Outcome {
    const wanted = wantedAddresses(request.addresses);
    if ('problem' in wanted) return refusal(`assign to "${request.handle}": ${wanted.problem}`);
    const families = this.#families(request, wanted);
    const { owner } = this.#snapshot;
    if (families.length === 0) {
      const who = `"${request.handle}": no enabled IPPool selects node "${owner.name}"`;
      return refusal(`assign an address to ${who}; create one`);
    }
    const mark = this.working.mark();
    const changes: Change[] = [];
    for (const family of families) {
      const found = this.#keepHeld(request, family) ?? this.#takeFor(request, family, wanted);
      if ('address' in found) {
        changes.push(found);
        continue;
      }
      this.working.restore(mark);
      return refusal(`assign an IPv${family} address to "${request.handle}": ${found.problem}`);
    }
    return { changes };
  }

  /** Writes the block though nothing changes in it: what is held was read, and may be so no longer. */
  #keepHeld({ handle }: AssignRequest, family: Family): Change | undefined {
    const held = this.working.held(handle, family);
    if (!held) return undefined;
    const { name, block, address } = held;
    const sequenceNumber = nextSequence(block.spec.sequenceNumber);
    if (this.working.stored.get(name) === block) {
      this.working.put(name, { ...block, spec: { ...block.spec, sequenceNumber } });
    }
    return { address, block: name, isKept: true };
  }

  #families(request: AssignRequest, wanted: readonly Address[]): readonly Family[] {
    if (wanted.length > 0) return wanted.map(({ family }) => family).toSorted((a, b) => a - b);
    if (request.families) return request.families;
    return FAMILIES.filter((family) => {
      const ranges = this.#eligible(request, family);
      return 'problem' in ranges || ranges.length > 0;
    });
  }

  #eligible(request: AssignRequest, family: Family) {
    return eligibleRanges(this.#ranges, family, {
      pools: request.pools,
      use: request.use ?? 'Workload',
      attributes: request.attributes,
      poolSelects: this.#snapshot.poolSelects,
    });
  }

  #takeFor(
    request: AssignRequest,
    family: Family,
    wanted: readonly Address[],
  ): Change | { readonly problem: string } {
    const address = wanted.find((each) => each.family === family);
    if (address) return this.#takeAddress(request, address);
    const ranges = this.#eligible(request, family);
    if ('problem' in ranges) return ranges;
    if (ranges.length === 0) {
      return { problem: `no enabled IPPool has IPv${family} addresses; create or enable one` };
    }
    const taken = this.#takeOwn(request, ranges) ?? this.#claim(request, ranges);
    return taken ?? this.#borrow(request, ranges) ?? { problem: this.#shortage(ranges) };
  }

  #shortage(ranges: readonly PoolRange[]): string {
    const names = ranges.map(({ name }) => name).join(', ');
    const { strictAffinity, autoAllocateBlocks } = this.#snapshot.settings;
    const limits = [
      ...(strictAffinity ? ['strictAffinity forbids borrowing'] : []),
      ...(autoAllocateBlocks ? [] : ['autoAllocateBlocks is false']),
    ];
    const why = limits.length > 0 ? ` (${limits.join(', ')})` : '';
    return `IPPool "${names}" has no free address or block${why}; add a pool`;
  }

  #takeOwn(request: AssignRequest, ranges: readonly PoolRange[]): Change | undefined {
    const [family = 4] = ranges.map(({ prefix }) => prefix.family);
    // The pools in the order in which they were named.
    for (const range of ranges) {
      for (const place of this.working.ownPlaces(family)) {
        const taken = inRanges(place.prefix, [range]) && this.#takeIn(place, request);
        if (taken) return taken;
      }
    }
    return undefined;
  }

  #takeIn(place: Place, owner: Owner): Change | undefined {
    const { reservations } = this.#snapshot;
    const isReserved = reservations.isEmpty
      ? undefined
      : (address: Address) => reservations.has(address);
    const taken = allocate(this.working.warmed(place), ownerOnly(owner), isReserved);
    if (!taken) return undefined;
    this.working.put(place.name, taken.block);
    return { address: taken.address, block: place.name, isKept: false };
  }

  /** Makes the node's next block, or takes over an empty one, with the address in it from the start. */
  #claim(request: AssignRequest, ranges: readonly PoolRange[]): Change | undefined {
    const { settings, owner, reservations } = this.#snapshot;
    const [family = 4] = ranges.map(({ prefix }) => prefix.family);
    const limit = maxBlocks(settings, request.maxBlocks);
    if (!settings.autoAllocateBlocks) return undefined;
    if (this.working.ownPlaces(family).length >= limit) return undefined;
    const taken = this.working.takenPrefixes();
    for (const range of ranges) {
      const useless = reservations.prefixes.filter(({ length }) => length <= range.blockSize);
      const prefix = nextFreeBlock(range, [...taken, ...useless], owner.name);
      const block = prefix && this.working.fresh(prefix);
      const place = prefix && block && { name: block.metadata.name, block, prefix };
      const change = place && this.#takeIn(place, request);
      if (change) return change;
    }
    return this.#reclaim(request, ranges);
  }

  #reclaim(request: AssignRequest, ranges: readonly PoolRange[]): Change | undefined {
    const { nowMs } = this.#snapshot;
    for (const place of this.working.places()) {
      const { block, prefix, name } = place;
      if (this.working.isOwn(block) || !inRanges(prefix, ranges)) continue;
      const claimed = Date.parse(block.spec.affinityClaimTime ?? '');
      if (nowMs - claimed < MIN_RECLAIM_AGE_MS || !isEmpty(this.working.warmed(place))) continue;
      // Only what the store holds is known to be somebody's no longer used block.
      if (this.working.stored.get(name) !== block) continue;
      const change = this.#takeIn({ name, prefix, block: this.working.fresh(prefix) }, request);
      if (change) return change;
    }
    return undefined;
  }

  #borrow(request: AssignRequest, ranges: readonly PoolRange[]): Change | undefined {
    const { settings, owner } = this.#snapshot;
    if (settings.strictAffinity) return undefined;
    const others = [...this.working.places()].filter(
      ({ block, prefix }) => !this.working.isOwn(block) && inRanges(prefix, ranges),
    );
    const start = others.length > 0 ? Number(nameOrder(owner.name) % BigInt(others.length)) : 0;
    for (const place of [...others.slice(start), ...others.slice(0, start)]) {
      const change = this.#takeIn(place, request);
      if (change) return change;
    }
    return undefined;
  }

  #takeAddress(request: AssignRequest, address: Address): Change | { readonly problem: string } {
    const text = formatAddress(address);
    const range = this.#ranges.find(({ prefix }) => prefixContains(prefix, address));
    const use = request.use ?? 'Workload';
    if (!range) return { problem: `no enabled IPPool contains ${text}; choose another` };
    if (!allowsUse(range.pool, use)) {
      return { problem: `IPPool "${range.name}", which contains ${text}, is not for ${use}` };
    }
    const place = [...this.working.places()].find(({ prefix }) => prefixContains(prefix, address));
    if (place) return this.#takeAddressIn(place, request, address);
    const { owner, settings } = this.#snapshot;
    const hostBits = BigInt((address.family === 4 ? 32 : 128) - range.blockSize);
    const bits = (address.bits >> hostBits) << hostBits;
    const prefix = { family: address.family, bits, length: range.blockSize };
    const isFree = nextFreeBlock({ ...range, prefix }, this.working.takenPrefixes(), owner.name);
    if (!isFree)
      return { problem: `the block of ${text} overlaps another; choose another address` };
    if (this.working.ownPlaces(address.family).length >= maxBlocks(settings, request.maxBlocks)) {
      return { problem: `node "${owner.name}" may claim no more blocks, and ${text} is in none` };
    }
    const block = this.working.fresh(prefix);
    return this.#takeAddressIn({ name: block.metadata.name, block, prefix }, request, address);
  }

  #takeAddressIn(
    place: Place,
    request: AssignRequest,
    address: Address,
  ): Change | { readonly problem: string } {
    const text = formatAddress(address);
    const { settings, owner } = this.#snapshot;
    if (settings.strictAffinity && !this.working.isOwn(place.block)) {
      const whose = place.block.spec.affinity ?? 'nobody';
      return {
        problem: `${text} is in a block of "${whose}", not of "${owner.name}", and strictAffinity is set`,
      };
    }
    const warmed = this.working.warmed(place);
    const taken = allocateAddress(warmed, address, ownerOnly(request));
    if (!taken) {
      const entry = entriesOf(warmed).find((each) => each.address === text);
      const state = entry?.releasedAt ? 'rests since its release' : `is held by "${entry?.handle}"`;
      return { problem: `${text} ${state}; choose another` };
    }
    this.working.put(place.name, taken.block);
    return { address: taken.address, block: place.name, isKept: false };
  }

  get #restsSince(): string | undefined {
    const { settings, nowMs } = this.#snapshot;
    return settings.restMs > 0 ? new Date(nowMs).toISOString() : undefined;
  }

  #release(handles: readonly string[]): Outcome {
    const changes: Change[] = [];
    for (const { name, block } of this.working.places()) {
      let next = block;
      for (const handle of handles) {
        const freed = releaseHandle(next, handle, this.#restsSince);
        next = freed.block;
        changes.push(
          ...freed.addresses.map((address) => ({ address, block: name, isKept: false })),
        );
      }
      if (next !== block) this.#putReleased(name, next);
    }
    return { changes };
  }

  /** The last address takes a block with it that nobody owns. */
  #putReleased(name: string, block: IPAMBlock): void {
    if (!block.spec.affinity && isEmpty(block)) this.working.remove(name);
    else this.working.put(name, block);
  }

  #releaseAddresses(items: readonly AddressRelease[]): Outcome {
    const changes: Change[] = [];
    const mark = this.working.mark();
    for (const item of items) {
      const address = parseAddress(item.address);
      const place =
        address && [...this.working.places()].find((it) => prefixContains(it.prefix, address));
      if (!place) continue;
      const text = formatAddress(address);
      const entry = entriesOf(place.block).find((each) => each.address === text);
      if (!entry) continue;
      const stale = staleness(entry, item);
      if (stale !== undefined) {
        this.working.restore(mark);
        return refusal(`release ${text}: ${stale}`);
      }
      const isKept = entry.releasedAt !== undefined;
      if (!isKept) {
        const { block } = freeEntries(place.block, (e) => e.address === text, this.#restsSince);
        this.#putReleased(place.name, block);
      }
      changes.push({ address: text, block: place.name, isKept });
    }
    return { changes };
  }

  /** Gives up own empty blocks whose pool is gone, disabled, or selects this node no longer. */
  retire(): void {
    const { poolSelects } = this.#snapshot;
    const staying = this.#ranges.filter(({ pool }) => poolSelects.node(pool) !== false);
    for (const { name, block, prefix } of this.working.places()) {
      if (!this.working.isOwn(block) || inRanges(prefix, staying)) continue;
      if (affinityOwner(block.spec.affinity)?.type !== 'host') continue;
      if (isEmpty(block)) this.working.remove(name);
    }
  }
}

function staleness(
  entry: ReturnType<typeof entriesOf>[number],
  { handle, sequence }: AddressRelease,
): string | undefined {
  if (handle !== undefined && handle !== (entry.handle ?? '')) {
    return `it is held by "${entry.handle ?? ''}", not by "${handle}"; look again`;
  }
  // Blocks of old remember no sequence numbers: nothing to compare with.
  if (sequence !== undefined && entry.sequence !== undefined && sequence !== entry.sequence) {
    return `it was allocated again since (sequence number ${entry.sequence}, not ${sequence}); look again`;
  }
  return undefined;
}

function wantedAddresses(
  texts: readonly string[] | undefined,
): readonly Address[] | { readonly problem: string } {
  const addresses = (texts ?? []).map((text) => parseAddress(text));
  const at = addresses.findIndex((address) => !address);
  if (at >= 0) return { problem: `"${texts?.[at]}" is no address` };
  const found = addresses.filter((address) => address !== undefined);
  for (const family of FAMILIES) {
    if (found.filter((address) => address.family === family).length > 1) {
      return { problem: `more than one IPv${family} address was asked for; ask for one` };
    }
  }
  return found;
}

function ownerOnly({ handle, attributes }: Owner): Owner {
  return { handle, attributes };
}

function refusal(failure: string): Outcome {
  return { changes: [], failure };
}
