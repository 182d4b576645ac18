// Small sets whose members come and go under rules that tell addresses apart by class: what is written, and what holds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DataplaneRule, DataplaneState, IpSet } from '#calc/dataplane-update';
import { PersistentMap, PersistentSet } from '#lib';
import { endpoint, entity, policy, rule, stateOf } from '../fixture.ts';
import { PolicyCache } from '../rules/policy-cache.ts';
import { nextRendering, type Rendering, rulesetOf } from '../rules/ruleset.ts';
import { IpSetStates } from './ip-set-states.ts';
import { planSteps } from './plan.ts';
import { type DesiredTable, desiredTable } from './table-state.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const TCP = 6;
const SETS = ['a', 'b', 'c'];
const TIER = {
  name: 'default',
  defaultAction: 'Deny',
  policies: ['NetworkPolicy/shop/many'],
} as const;

const port = (number: number) => ({ ports: [[number, number] as const] });

/** Enough rules for look-ups: by port and address, by address alone, by what addresses are not. */
function manyRules(more: readonly DataplaneRule[]): DataplaneRule[] {
  const byPort = Array.from({ length: 12 }, (_, index) =>
    rule('Allow', {
      protocol: TCP,
      source: entity({ ipSets: [SETS[index % SETS.length] ?? ''] }),
      destination: entity(port(8000 + (index % 7))),
    }),
  );
  const byAddress = SETS.flatMap((id, index) => [
    rule(index === 1 ? 'Deny' : 'Allow', { source: entity({ ipSets: [id] }) }),
    rule('Allow', { source: entity({ nets: [`10.${index}.0.0/16`, 'fd00::/64'] }) }),
  ]);
  const rules = [...more.slice(0, 1), ...byPort, ...byAddress, ...more.slice(1)];
  return rules.map((one, index) => ({ ...one, index }));
}

function stateWith(ipSets: PersistentMap<IpSet>, more: readonly DataplaneRule[]): DataplaneState {
  const many = policy('many', { ingress: manyRules(more) });
  return stateOf([endpoint('a', { ingress: [TIER] })], [many], { ipSets });
}

function shown({ state }: DesiredTable): unknown {
  const chains = [...state.chains].map(([name, { base, signature }]) => [name, base, signature]);
  const sets = [...state.sets].map(([name, set]) => [name, set.type, new Set(set.entries.keys())]);
  return { chains, sets: new Map(sets.map(([name, ...rest]) => [name, rest])) };
}

const member = fc.oneof(
  fc.nat(7).map((last) => `10.0.0.${last}/32`),
  fc.nat(3).map((last) => `fd00::${last}/128`),
);
const wide = fc.constantFrom('10.0.0.0/30', '10.1.0.0/16', 'fd00::/126');
const change = fc.record({
  id: fc.constantFrom(...SETS),
  one: fc.oneof({ weight: 9, arbitrary: member }, { weight: 1, arbitrary: wide }),
});
const odd = fc.subarray([
  rule('Pass', { source: entity({ notIpSets: ['a'] }), protocol: 17 }),
  rule('Allow', { source: entity({ notNets: ['10.0.0.4/30'] }), protocol: TCP }),
  rule('Deny', { source: entity({ nets: ['10.0.0.0/29'], notIpSets: ['b'] }) }),
  rule('Log'),
]);

void test('[DP66] a table after members of small sets came and went is what the state alone gives', (t) => {
  let kept = 0;
  fc.assert(
    fc.property(fc.array(change, { maxLength: 10 }), odd, (changes, more) => {
      const cache = new PolicyCache();
      const states = new IpSetStates();
      let ipSets = PersistentMap.from(
        SETS.map((id): [string, IpSet] => [id, { id, type: 'net', members: PersistentSet.EMPTY }]),
      );
      let state = stateWith(ipSets, more);
      let before: { rendering: Rendering; table: DesiredTable } | undefined;
      for (const { id, one } of changes) {
        const members = PersistentSet.from(ipSets.get(id)?.members ?? []);
        const next = members.has(one) ? members.without(one) : members.with(one);
        ipSets = ipSets.with(id, { id, type: 'net', members: next });
        state = { ...state, ipSets };
        const rendering = nextRendering(before?.rendering, state, [], cache);
        const table = desiredTable(rendering.ruleset, states, before?.table);
        const alone = desiredTable(rulesetOf(state), new IpSetStates(), undefined);
        assert.deepEqual(shown(table), shown(alone));
        if (rendering.ruleset.chains === before?.rendering.ruleset.chains) kept++;
        before = { rendering, table };
      }
    }),
    { seed: SEED, numRuns: 80 },
  );
  assert.ok(kept > 20, `${kept} times no rule was rendered`);
  t.diagnostic(`${kept} times no rule was rendered, seed ${SEED}`);
});

void test('[DP66] a member of a small set that many rules ask about is one element of one map', () => {
  const withMembers = (count: number) =>
    SETS.map((id, index): [string, IpSet] => {
      const own = Array.from(
        { length: index === 0 ? count : 20 },
        (_, at) => `10.9.${index}.${at}/32`,
      );
      return [id, { id, type: 'net', members: PersistentSet.from(own) }];
    });
  const base = stateWith(PersistentMap.from(withMembers(20)), []);
  const cache = new PolicyCache();
  const states = new IpSetStates();
  const first = nextRendering(undefined, base, [], cache);
  const before = desiredTable(first.ruleset, states, undefined);
  const second = nextRendering(
    first,
    { ...base, ipSets: PersistentMap.from(withMembers(21)) },
    [],
    cache,
  );
  assert.equal(second.ruleset.chains, first.ruleset.chains);
  const after = desiredTable(second.ruleset, states, before);
  const steps = planSteps('t', after.state, before.state).map(({ operation }) => operation);
  const elements = steps.flatMap((one) => (one.kind === 'add-elements' ? one.elements : []));
  assert.ok(steps.every(({ kind }) => kind === 'add-elements'));
  assert.ok(
    elements.every(({ verdict }) => verdict === undefined),
    'the kernel checks no rules',
  );
  assert.deepEqual(new Set(elements.map(({ key }) => key)), new Set(['0a090014', '0a090015']));
});
