// Tiers as chains on random packets, against the plain meaning of their policies, and what packets meet of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DataplanePolicy, DataplaneRule, EndpointTier } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { entity, policy, rule } from '../fixture.ts';
import { LogPrefixes } from './log-prefix.ts';
import {
  IP_SETS,
  Machine,
  type Packet,
  expectedOf,
  indexed,
  packets,
  rules,
  usual,
} from './packet-machine.contract.ts';
import { PolicyCache } from './policy-cache.ts';
import { TierPrograms } from './tier-programs.ts';

function tierOf(list: readonly DataplanePolicy[]): EndpointTier {
  const keys = list.map(({ id }) => policyKey(id));
  return { name: 'default', defaultAction: 'Deny', policies: keys };
}

function programsOf(lists: readonly (readonly DataplanePolicy[])[]): TierPrograms {
  return new TierPrograms(
    { ingress: lists.map(tierOf), egress: [] },
    {
      policies: new Map(lists.flat().map((one) => [policyKey(one.id), one])),
      settings: {
        ipSets: IP_SETS,
        denyAction: 'Drop',
        kernelLog: { prefix: 'calico-packet', rate: null },
      },
      cache: new PolicyCache(),
      prefixes: new LogPrefixes(),
      onProblem: (what, message) => assert.fail(`${what}: ${message}`),
    },
  );
}

function enter(programs: TierPrograms, list: readonly DataplanePolicy[], packet: Packet) {
  const { name: chain } = programs.tier(tierOf(list), 'ingress');
  const machine = new Machine(
    {
      chains: programs.chains.values(),
      maps: programs.maps.values(),
      classMaps: programs.classMaps.values(),
    },
    packet,
  );
  return { outcome: machine.run([{ chain, passes: false }]), rulesMet: machine.rules };
}

/** Enough rules in each policy that it is looked up, not walked. */
const manyRules = fc.array(fc.oneof(usual, rules), { minLength: 9, maxLength: 12 });

void test('[DP40] tiers that have policies in common, in any order, decide as their policies say', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(manyRules, fc.array(rules, { maxLength: 2 })), {
        minLength: 4,
        maxLength: 7,
      }),
      fc.array(fc.infiniteStream(fc.nat()), { minLength: 2, maxLength: 3 }),
      fc.array(packets, { minLength: 1, maxLength: 8 }),
      (contents, orders, some) => {
        const all = contents.map((list: DataplaneRule[], index) =>
          policy(`p${index}`, { ingress: indexed(list) }),
        );
        const lists = orders.map((order) => {
          const ranks = new Map(all.map((one) => [one, order.next().value]));
          return all.toSorted((a, b) => (ranks.get(a) ?? 0) - (ranks.get(b) ?? 0));
        });
        const programs = programsOf(lists);
        for (const list of lists) {
          for (const packet of some) {
            const { outcome } = enter(programs, list, packet);
            const { decision, verdict, logged } = expectedOf(list, packet);
            assert.equal(outcome.logged, logged);
            assert.equal(outcome.decision, decision ?? 'DTI|default');
            // A tier is left by returning.
            const expected = verdict === 'pass' ? undefined : (verdict ?? 'drop');
            assert.equal(outcome.verdict, expected);
          }
        }
      },
    ),
    { numRuns: 400 },
  );
});

void test('[DP40] a packet meets of many groups only those that have rules for its protocol', () => {
  const udp = rule('Allow', { protocol: 17, destination: entity({ ports: [[53, 53]] }) });
  const listOf = (count: number): DataplanePolicy[] => {
    const tcp = Array.from({ length: count - 1 }, (_, index) => {
      const destination = entity({ ports: [[index + 1, index + 1]] });
      return policy(`p${index}`, { ingress: [rule('Allow', { protocol: 6, destination })] });
    });
    return [...tcp, policy('last', { ingress: [udp] })];
  };
  const packet: Packet = {
    family: 4,
    protocol: 17,
    address: { source: '192.0.2.1', destination: '10.1.0.1' },
    port: { source: 1000, destination: 53 },
    type: 0,
    code: 0,
  };
  const met = [10, 10_000].map((count) => {
    const list = listOf(count);
    const { outcome, rulesMet } = enter(programsOf([list]), list, packet);
    assert.equal(outcome.decision, 'API0|NetworkPolicy/shop/last');
    return rulesMet;
  });
  assert.ok((met[1] ?? NaN) <= (met[0] ?? NaN) + 1, String(met));
});
