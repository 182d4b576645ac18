// What is worked out from a former value against what is made from nothing, for sets and for the whole table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FAMILIES, PersistentMap, PersistentSet } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import { endpoint, entity, policy, rule, stateOf } from '../fixture.ts';
import { PolicyCache } from '../rules/policy-cache.ts';
import { nextRendering, type Rendering, rulesetOf } from '../rules/ruleset.ts';
import { IpSetStates } from './ip-set-states.ts';
import { planSteps } from './plan.ts';
import type { SetState } from './set-state.ts';
import { type DesiredTable, desiredTable } from './table-state.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

const net = fc.oneof(
  fc.nat(40).map((n) => `10.0.0.${n}/32`),
  fc.nat(9).map((n) => `10.0.0.${4 * n}/30`),
  fc.constantFrom('0.0.0.0/32', '0.0.0.0/0', '255.255.255.255/32', '255.255.255.254/32'),
  fc.constantFrom('::/128', 'fd00::1/128', 'fd00::2/128', 'fd00:0::2/128', 'fd00::/64', 'ff00::/8'),
  fc.constantFrom('10.0.0.9', 'nonsense', ''),
);
const port = fc
  .record({
    address: fc.constantFrom('10.0.0.1', '10.0.0.1/32', '10.0.0.2', 'fd00::1', 'fd00:0::1'),
    protocol: fc.constantFrom('tcp', 'udp', 'icmp'),
    number: fc.constantFrom(80, 443, 99_999),
  })
  .map(({ address, protocol, number }) => `${address},${protocol}:${number}`);

/** Members beside those that change, so that a change is a small part. */
const ballast = {
  net: Array.from({ length: 200 }, (_, n) => (n < 100 ? `10.9.${n}.0/24` : `10.8.0.${n}/32`)),
  'ip-port': Array.from({ length: 100 }, (_, n) => `10.9.0.${n},tcp:80`),
};

const KINDS = [
  { kind: 'net', type: 'net' },
  { kind: 'address', type: 'net' },
  { kind: 'ip-port', type: 'ip-port' },
] as const;

const histories = fc.constantFrom(...KINDS).chain(({ kind, type }) => {
  const member: fc.Arbitrary<string> = type === 'net' ? net : port;
  return fc.record({
    kind: fc.constant(kind),
    type: fc.constant(type),
    start: fc.array(member, { maxLength: 8 }),
    steps: fc.array(fc.array(fc.record({ member, gone: fc.boolean() }), { maxLength: 3 }), {
      maxLength: 20,
    }),
  });
});

function shown({ type, entries }: SetState): unknown {
  return { type, entries: [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)) };
}

void test('a set that changed is, element by element, what it is from nothing', (t) => {
  fc.assert(
    fc.property(histories, ({ kind, type, start, steps }) => {
      const states = new IpSetStates();
      let set: IpSet = { id: 's', type, members: PersistentSet.from([...ballast[type], ...start]) };
      for (const family of FAMILIES) states.stateOf(set, kind, family);
      for (const step of steps) {
        const members = step.reduce(
          (all, { member, gone }) => (gone ? all.without(member) : all.with(member)),
          PersistentSet.from(set.members),
        );
        const next = { ...set, members };
        for (const family of FAMILIES) {
          const fresh = new IpSetStates().stateOf(next, kind, family);
          assert.deepEqual(shown(states.stateOf(next, kind, family, set)), shown(fresh));
        }
        set = next;
      }
    }),
    { seed: SEED, numRuns: 500 },
  );
  t.diagnostic(`seed ${SEED}`);
});

const SIZES = [0, 3, 255, 256, 257, 300];
const sets = fc.array(
  fc.record({
    id: fc.constantFrom('small', 'big', 'ports', 'unused'),
    size: fc.option(fc.constantFrom(...SIZES), { nil: undefined, freq: 3 }),
    more: fc.nat(20),
    type: fc.constantFrom('net' as const, 'ip-port' as const),
    wide: fc.constantFrom('', '', '', '', '10.7.0.0/16', 'fd00::/64', 'fd00::1/128'),
    isUsual: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
  }),
  { maxLength: 12 },
);

const address = (n: number) => `10.1.${n >> 8}.${n & 255}`;
const USUAL = { small: 'net', big: 'net', ports: 'ip-port', unused: 'net' } as const;

function madeSet(
  id: keyof typeof USUAL,
  type: IpSet['type'],
  [size, more, wide]: readonly [size: number, more: number, wide: string],
): IpSet {
  const numbers = Array.from({ length: size }, (_, n) => n);
  const text = (n: number) => (type === 'net' ? `${address(n)}/32` : `${address(n)},tcp:80`);
  const members = [...[...numbers, 900 + more].map(text), ...(wide === '' ? [] : [wide])];
  return { id, type, members: PersistentSet.from(members) };
}

const WEB = policy('web', {
  ingress: [
    rule('Allow', { source: entity({ ipSets: ['small'] }) }),
    rule('Deny', { index: 1, source: entity({ notIpSets: ['big'] }) }),
    rule('Allow', { index: 2, destination: entity({ ipSets: [], namedPortSets: ['ports'] }) }),
  ],
});
const TIER = {
  name: 'default',
  defaultAction: 'Deny',
  policies: ['NetworkPolicy/shop/web'],
} as const;
const BASE = stateOf([endpoint('a', { ingress: [TIER] })], [WEB]);

function tableOf({ state }: DesiredTable): unknown {
  const chains = [...state.chains].map(([name, { base, signature }]) => [name, base, signature]);
  return { chains, sets: [...state.sets].map(([name, set]) => [name, shown(set)]) };
}

/** What a kernel has of the sets that held the former entries and took these steps. */
function taken(before: DesiredTable, after: DesiredTable): Map<string, Set<string>> {
  const held = new Map(
    [...before.state.sets].map(([name, { entries }]) => [
      name,
      new Set([...entries.values()].flat().map((one) => JSON.stringify(one))),
    ]),
  );
  for (const { operation } of planSteps('t', after.state, before.state)) {
    if (operation.kind === 'add-set') held.set(operation.set, new Set());
    if (operation.kind === 'delete-set') held.delete(operation.set);
    if (operation.kind === 'add-elements') {
      for (const one of operation.elements) held.get(operation.set)?.add(JSON.stringify(one));
    }
    if (operation.kind === 'delete-elements') {
      for (const one of operation.elements) held.get(operation.set)?.delete(JSON.stringify(one));
    }
  }
  return held;
}

void test('[DP48] a table after changes of sets is what the state alone gives', (t) => {
  let shared = 0;
  fc.assert(
    fc.property(sets, (changes) => {
      const cache = new PolicyCache();
      const states = new IpSetStates();
      let ipSets: PersistentMap<IpSet> = PersistentMap.EMPTY;
      let before: { rendering: Rendering; table: DesiredTable } | undefined;
      for (const { id, size, more, wide, type, isUsual } of changes) {
        const set =
          size === undefined
            ? undefined
            : madeSet(id, isUsual ? USUAL[id] : type, [size, more, wide]);
        ipSets = set ? ipSets.with(id, set) : ipSets.without(id);
        const state = { ...BASE, ipSets };
        const rendering = nextRendering(before?.rendering, state, [], cache);
        const { ruleset } = rendering;
        if (ruleset.chains === before?.rendering.ruleset.chains) shared++;
        const table = desiredTable(ruleset, states, before?.table);
        const alone = desiredTable(rulesetOf(state), new IpSetStates(), undefined);
        assert.deepEqual(tableOf(table), tableOf(alone));
        assert.deepEqual([...ruleset.ipSets.keys()], [...alone.ruleset.ipSets.keys()]);
        if (before) {
          const elements = [...table.state.sets].map(
            ([name, { entries }]): [string, Set<string>] => [
              name,
              new Set([...entries.values()].flat().map((one) => JSON.stringify(one))),
            ],
          );
          assert.deepEqual(taken(before.table, table), new Map(elements));
        }
        before = { rendering, table };
      }
    }),
    { seed: SEED, numRuns: 200 },
  );
  assert.ok(shared > 200, `${shared} times the rules were kept`);
  t.diagnostic(`${shared} times the rules were kept, seed ${SEED}`);
});

void test('[DP49] a set is looked up by hash in the families all of whose members are addresses', () => {
  const kernelSets = (...more: string[]) => {
    const big = madeSet('big', 'net', [300, 0, '']);
    const members = PersistentSet.from([...big.members, 'fd00::1/128', ...more]);
    const state = { ...BASE, ipSets: new Map([['big', { ...big, members }]]) };
    const { chains, sets: held } = desiredTable(
      rulesetOf(state),
      new IpSetStates(),
      undefined,
    ).state;
    const names = [...held.keys()].filter((name) => /^[as][46]-/.test(name));
    const referred = new Set(
      [...chains.values()].flatMap(({ content }) => [...(content?.references ?? [])]),
    );
    assert.deepEqual(
      names.filter((name) => !referred.has(name)),
      [],
    );
    return names.map((name) => `${name.slice(0, 2)} ${held.get(name)?.type.interval ?? false}`);
  };
  assert.deepEqual(kernelSets(), ['a4 false', 'a6 false']);
  assert.deepEqual(kernelSets('10.7.0.0/16'), ['a6 false', 's4 true']);
  assert.deepEqual(kernelSets('fd00::/64'), ['a4 false', 's6 true']);
  assert.deepEqual(kernelSets('10.7.0.0/16', 'fd00::/64'), ['s4 true', 's6 true']);
});
