// From blocks as they are and as they should be: the writes that get there, affinities and handles included.
import {
  type BlockAffinity,
  blockAffinityKind,
  type IPAMBlock,
  type IPAMHandle,
  ipamBlockKind,
  ipamHandleKind,
  type KindDefinition,
  type Resource,
} from '#api';
import { jsonEqual } from '#lib';
import {
  type AffinityOwner,
  type AffinityState,
  affinityOwner,
  affinityText,
  newAffinity,
  newHandle,
  ownerOfAffinity,
} from './affinity.ts';
import { handleCounts } from './block.ts';

/**
 * Writes of a stage begin when those of the one before have ended. 1: affinities to pending or
 * pendingDeletion. 2: blocks, which decide. 3: affinities to their final state, and handles.
 */
export type Stage = 1 | 2 | 3;

/** One write. A resource without resourceVersion gets that of the same object's write before it. */
export interface Write {
  readonly stage: Stage;
  readonly verb: 'create' | 'replace' | 'delete';
  readonly kind: KindDefinition;
  readonly resource: Resource;
  /** Name of the block that it is about; without the write of stage 1, that of stage 2 is not made. */
  readonly block: string;
}

export type Blocks = ReadonlyMap<string, IPAMBlock>;

/** Affinities by owner and prefix: names differ between versions. */
export type AffinityIndex = ReadonlyMap<string, BlockAffinity>;

export function indexAffinities(affinities: readonly BlockAffinity[]): AffinityIndex {
  return new Map(affinities.map((it) => [affinityKey(ownerOfAffinity(it), it.spec.cidr), it]));
}

function affinityKey(owner: AffinityOwner, cidr: string): string {
  return `${affinityText(owner)} ${cidr}`;
}

/** The writes that make the blocks of `before` those of `after`; blocks missing there are deleted. */
export function blockWrites(before: Blocks, after: Blocks, affinities: AffinityIndex): Write[] {
  const writes: Write[] = [];
  for (const [name, next] of after) {
    const old = before.get(name);
    if (old === next) continue;
    writes.push(...ownerWrites(old, next, affinities, name));
    const verb = old ? 'replace' : 'create';
    writes.push({ stage: 2, verb, kind: ipamBlockKind, resource: next, block: name });
  }
  for (const [name, old] of before) {
    if (after.has(name)) continue;
    writes.push(...ownerWrites(old, undefined, affinities, name));
    writes.push({ stage: 2, verb: 'delete', kind: ipamBlockKind, resource: old, block: name });
  }
  return writes;
}

function ownerWrites(
  old: IPAMBlock | undefined,
  next: IPAMBlock | undefined,
  affinities: AffinityIndex,
  block: string,
): Write[] {
  const from = old?.spec.deleted ? undefined : affinityOwner(old?.spec.affinity);
  const to = affinityOwner(next?.spec.affinity);
  const cidr = next?.spec.cidr ?? old?.spec.cidr ?? '';
  if (from && to && affinityText(from) === affinityText(to)) return [];
  return [
    ...(from ? removal(affinities.get(affinityKey(from, cidr)), block) : []),
    ...(to ? claim(to, cidr, affinities.get(affinityKey(to, cidr)), block) : []),
  ];
}

function claim(
  owner: AffinityOwner,
  cidr: string,
  known: BlockAffinity | undefined,
  block: string,
): Write[] {
  const confirmed = known ? withState(known, 'confirmed') : newAffinity(owner, cidr, 'confirmed');
  const last: Write = {
    stage: 3,
    verb: 'replace',
    kind: blockAffinityKind,
    resource: unversioned(confirmed),
    block,
  };
  if (known?.spec.state === 'pending') return [{ ...last, resource: confirmed }];
  const pending = known ? withState(known, 'pending') : newAffinity(owner, cidr, 'pending');
  const verb = known ? 'replace' : 'create';
  return [{ stage: 1, verb, kind: blockAffinityKind, resource: pending, block }, last];
}

function removal(known: BlockAffinity | undefined, block: string): Write[] {
  if (!known) return [];
  const kind = blockAffinityKind;
  const marked = withState(known, 'pendingDeletion');
  if (known.spec.state === 'pendingDeletion') {
    return [{ stage: 3, verb: 'delete', kind, resource: known, block }];
  }
  return [
    { stage: 1, verb: 'replace', kind, resource: marked, block },
    { stage: 3, verb: 'delete', kind, resource: unversioned(marked), block },
  ];
}

function withState(affinity: BlockAffinity, state: AffinityState): BlockAffinity {
  return { ...affinity, spec: { ...affinity.spec, state } };
}

function unversioned<R extends Resource>(resource: R): R {
  const { resourceVersion: _, ...metadata } = resource.metadata;
  return { ...resource, metadata };
}

/**
 * What an owner's affinities lack to say what its blocks say, blocks being what decides. Those of
 * blocks that `blockWrites` changes are its business.
 */
export function affinityRepairs(
  owner: AffinityOwner,
  before: Blocks,
  after: Blocks,
  affinities: AffinityIndex,
): Write[] {
  const kind = blockAffinityKind;
  const text = affinityText(owner);
  const writes: Write[] = [];
  const owned = new Set<string>();
  for (const [block, { spec }] of after) {
    if (spec.affinity !== text) continue;
    owned.add(spec.cidr);
    if (before.get(block)?.spec.affinity !== text) continue;
    const known = affinities.get(affinityKey(owner, spec.cidr));
    if (known?.spec.state === 'confirmed') continue;
    const verb = known ? 'replace' : 'create';
    const resource = known
      ? withState(known, 'confirmed')
      : newAffinity(owner, spec.cidr, 'confirmed');
    writes.push({ stage: 3, verb, kind, resource, block });
  }
  const leaving = new Set(
    [...before.values()].filter((b) => b.spec.affinity === text).map((b) => b.spec.cidr),
  );
  for (const known of affinities.values()) {
    const { cidr } = known.spec;
    if (affinityText(ownerOfAffinity(known)) !== text) continue;
    if (owned.has(cidr) || leaving.has(cidr)) continue;
    writes.push({ stage: 3, verb: 'delete', kind, resource: known, block: cidr });
  }
  return writes;
}

/** What the objects of the handles in changed blocks lack to say what the blocks say. */
export function handleWrites(
  before: Blocks,
  after: Blocks,
  handles: ReadonlyMap<string, IPAMHandle>,
): Write[] {
  const touched = new Map<string, string>();
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const [old, next] = [before.get(name), after.get(name)];
    if (old === next) continue;
    for (const block of [old, next]) {
      if (!block) continue;
      for (const handle of handleCounts(block).keys()) touched.set(handle, name);
    }
  }
  return [...touched].flatMap(
    ([handle, block]) => handleWrite(handle, after, handles.get(handle), block) ?? [],
  );
}

/** The write that makes the handle's object say what the blocks say; none when it does. */
export function handleWrite(
  handle: string,
  blocks: Blocks,
  known: IPAMHandle | undefined,
  block: string,
): Write | undefined {
  const counts: Record<string, number> = {};
  for (const each of blocks.values()) {
    const count = handleCounts(each).get(handle);
    if (count) counts[each.spec.cidr] = count;
  }
  const kind = ipamHandleKind;
  if (Object.keys(counts).length === 0) {
    return known && { stage: 3, verb: 'delete', kind, resource: known, block };
  }
  if (!known) return { stage: 3, verb: 'create', kind, resource: newHandle(handle, counts), block };
  if (jsonEqual(known.spec.block, counts)) return undefined;
  const resource = { ...known, spec: { ...known.spec, block: counts } };
  return { stage: 3, verb: 'replace', kind, resource, block };
}
