// Workloads that come, go and change: what the table holds, what that costs, and what is kept where it is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { PersistentMap } from '#lib';
import { endpoint, policy, rule, stateOf } from '../fixture.ts';
import { classNumbers } from '../rules/class-name.ts';
import { PolicyCache } from '../rules/policy-cache.ts';
import { nextRendering, type Rendering, rulesetOf } from '../rules/ruleset.ts';
import { IpSetStates } from './ip-set-states.ts';
import { planSteps, reachable } from './plan.ts';
import { type DesiredTable, desiredTable, EMPTY_TABLE, type TableState } from './table-state.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const POLICIES = ['one', 'two'].map((name) => policy(name, { ingress: [rule('Deny')] }));
const tierOf = (name: string) =>
  ({
    name: 'default',
    defaultAction: 'Deny',
    policies: [`NetworkPolicy/shop/${name}`],
  }) as const;
const TIERS = [[], [tierOf('one')], [tierOf('two')], [tierOf('one'), tierOf('missing')]];
const BASE = stateOf([], POLICIES);

/** The workload of a number in some form; two forms claim the interface of another. */
function workload(number: number, form: number): LocalEndpoint {
  const tiers = TIERS[form % TIERS.length] ?? [];
  const allowedSources = form === 5 ? ['192.0.2.0/24'] : [];
  const interfaceName = `cali${form >= 6 ? 0 : number}`;
  return { ...endpoint(`w${number}`), interfaceName, ingress: tiers, allowedSources };
}

function shown({ state }: DesiredTable): unknown {
  const chains = new Map(
    [...state.chains].map(([name, { base, signature }]) => [name, [base, signature]]),
  );
  const sets = new Map(
    [...state.sets].map(([name, { type, entries }]) => [name, [type, new Set(entries.keys())]]),
  );
  return { chains, sets };
}

function stateWith(endpoints: ReadonlyMap<string, LocalEndpoint>): DataplaneState {
  return { ...BASE, endpoints };
}

void test('[DP67] a table after workloads came and went is what the state alone gives', (t) => {
  const changes = fc.array(
    fc.array(fc.record({ number: fc.nat(4), form: fc.option(fc.nat(7)) }), { maxLength: 3 }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(changes, (steps) => {
      const cache = new PolicyCache();
      const sets = new IpSetStates();
      let endpoints: PersistentMap<LocalEndpoint> = PersistentMap.EMPTY;
      let before: { rendering: Rendering; table: DesiredTable } | undefined;
      for (const step of steps) {
        for (const { number, form } of step) {
          const one = workload(number, form ?? 0);
          endpoints = form === null ? endpoints.without(one.id) : endpoints.with(one.id, one);
        }
        const state = stateWith(endpoints);
        const rendering = nextRendering(before?.rendering, state, [], cache);
        const table = desiredTable(rendering.ruleset, sets, before?.table);
        const alone = rulesetOf(state);
        assert.deepEqual(shown(table), shown(desiredTable(alone, new IpSetStates(), undefined)));
        assert.deepEqual(rendering.ruleset.problems, alone.problems);
        before = { rendering, table };
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
  t.diagnostic(`seed ${SEED}`);
});

void test('[DP67] a workload of a class that is there is one element, and touches no chain', () => {
  const endpoints = (count: number) =>
    PersistentMap.from(
      Array.from({ length: count }, (_, number): [string, LocalEndpoint] => {
        const one = workload(number, 1);
        return [one.id, one];
      }),
    );
  const cache = new PolicyCache();
  const sets = new IpSetStates();
  const first = nextRendering(undefined, stateWith(endpoints(300)), [], cache);
  const before = desiredTable(first.ruleset, sets, undefined);
  const second = nextRendering(first, stateWith(endpoints(301)), [], cache);
  assert.equal(second.ruleset.chains, first.ruleset.chains);
  const after = desiredTable(second.ruleset, sets, before);
  const steps = planSteps('t', after.state, before.state);
  assert.deepEqual(
    steps.map(({ operation }) =>
      operation.kind === 'add-elements' ? [operation.set, operation.elements.length] : operation,
    ),
    [['workloads', 1]],
  );
});

void test('[DP6] a workload whose new chains are refused stays in the class that it was in', () => {
  const tableOf = (form: number): TableState => {
    const one = workload(1, form);
    const ruleset = rulesetOf(stateWith(new Map([[one.id, one]])));
    return desiredTable(ruleset, new IpSetStates(), undefined).state;
  };
  const [before, after] = [tableOf(1), tableOf(2)];
  const [refused = ''] = [...after.chains.keys()].filter(
    (name) => name.startsWith('wi-') && !before.chains.has(name),
  );
  const target = reachable(after, before, new Set([refused]));
  const entriesOf = ({ sets }: TableState, name: string) => [...(sets.get(name)?.entries ?? [])];
  assert.deepEqual(entriesOf(target, 'workloads'), entriesOf(before, 'workloads'));
  const kept = [...before.chains.keys()].filter((name) => /^(wi|ti|pi)-/.test(name));
  assert.deepEqual(
    kept.filter((name) => !target.chains.has(name)),
    [],
  );
  const fresh = reachable(after, EMPTY_TABLE, new Set([refused]));
  const [[, leads] = []] = entriesOf(fresh, 'dispatch-ingress');
  assert.equal(leads, undefined, 'a new one leads nowhere: its packets are dropped');
});

void test('[DP67] classes have numbers of their own, the same whoever else is there', () => {
  const names = Array.from({ length: 2_000 }, (_, index) => `class-${index}`);
  const numbers = classNumbers(names);
  assert.equal(new Set(numbers.values()).size, names.length);
  const some = classNumbers(names.slice(0, 10).toReversed());
  for (const [name, number] of some) assert.equal(number, numbers.get(name));
});
