// Mends what the collection found and may be mended, after looking at each owner once more.
import {
  blockAffinityKind,
  calicoNodeKind,
  type IPAMBlock,
  type KindDefinition,
  nodeKind,
  podKind,
  type WorkloadEndpoint,
  workloadEndpointKind,
} from '#api';
import type { ApiClient } from '#datastore/client';
import { affinityOwner, newAffinity, ownerOfAffinity } from './affinity.ts';
import { entriesOf, freeEntries, freeRested, isEmpty, withoutAffinity } from './block.ts';
import { type ClusterState, type Finding, findDifferences, judge } from './collection.ts';
import { Inventory, type IpamClient } from './inventory.ts';
import { endpointUses, podUse, type PodUse } from './owners.ts';
import { blocksByName, isPod, readCluster } from './read-cluster.ts';
import { carryOut } from './writer.ts';
import {
  affinityRepairs,
  blockWrites,
  handleWrite,
  indexAffinities,
  type Write,
} from './writes.ts';

export type CollectorClient = IpamClient & Pick<ApiClient, 'get'>;

/** What became of a finding; `failure` says why it stays. */
export interface Mended {
  readonly finding: Finding;
  readonly failure?: string;
}

/** At once: the rest has its turn at the next collection. */
const MAX_AT_ONCE = 1000;
const MAX_GETS = 32;

/**
 * Reads anew, and mends of the given findings those that still hold and whose pod and node, asked for
 * by name, are still not there. Nothing else is touched. Throws the client's errors of reading.
 */
export async function mend(
  client: CollectorClient,
  due: readonly Finding[],
  nowMs: number,
): Promise<Mended[]> {
  const state = await readCluster(client);
  const present = new Map(findDifferences(state, nowMs).map((finding) => [finding.id, finding]));
  const results: Mended[] = [];
  const still: Finding[] = [];
  for (const finding of due.slice(0, MAX_AT_ONCE)) {
    const now = present.get(finding.id);
    if (now) still.push(now);
    else results.push({ finding, failure: 'it is no longer so' });
  }
  const { confirmed, refuted } = await lookAgain(client, still, state);
  results.push(...refuted);
  const writes = plan(confirmed, state, nowMs);
  const { faults, undone } = await carryOut(client, new Inventory(client), writes);
  for (const finding of confirmed) {
    const fault = faults.get(finding.block ?? '') ?? undone.get(finding.subject);
    results.push(fault === undefined ? { finding } : { finding, failure: textOf(fault) });
  }
  return results;
}

/** The last look: a pod or node that is there after all keeps what is its own. */
async function lookAgain(
  client: CollectorClient,
  findings: readonly Finding[],
  state: ClusterState,
): Promise<{ confirmed: Finding[]; refuted: Mended[] }> {
  const pods = new Map<string, PodUse>(state.pods);
  const nodes = new Set(state.nodes);
  const keys = new Set(findings.flatMap(({ pod }) => pod ?? []));
  const listed = keys.size > 0 ? (await client.list(workloadEndpointKind)).items : [];
  const endpoints = endpointUses(listed as WorkloadEndpoint[]);
  for (const [key, use] of endpoints) pods.set(key, use);
  await inSlices([...keys], async (key) => {
    const [namespace = '', name = ''] = key.split('/');
    const pod = await client.get(podKind, { namespace, name });
    const use = pod && isPod(pod) ? podUse(pod) : undefined;
    if (use) pods.set(key, use);
    else if (!endpoints.has(key)) pods.delete(key);
  });
  const gone = new Set(findings.filter(({ isFinal }) => isFinal).flatMap(({ node }) => node ?? []));
  await inSlices([...gone], async (name) => {
    const isThere = (kind: KindDefinition) => client.get(kind, { name });
    if ((await isThere(nodeKind)) ?? (await isThere(calicoNodeKind))) nodes.add(name);
  });
  const seen = { ...state, pods, nodes };
  const blocks = blocksByName(state.blocks);
  const kept = new Set<string>();
  for (const finding of findings) {
    if (finding.kind === 'leaked' && !isStillLeaked(finding, blocks, seen)) {
      kept.add(finding.handle ?? '');
    }
  }
  const confirmed: Finding[] = [];
  const refuted: Mended[] = [];
  for (const finding of findings) {
    const isBack = finding.isFinal && finding.node !== undefined && nodes.has(finding.node);
    const isKept = finding.kind === 'leaked' && kept.has(finding.handle ?? '');
    if (isBack) refuted.push({ finding, failure: `node "${finding.node}" is there` });
    else if (isKept) refuted.push({ finding, failure: 'its handle is in use' });
    else confirmed.push(finding);
  }
  return { confirmed, refuted };
}

function isStillLeaked(
  finding: Finding,
  blocks: ReadonlyMap<string, IPAMBlock>,
  state: ClusterState,
): boolean {
  const block = blocks.get(finding.block ?? '');
  if (!block) return false;
  const entry = entriesOf(block).find(({ address }) => address === finding.subject);
  return entry !== undefined && judge(entry, block, state).isLeaked;
}

async function inSlices<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += MAX_GETS) {
    await Promise.all(items.slice(start, start + MAX_GETS).map(work));
  }
}

/** The writes that mend; what fails only concerns its own block. */
function plan(findings: readonly Finding[], state: ClusterState, nowMs: number): Write[] {
  const before = blocksByName(state.blocks);
  const after = new Map(before);
  for (const finding of findings) {
    const block = after.get(finding.block ?? '');
    if (block) mendBlock(after, block, finding, { state, nowMs });
  }
  const affinities = indexAffinities(state.affinities);
  const writes = blockWrites(before, after, affinities);
  for (const finding of findings) writes.push(...mendObject(finding, state, after));
  return writes;
}

function mendBlock(
  after: Map<string, IPAMBlock>,
  block: IPAMBlock,
  finding: Finding,
  { state, nowMs }: { state: ClusterState; nowMs: number },
): void {
  const { name } = block.metadata;
  const { kind, subject, handle, sequence } = finding;
  if (kind === 'rested') after.set(name, freeRested(block, nowMs, state.restMs));
  if (kind === 'orphanBlock') after.set(name, withoutAffinity(block));
  if (kind === 'spareBlock' && isEmpty(block)) after.delete(name);
  if (kind !== 'leaked') return;
  const restsSince = state.restMs > 0 ? new Date(nowMs).toISOString() : undefined;
  const { block: freed } = freeEntries(
    block,
    (entry) => entry.address === subject && entry.handle === handle && entry.sequence === sequence,
    restsSince,
  );
  const owner = affinityOwner(freed.spec.affinity);
  const isOfGone = finding.isFinal && owner?.type === 'host' && owner.name === finding.node;
  // The last address takes a block with it that nobody owns, or a node that is gone.
  if ((!owner || isOfGone) && isEmpty(freed)) after.delete(name);
  else after.set(name, freed);
}

function mendObject(
  finding: Finding,
  state: ClusterState,
  after: ReadonlyMap<string, IPAMBlock>,
): Write[] {
  const { kind, subject, handle } = finding;
  if (kind === 'staleAffinity') {
    const blocks = blocksByName(state.blocks);
    const known = state.affinities.find(({ metadata }) => metadata.name === subject);
    if (!known) return [];
    const owner = ownerOfAffinity(known);
    return affinityRepairs(owner, blocks, blocks, new Map([[subject, known]]))
      .filter(({ verb }) => verb === 'delete')
      .map((write) => ({ ...write, block: subject }));
  }
  if (kind === 'missingAffinity') {
    const owner = affinityOwner(after.get(finding.block ?? '')?.spec.affinity);
    if (!owner) return [];
    const known = state.affinities.find(
      (it) => it.spec.cidr === subject && ownerOfAffinity(it).name === owner.name,
    );
    const wanted = newAffinity(owner, subject, 'confirmed');
    const resource = known ? { ...known, spec: wanted.spec } : wanted;
    const verb = known ? 'replace' : 'create';
    return [{ stage: 3, verb, kind: blockAffinityKind, resource, block: subject }];
  }
  if (kind !== 'staleHandle' || handle === undefined) return [];
  const known = state.handles.find(({ spec }) => spec.handleID === handle);
  const write = handleWrite(handle, after, known, subject);
  return write ? [write] : [];
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : JSON.stringify(error);
}
