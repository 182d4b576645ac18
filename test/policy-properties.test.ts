// What must hold of every verdict: over random worlds, whatever their policies say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NetworkPolicy, Pod, Resource } from '#api';
import { buildWorld, evaluate, formatExplanation, type Packet, type Party } from '#policy';
import { parse } from 'yaml';
import { OUTSIDE, podsOf, PROBED_PORTS, world } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const RUNS = { seed: SEED, numRuns: 60 };
process.stdout.write(`# seed ${SEED}\n`);

const NUMBER = { tcp: 6, udp: 17 } as const;

/** Every pod to every pod, to the nodes and to an outside address, and back. */
function packets(resources: readonly Resource[]): Packet[] {
  const pods = podsOf(resources).map(partyOf);
  const others: Party[] = [
    { type: 'node', name: 'node-1' },
    { type: 'address', address: OUTSIDE[4] },
  ];
  const pairs = [...pods, ...others].flatMap((from) =>
    [...pods, ...others].map((to) => ({ from, to })),
  );
  return pairs.flatMap((pair) =>
    PROBED_PORTS.map(({ protocol, port }) => ({ ...pair, protocol: NUMBER[protocol], port })),
  );
}

function partyOf({ metadata }: Pod): Party {
  return { type: 'workload', namespace: metadata.namespace ?? 'default', name: metadata.name };
}

function verdicts(resources: readonly Resource[], list: readonly Packet[]): string[] {
  const built = buildWorld(resources);
  return list.map((packet) => JSON.stringify(evaluate(built, packet)));
}

/** Without the steps: what decided. */
function deciders(resources: readonly Resource[], list: readonly Packet[]): unknown[] {
  const built = buildWorld(resources);
  return list.map((packet) => {
    const { verdict, egress, ingress } = evaluate(built, packet);
    return { verdict, egress, ingress };
  });
}

function isPolicy(resource: Resource): resource is NetworkPolicy {
  return resource.apiVersion === 'projectcalico.org/v3' && resource.kind.endsWith('NetworkPolicy');
}

test('the order of resources does not matter', () => {
  const shuffled = world.chain(({ resources }) =>
    fc
      .shuffledSubarray([...resources], { minLength: resources.length })
      .map((other) => ({ resources, other })),
  );
  fc.assert(
    fc.property(shuffled, ({ resources, other }) => {
      const list = packets(resources);
      assert.deepEqual(verdicts(other, list), verdicts(resources, list));
    }),
    RUNS,
  );
});

test('a rule after one that always decides changes nothing', () => {
  fc.assert(
    fc.property(world, ({ resources }) => {
      const list = packets(resources);
      const append = (extra: readonly object[]) =>
        resources.map((one) => {
          if (!isPolicy(one)) return one;
          const { ingress, egress } = one.spec;
          const rules = {
            ...(ingress ? { ingress: [...ingress, { action: 'Deny' }, ...extra] } : {}),
            ...(egress ? { egress: [...egress, { action: 'Deny' }, ...extra] } : {}),
          };
          return { ...one, spec: { ...one.spec, ...rules } } as Resource;
        });
      assert.deepEqual(deciders(append([{ action: 'Allow' }]), list), deciders(append([]), list));
    }),
    RUNS,
  );
});

test('the verdict is that of both halves, and what is told as deciding is the last step that decides', () => {
  fc.assert(
    fc.property(world, ({ resources }) => {
      const built = buildWorld(resources);
      for (const packet of packets(resources)) {
        const { verdict, egress, ingress, steps } = evaluate(built, packet);
        const both = egress.verdict === 'allow' && ingress.verdict === 'allow';
        assert.equal(verdict, both ? 'allow' : 'deny');
        for (const [direction, half] of Object.entries({ egress, ingress })) {
          const last = steps.filter((step) => step.direction === direction).at(-1);
          assert.ok(last && last.reason !== '');
          assert.deepEqual(
            [last.tier, last.policy, last.rule],
            [half.tier, half.policy, half.rule],
          );
          assert.equal(last.outcome.replace('default-', ''), half.verdict);
        }
      }
    }),
    RUNS,
  );
});

test('where rules name no networks and no families, both addresses of a pod fare alike', () => {
  fc.assert(
    fc.property(world, ({ resources }) => {
      const free = resources.filter(
        (one) => !/"(nets|notNets|ipBlock|networks|ipVersion)"/.test(JSON.stringify(one)),
      );
      const list = packets(free).filter(
        ({ from, to }) => from.type !== 'address' && to.type !== 'address',
      );
      const ofFamily = (family: 4 | 6) => list.map((packet) => ({ ...packet, family }));
      assert.deepEqual(deciders(free, ofFamily(6)), deciders(free, ofFamily(4)));
    }),
    RUNS,
  );
});

test('a policy of a Pass tier without rules changes no verdict', () => {
  fc.assert(
    fc.property(world, ({ resources }) => {
      const idle = { apiVersion: 'projectcalico.org/v3', metadata: { name: 'idle' } };
      const tier = { ...idle, kind: 'Tier', spec: { order: 1, defaultAction: 'Pass' } };
      const types = ['Ingress', 'Egress'];
      const spec = { tier: 'idle', selector: 'all()', types };
      const policy = { ...idle, kind: 'GlobalNetworkPolicy', spec };
      const list = packets(resources);
      assert.deepEqual(deciders([...resources, tier, policy], list), deciders(resources, list));
    }),
    RUNS,
  );
});

/** `Add this egress rule to NetworkPolicy red/policy-1 before its rule 0, or …:`, and the rule as YAML. */
const SUGGESTION =
  /Add this (ingress|egress) rule to (\w+) (?:([\w-]+)\/)?([\w-]+)(?: before its rule (\d+).*)?:\n((?: {4}.*\n?)+)/g;

interface Rules {
  readonly ingress?: readonly object[];
  readonly egress?: readonly object[];
}

function withSuggestion(resources: readonly Resource[], [, ...parts]: RegExpExecArray): Resource[] {
  const [direction = '', kind = '', namespace, name, before, text = ''] = parts;
  const [rule] = parse(text.replaceAll(/^ {4}/gm, '')) as object[];
  return resources.map((one) => {
    if (
      policyKind(one) !== kind ||
      one.metadata.name !== name ||
      one.metadata.namespace !== namespace
    )
      return one;
    const { spec } = one as Resource & { spec: Rules };
    const list = [...((direction === 'ingress' ? spec.ingress : spec.egress) ?? [])];
    list.splice(before === undefined ? list.length : Number(before), 0, rule ?? {});
    return { ...one, spec: { ...spec, [direction]: list } } as Resource;
  });
}

function policyKind({ apiVersion, kind }: Resource): string {
  return apiVersion === 'networking.k8s.io/v1' ? `Kubernetes${kind}` : kind;
}

test('the rule that is suggested makes a denied half allow', () => {
  let followed = 0;
  fc.assert(
    fc.property(world, ({ resources }) => {
      const built = buildWorld(resources);
      for (const packet of packets(resources).filter((_, index) => index % 7 === 0)) {
        const text = formatExplanation(evaluate(built, packet), packet, built);
        for (const suggestion of text.matchAll(SUGGESTION)) {
          if (suggestion[6]?.includes('# none: ')) continue;
          const direction = suggestion[1] === 'ingress' ? 'ingress' : 'egress';
          const changed = buildWorld(withSuggestion(resources, suggestion));
          assert.equal(evaluate(changed, packet)[direction].verdict, 'allow', text);
          followed++;
        }
      }
    }),
    { ...RUNS, numRuns: 30 },
  );
  process.stdout.write(`# ${followed} suggestions followed\n`);
  assert.ok(followed > 0);
});
