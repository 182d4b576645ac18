// What address management holds against who there is: every difference, with its reason, as data.
import type { BlockAffinity, IPAMBlock, IPAMHandle, IPPool } from '#api';
import { parseAddress, prefixContains } from '#lib';
import { affinityOwner, affinityText, ownerOfAffinity } from './affinity.ts';
import {
  blockPrefix,
  type Entry,
  entriesOf,
  handleCounts,
  isEmpty,
  WINDOWS_HANDLE,
} from './block.ts';
import type { PodUse, Use } from './owners.ts';
import { usableRanges } from './pools.ts';

/** All that the comparison reads. */
export interface ClusterState {
  readonly blocks: readonly IPAMBlock[];
  readonly affinities: readonly BlockAffinity[];
  readonly handles: readonly IPAMHandle[];
  readonly pools: readonly IPPool[];
  /** By `namespace/name`. */
  readonly pods: ReadonlyMap<string, PodUse>;
  /** Names. None at all: nothing is concluded from a node's absence. */
  readonly nodes: ReadonlySet<string>;
  readonly uses: readonly Use[];
  /** How long a released address rests; milliseconds. */
  readonly restMs: number;
}

export type FindingKind =
  /** Allocated, and nobody has it. */
  | 'leaked'
  /** Released, and its rest is over. */
  | 'rested'
  /** An empty block that a node does not need, or nobody owns. */
  | 'spareBlock'
  /** A block of a node that is gone, with addresses of others in it. */
  | 'orphanBlock'
  /** An affinity that no block bears out. */
  | 'staleAffinity'
  /** A block's affinity that is missing or not confirmed. */
  | 'missingAffinity'
  /** A handle object that counts what is not there. */
  | 'staleHandle'
  /** Used, in a pool, and not allocated. */
  | 'unallocated'
  /** Used, and in no enabled pool. */
  | 'outsidePools'
  /** Used by two. */
  | 'shared';

export interface Finding {
  readonly kind: FindingKind;
  /** Address, prefix of the block, or name of the object. */
  readonly subject: string;
  /** Tells it from a later one of the same subject. */
  readonly id: string;
  readonly reason: string;
  readonly block?: string;
  readonly handle?: string;
  readonly sequence?: number;
  readonly node?: string;
  /** `namespace/name` that must be looked at again before anything is done. */
  readonly pod?: string;
  /** May be acted on at its first sight: whoever it was for is gone for good. */
  readonly isFinal: boolean;
}

/** All differences, in the order of blocks and objects. */
export function findDifferences(state: ClusterState, nowMs: number): Finding[] {
  const owners = countOwners(state.blocks);
  return [
    ...leaks(state),
    ...state.blocks.flatMap((block) => restedIn(block, nowMs, state.restMs)),
    ...state.blocks.flatMap((block) => blockFinding(block, state, owners) ?? []),
    ...affinityFindings(state),
    ...handleFindings(state),
    ...useFindings(state),
  ];
}

function isGone(node: string, { nodes }: ClusterState): boolean {
  return nodes.size > 0 && !nodes.has(node);
}

interface Judged {
  readonly block: IPAMBlock;
  readonly entry: Entry;
  readonly verdict: Verdict;
}

interface Verdict {
  readonly isLeaked: boolean;
  readonly isFinal: boolean;
  readonly reason: string;
}

/** All or none of a handle: one that is in use keeps the others. */
function leaks(state: ClusterState): Finding[] {
  const byHandle = new Map<string, Judged[]>();
  for (const block of state.blocks) {
    for (const entry of entriesOf(block)) {
      if (entry.releasedAt !== undefined || !entry.handle) continue;
      const judged = { block, entry, verdict: judge(entry, block, state) };
      const list = byHandle.get(entry.handle);
      if (list) list.push(judged);
      else byHandle.set(entry.handle, [judged]);
    }
  }
  const findings: Finding[] = [];
  for (const list of byHandle.values()) {
    if (!list.every(({ verdict }) => verdict.isLeaked)) continue;
    const isFinal = list.every(({ verdict }) => verdict.isFinal);
    findings.push(...list.map((judged) => leak(judged, isFinal)));
  }
  return findings;
}

function leak({ block, entry, verdict }: Judged, isFinal: boolean): Finding {
  const { address, handle, sequence, attributes } = entry;
  const { namespace, pod, node } = attributes;
  return {
    kind: 'leaked',
    subject: address,
    id: `leaked ${address} ${handle} ${sequence ?? ''}`,
    reason: verdict.reason,
    block: block.metadata.name,
    ...(handle === undefined ? {} : { handle }),
    ...(sequence === undefined ? {} : { sequence }),
    ...(node === undefined ? {} : { node }),
    ...(namespace && pod ? { pod: `${namespace}/${pod}` } : {}),
    isFinal,
  };
}

const kept = (reason: string): Verdict => ({ isLeaked: false, isFinal: false, reason });

/** Whether anybody has the address, and why it is thought so (spec 05, GC). */
export function judge(
  { address, handle, attributes }: Entry,
  block: IPAMBlock,
  state: ClusterState,
): Verdict {
  const { namespace, pod, type, node = '' } = attributes;
  if (handle === WINDOWS_HANDLE) return kept('kept by Windows');
  if (affinityOwner(block.spec.affinity)?.type === 'virtual') {
    return kept('in a block that no node owns: its controller looks after it');
  }
  const isNodeGone = node !== '' && isGone(node, state);
  if (!pod || !namespace) {
    if (!type) return kept('says of no pod and no tunnel that it is theirs: left alone');
    if (!isNodeGone) return kept(`${type} of node "${node}"`);
    return { isLeaked: true, isFinal: true, reason: `${type} of node "${node}", which is gone` };
  }
  const key = `${namespace}/${pod}`;
  const use = state.pods.get(key);
  const isFinal = isNodeGone;
  const gone = isNodeGone ? `, and node "${node}" is gone too` : '';
  if (!use) return { isLeaked: true, isFinal, reason: `pod ${key} does not exist${gone}` };
  if (node !== '' && use.node !== node) {
    const now = use.node === '' ? 'on no node yet' : `on node "${use.node}"`;
    return { isLeaked: true, isFinal, reason: `pod ${key} is ${now}, not on "${node}"${gone}` };
  }
  if (use.isFinished) return { isLeaked: true, isFinal, reason: `pod ${key} has finished${gone}` };
  if (use.addresses.includes(address)) return kept(`in use by pod ${key}`);
  if (use.addresses.length === 0 && !use.isDetached && !isNodeGone) {
    return kept(`pod ${key} is still being given its network`);
  }
  const has = use.addresses.length === 0 ? 'no address' : use.addresses.join(', ');
  return { isLeaked: true, isFinal: false, reason: `pod ${key} has ${has}, not ${address}` };
}

function restedIn(block: IPAMBlock, nowMs: number, restMs: number): Finding[] {
  return entriesOf(block).flatMap(({ address, releasedAt }) => {
    if (releasedAt === undefined || nowMs - Date.parse(releasedAt) < restMs) return [];
    const reason = `released at ${releasedAt}, and its rest of ${restMs / 1000} s is over`;
    const id = `rested ${address} ${releasedAt}`;
    return [
      { kind: 'rested', subject: address, id, reason, block: block.metadata.name, isFinal: true },
    ];
  });
}

interface OwnerBlocks {
  readonly all: number;
  /** Names of empty ones; the first stays if there is no other. */
  readonly empty: readonly string[];
}

/** Blocks of each node and family. */
function countOwners(blocks: readonly IPAMBlock[]): Map<string, OwnerBlocks> {
  const owners = new Map<string, { all: number; empty: string[] }>();
  for (const block of blocks) {
    const key = ownerKey(block);
    if (key === undefined) continue;
    const count = owners.get(key) ?? { all: 0, empty: [] };
    count.all++;
    if (isEmpty(block)) count.empty.push(block.metadata.name);
    owners.set(key, count);
  }
  for (const { empty } of owners.values()) empty.sort();
  return owners;
}

function ownerKey(block: IPAMBlock): string | undefined {
  const family = blockPrefix(block)?.family;
  return family && block.spec.affinity ? `${block.spec.affinity} ${family}` : undefined;
}

function blockFinding(
  block: IPAMBlock,
  state: ClusterState,
  owners: ReadonlyMap<string, OwnerBlocks>,
): Finding | undefined {
  if (block.spec.deleted || !blockPrefix(block)) return undefined;
  const owner = affinityOwner(block.spec.affinity);
  const { name } = block.metadata;
  const spare = (reason: string, isFinal: boolean): Finding => ({
    kind: 'spareBlock',
    subject: block.spec.cidr,
    id: `spareBlock ${name} ${block.spec.sequenceNumber ?? ''}`,
    reason,
    block: name,
    ...(owner ? { node: owner.name } : {}),
    isFinal,
  });
  if (!owner) return isEmpty(block) ? spare('empty, and nobody owns it', false) : undefined;
  if (owner.type !== 'host') return undefined;
  if (isGone(owner.name, state)) {
    if (isEmpty(block)) return spare(`empty, and its node "${owner.name}" is gone`, true);
    const reason = `its node "${owner.name}" is gone, and it still has addresses`;
    const id = `orphanBlock ${name}`;
    return { ...spare(reason, true), kind: 'orphanBlock', id };
  }
  const blocks = owners.get(ownerKey(block) ?? '');
  if (!blocks?.empty.includes(name)) return undefined;
  const isLast = blocks.empty.length === blocks.all && blocks.empty[0] === name;
  if (isLast) return undefined;
  return spare(`empty, and node "${owner.name}" has ${blocks.all - 1} other blocks`, false);
}

function affinityFindings(state: ClusterState): Finding[] {
  const wanted = new Map(
    state.blocks
      .filter(({ spec }) => spec.affinity && !spec.deleted)
      .map((block) => [`${block.spec.affinity} ${block.spec.cidr}`, block]),
  );
  const confirmed = new Set<string>();
  const findings: Finding[] = [];
  for (const { metadata, spec } of state.affinities) {
    const owner = ownerOfAffinity({ metadata, spec } as BlockAffinity);
    const key = `${affinityText(owner)} ${spec.cidr}`;
    if (wanted.has(key)) {
      if (spec.state === 'confirmed') confirmed.add(key);
      continue;
    }
    findings.push({
      kind: 'staleAffinity',
      subject: metadata.name,
      id: `staleAffinity ${metadata.name} ${metadata.resourceVersion ?? ''}`,
      reason: `it says ${spec.state || 'confirmed'} for "${owner.name}", but block ${spec.cidr} is not that node's`,
      node: owner.name,
      isFinal: owner.type === 'host' && isGone(owner.name, state),
    });
  }
  for (const [key, block] of wanted) {
    const owner = affinityOwner(block.spec.affinity);
    if (!owner || confirmed.has(key) || isGone(owner.name, state)) continue;
    findings.push({
      kind: 'missingAffinity',
      subject: block.spec.cidr,
      id: `missingAffinity ${key}`,
      reason: `the block belongs to "${owner.name}", and no affinity confirms it`,
      block: block.metadata.name,
      node: owner.name,
      isFinal: false,
    });
  }
  return findings;
}

/** Nothing depends on these objects: one that is missing is no difference. */
function handleFindings({ handles, blocks }: ClusterState): Finding[] {
  const counts = new Map<string, Map<string, number>>();
  for (const block of blocks) {
    for (const [handle, count] of handleCounts(block)) {
      const inBlocks = counts.get(handle) ?? new Map<string, number>();
      counts.set(handle, inBlocks.set(block.spec.cidr, count));
    }
  }
  return handles.flatMap(({ metadata, spec }) => {
    const held = counts.get(spec.handleID) ?? new Map<string, number>();
    const said = Object.entries(spec.block);
    const isRight = said.length === held.size && said.every(([cidr, n]) => held.get(cidr) === n);
    if (isRight && held.size > 0) return [];
    const reason =
      held.size === 0
        ? 'no address is allocated to it'
        : `it counts ${textOf(said)}; the blocks say ${textOf([...held])}`;
    const id = `staleHandle ${metadata.name} ${metadata.resourceVersion ?? ''}`;
    const handle = spec.handleID;
    return [{ kind: 'staleHandle', subject: metadata.name, id, reason, handle, isFinal: false }];
  });
}

function textOf(counts: readonly (readonly [string, number])[]): string {
  return counts.map(([cidr, count]) => `${count} in ${cidr}`).join(', ') || 'nothing';
}

function useFindings({ uses, blocks, pools }: ClusterState): Finding[] {
  const allocated = new Set(blocks.flatMap(entriesOf).map(({ address }) => address));
  const ranges = usableRanges(pools);
  const byAddress = new Map<string, string[]>();
  for (const { address, who } of uses) {
    byAddress.set(address, [...(byAddress.get(address) ?? []), who]);
  }
  const findings: Finding[] = [];
  for (const [subject, users] of byAddress) {
    const who = users.join(' and ');
    const add = (kind: FindingKind, reason: string) =>
      findings.push({ kind, subject, id: `${kind} ${subject} ${who}`, reason, isFinal: false });
    if (users.length > 1) add('shared', `used by ${who}`);
    if (allocated.has(subject)) continue;
    const address = parseAddress(subject);
    const inPool = address && ranges.some(({ prefix }) => prefixContains(prefix, address));
    if (inPool) add('unallocated', `used by ${who}, and not allocated`);
    else add('outsidePools', `used by ${who}, and in no enabled IPPool`);
  }
  return findings;
}

/** When a difference was first seen, and how often. */
export interface Observation {
  readonly since: number;
  readonly count: number;
}
export type Observations = ReadonlyMap<string, Observation>;

/** What was seen before and still is, counted on; what is gone is forgotten. */
export function observe(
  findings: readonly Finding[],
  before: Observations,
  nowMs: number,
): Observations {
  return new Map(
    findings.map(({ id }) => {
      const seen = before.get(id);
      return [id, { since: seen?.since ?? nowMs, count: (seen?.count ?? 0) + 1 }];
    }),
  );
}

/** What nothing here can mend: somebody has to look. */
export const UNMENDABLE: ReadonlySet<FindingKind> = new Set([
  'unallocated',
  'outsidePools',
  'shared',
]);

/**
 * Why nothing may be done about it yet; undefined when it may. Twice seen, the grace period apart;
 * at once for what is final. Grace 0 leaves alone all that is not final (spec 05).
 */
export function waitsFor(
  finding: Finding,
  observation: Observation | undefined,
  timing: { readonly nowMs: number; readonly graceMs: number },
): string | undefined {
  if (UNMENDABLE.has(finding.kind)) return 'somebody must look at it';
  if (finding.isFinal) return undefined;
  if (timing.graceMs === 0) return 'collection is off (leakGracePeriod is 0)';
  if (!observation || observation.count < 2) return 'it was seen once only';
  const left = observation.since + timing.graceMs - timing.nowMs;
  return left > 0 ? `its grace period ends in ${Math.ceil(left / 1000)} s` : undefined;
}
