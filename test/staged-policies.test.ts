// What must hold of staged policies in random worlds: they change no answer, and tell what enforcing them would.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import { buildWorld, evaluate, type Packet, type Party } from '#policy';
import { OUTSIDE, podsOf, world } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const RUNS = { seed: SEED, numRuns: 60 };
process.stdout.write(`# seed ${SEED}\n`);

/** Every pod to every pod, to a node and to an outside address, and back. */
function packets(resources: readonly Resource[]): Packet[] {
  const parties: Party[] = [
    ...podsOf(resources).map(({ metadata: { namespace = 'default', name } }) => {
      const party = { type: 'workload', namespace, name } as const;
      return party;
    }),
    { type: 'node', name: 'node-1' },
    { type: 'address', address: OUTSIDE[4] },
  ];
  return parties.flatMap((from) =>
    parties.flatMap((to) => [
      { from, to, protocol: 6, port: 8080 },
      { from, to, protocol: 17, port: 5353 },
    ]),
  );
}

/** ClusterNetworkPolicy cannot be staged. */
function canBeStaged({ kind }: Resource): boolean {
  return kind === 'NetworkPolicy' || kind === 'GlobalNetworkPolicy';
}

function staged(policy: Resource, stagedAction: string): Resource {
  const { spec } = policy as Resource & { spec: object };
  const kubernetes = policy.apiVersion === 'networking.k8s.io/v1' ? 'Kubernetes' : '';
  const change = { kind: `Staged${kubernetes}${policy.kind}`, spec: { ...spec, stagedAction } };
  return { ...policy, apiVersion: 'projectcalico.org/v3', ...change };
}

interface Rules {
  readonly ingress?: readonly object[];
  readonly egress?: readonly object[];
}

/** Another policy of the same name: without the first rule of each list. */
function shortened(policy: Resource): Resource {
  const { spec } = policy as Resource & { spec: Rules };
  const { ingress, egress } = spec;
  const rules = {
    ...(ingress ? { ingress: ingress.slice(1) } : {}),
    ...(egress ? { egress: egress.slice(1) } : {}),
  };
  const change = { spec: { ...spec, ...rules } };
  return { ...policy, ...change };
}

/** What is done to each policy of a world, by its turn. */
const CHANGES = ['keep', 'add', 'replace', 'delete', 'learn', 'ignore'] as const;
type Change = (typeof CHANGES)[number];

interface Staging {
  readonly original: readonly Resource[];
  /** With staged policies. */
  readonly staged: readonly Resource[];
  /** What nothing is staged in, as it is enforced before. */
  readonly before: readonly Resource[];
  /** The staged policies applied for real. */
  readonly after: readonly Resource[];
}

function stage(resources: readonly Resource[], changes: readonly Change[]): Staging {
  const lists: Record<'staged' | 'before' | 'after', Resource[]> = {
    staged: [],
    before: [],
    after: [],
  };
  let turn = 0;
  for (const one of resources) {
    const change = canBeStaged(one) ? (changes[turn++ % changes.length] ?? 'keep') : 'keep';
    const { before, stagedOne, after } = stageOne(one, change);
    lists.before.push(...before);
    lists.staged.push(...before, ...stagedOne);
    lists.after.push(...after);
  }
  return { original: resources, ...lists };
}

function stageOne(one: Resource, change: Change) {
  switch (change) {
    case 'keep':
      return { before: [one], stagedOne: [], after: [one] };
    case 'add':
      return { before: [], stagedOne: [staged(one, 'Set')], after: [one] };
    case 'replace':
      return { before: [one], stagedOne: [staged(shortened(one), 'Set')], after: [shortened(one)] };
    case 'delete':
      return { before: [one], stagedOne: [staged(one, 'Delete')], after: [] };
    case 'learn':
      return { before: [one], stagedOne: [staged(shortened(one), 'Learn')], after: [one] };
    case 'ignore':
      return { before: [one], stagedOne: [staged(shortened(one), 'Ignore')], after: [one] };
  }
}

const staging = fc
  .tuple(world, fc.array(fc.constantFrom(...CHANGES), { minLength: 3, maxLength: 9 }))
  .map(([{ resources }, changes]) => {
    const enforced = resources.filter(({ kind }) => !kind.startsWith('Staged'));
    return stage(enforced, changes);
  });

test('staged policies never change the enforced answer', () => {
  let compared = 0;
  fc.assert(
    fc.property(staging, (one) => {
      const [with_, without] = [buildWorld(one.staged), buildWorld(one.before)];
      for (const packet of packets(one.original)) {
        const { pending: _, steps, ...deciders } = evaluate(with_, packet);
        const { steps: expected, ...others } = evaluate(without, packet);
        assert.deepEqual(deciders, others);
        const enforced = steps.filter(({ policy }) => policy?.kind.startsWith('Staged') !== true);
        const own = (list: typeof steps) => list.filter(({ policy, tier }) => policy ?? !tier);
        assert.deepEqual(own(enforced), own(expected));
        compared++;
      }
    }),
    RUNS,
  );
  process.stdout.write(`# ${compared} answers compared\n`);
});

test('the would-be answer is that of the world in which the staged policies are enforced', () => {
  const seen = { opens: 0, closes: 0, stays: 0, absent: 0 };
  fc.assert(
    fc.property(staging, (one) => {
      const [now, then] = [buildWorld(one.staged), buildWorld(one.after)];
      for (const packet of packets(one.original)) {
        const { pending, verdict, egress, ingress } = evaluate(now, packet);
        const expected = evaluate(then, packet);
        if (pending) assert.deepEqual(pending, expected);
        else {
          const { steps: _, ...others } = expected;
          assert.deepEqual({ verdict, egress, ingress }, others);
        }
        const change = expected.verdict === 'allow' ? 'opens' : 'closes';
        seen[pending ? (expected.verdict === verdict ? 'stays' : change) : 'absent']++;
      }
    }),
    RUNS,
  );
  process.stdout.write(`# ${JSON.stringify(seen)}\n`);
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 0, what);
});
