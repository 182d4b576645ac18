// What lint proves must hold in the engine: over random worlds, no packet meets a rule that it calls shadowed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Resource } from '#api';
import { buildWorld, evaluate, formatPolicyRef, lint, type Packet, type Party } from '#policy';
import { OUTSIDE, podsOf, PROBED_PORTS, world } from '../worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
process.stdout.write(`# seed ${SEED}\n`);
const PROTOCOLS = { tcp: 6, udp: 17 } as const;

function packets(resources: readonly Resource[]): Packet[] {
  const pods = podsOf(resources).map(
    ({ metadata }): Party => ({
      type: 'workload',
      namespace: metadata.namespace ?? 'default',
      name: metadata.name,
    }),
  );
  return ([4, 6] as const).flatMap((family) => {
    const parties = [...pods, { type: 'address', address: OUTSIDE[family] } as const];
    return parties.flatMap((from) =>
      parties.flatMap((to) =>
        PROBED_PORTS.map(({ protocol, port }) => ({
          from,
          to,
          family,
          port,
          protocol: PROTOCOLS[protocol],
        })),
      ),
    );
  });
}

/** Every rule that some packet meets, as `GlobalNetworkPolicy p spec.ingress[0]`. */
function rulesMet(resources: readonly Resource[]): Set<string> {
  const built = buildWorld(resources);
  const met = new Set<string>();
  for (const packet of packets(resources)) {
    for (const { policy, direction, rule } of evaluate(built, packet).steps) {
      if (policy && rule >= 0) met.add(`${formatPolicyRef(policy)} spec.${direction}[${rule}]`);
    }
  }
  return met;
}

test('no packet meets a shadowed or contradictory rule', () => {
  let claims = 0;
  fc.assert(
    fc.property(world, ({ resources }) => {
      const met = rulesMet(resources);
      for (const { check, object, path } of lint(resources)) {
        if (check !== 'shadowed-rule' && check !== 'contradiction') continue;
        const rule = /^spec\.(?:in|e)gress\[\d+\]/.exec(path)?.[0];
        if (rule === undefined) continue;
        claims++;
        assert.ok(
          !met.has(`${object} ${rule}`),
          `${object} ${rule} is met, and lint says ${check}`,
        );
      }
    }),
    { seed: SEED, numRuns: 80 },
  );
  assert.ok(claims > 20, `only ${claims} claims in 80 worlds`);
});

test('a policy that selects nothing may be deleted, and no verdict changes', () => {
  fc.assert(
    fc.property(world, ({ resources }) => {
      const idle = new Set(
        lint(resources)
          .filter(({ check }) => check === 'policy-selects-nothing')
          .map(({ object }) => object.split(' ')[1]),
      );
      const rest = resources.filter(({ kind, metadata: { namespace, name } }) => {
        const key = namespace === undefined ? name : `${namespace}/${name}`;
        return !(kind.endsWith('NetworkPolicy') && idle.has(key));
      });
      const [before, after] = [buildWorld(resources), buildWorld(rest)];
      for (const packet of packets(resources)) {
        assert.equal(evaluate(before, packet).verdict, evaluate(after, packet).verdict);
      }
    }),
    { seed: SEED, numRuns: 20 },
  );
});
