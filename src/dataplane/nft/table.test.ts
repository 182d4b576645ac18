// The driver against a kernel in memory that refuses what refers to nothing, and what is referred to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import {
  NftError,
  type NftOperation,
  type SetElement,
  type TableSnapshot,
  baseSignature,
  setSignature,
} from '#linux';
import { type DataplaneState, policyKey } from '#calc/dataplane-update';
import { endpoint, entity, policy, rule, stateOf } from '../fixture.ts';
import { classOf } from '../rules/endpoint-classes.ts';
import { endpointChainName } from '../rules/names.ts';
import { rulesetOf } from '../rules/ruleset.ts';
import { NftTable } from './table.ts';

interface HeldChain {
  readonly base: string;
  readonly rules: { readonly comment: string; readonly references: readonly string[] }[];
}

/** Holds one table. A transaction is made on a copy, and kept when nothing of it was refused. */
class MemoryKernel {
  writes = 0;
  transactions = 0;
  /** Refuses operations of its own liking. */
  refuse: (operation: NftOperation) => boolean = () => false;
  #table: { chains: Map<string, HeldChain>; sets: Map<string, HeldSet> } | undefined;

  readTable(): TableSnapshot | undefined {
    if (!this.#table) return undefined;
    const { chains, sets } = this.#table;
    return {
      dormant: false,
      chains: new Map(
        [...chains].map(([name, { base, rules }]) => [
          name,
          { base, rules: rules.map(({ comment }) => ({ handle: 0n, comment })) },
        ]),
      ),
      sets: new Map(
        [...sets].map(([name, set]) => [
          name,
          { signature: set.signature, elements: [...set.elements.values()] },
        ]),
      ),
    };
  }

  commit(operations: readonly NftOperation[]): void {
    if (operations.length === 0) return;
    this.transactions++;
    const before = structuredClone(this.#table);
    for (const [index, operation] of operations.entries()) {
      const refusal = this.refuse(operation) ? 'EINVAL' : this.#make(operation);
      if (refusal === undefined) continue;
      this.#table = before;
      throw new NftError(`refused ${operation.kind}`, refusal, index, undefined);
    }
    this.writes += operations.length;
  }

  /** Somebody else's change. */
  disturb(change: (chains: Map<string, HeldChain>, sets: Map<string, HeldSet>) => void): void {
    if (this.#table) change(this.#table.chains, this.#table.sets);
  }

  #make(operation: NftOperation): string | undefined {
    if (operation.kind === 'add-table') {
      this.#table ??= { chains: new Map(), sets: new Map() };
      return undefined;
    }
    if (!this.#table) return 'ENOENT';
    const { chains, sets } = this.#table;
    const exists = (name: string) => chains.has(name) || sets.has(name);
    const isUsed = (name: string) =>
      [...chains.values()].some((chain) =>
        chain.rules.some((one) => one.references.includes(name)),
      ) ||
      [...sets.values()].some((set) =>
        [...set.elements.values()].some((element) => chainOf(element) === name),
      );
    switch (operation.kind) {
      case 'delete-table':
        this.#table = undefined;
        return undefined;
      case 'add-set':
        sets.set(operation.set, { signature: setSignature(operation.type), elements: new Map() });
        return undefined;
      case 'delete-set':
        if (isUsed(operation.set)) return 'EBUSY';
        return sets.delete(operation.set) ? undefined : 'ENOENT';
      case 'add-chain':
        chains.set(operation.chain, { base: baseSignature(operation.base), rules: [] });
        return undefined;
      case 'flush-chain':
        return chains.get(operation.chain)?.rules.splice(0) ? undefined : 'ENOENT';
      case 'delete-chain':
        if (isUsed(operation.chain)) return 'EBUSY';
        return chains.delete(operation.chain) ? undefined : 'ENOENT';
      case 'add-rule': {
        const references = operation.expressions.flatMap((one) => {
          if (one.kind === 'lookup' && typeof one.set === 'string') return [one.set];
          return one.kind === 'verdict' && 'chain' in one.verdict ? [one.verdict.chain] : [];
        });
        if (!references.every(exists)) return 'ENOENT';
        const chain = chains.get(operation.chain);
        chain?.rules.push({ comment: operation.comment ?? '', references });
        return chain ? undefined : 'ENOENT';
      }
      case 'add-elements':
      case 'delete-elements':
        return changeElements(sets.get(operation.set), operation, exists);
      default:
        throw new Error(`the driver does not use ${operation.kind}`);
    }
  }
}

interface HeldSet {
  readonly signature: string;
  readonly elements: Map<string, SetElement>;
}

function chainOf(element: SetElement): string | undefined {
  return element.verdict && 'chain' in element.verdict ? element.verdict.chain : undefined;
}

function changeElements(
  set: HeldSet | undefined,
  operation: NftOperation & { kind: 'add-elements' | 'delete-elements' },
  exists: (name: string) => boolean,
): string | undefined {
  if (!set) return 'ENOENT';
  for (const element of operation.elements) {
    const key = `${element.key} ${element.intervalEnd ?? false}`;
    if (operation.kind === 'delete-elements') {
      if (!set.elements.delete(key)) return 'ENOENT';
      continue;
    }
    const chain = chainOf(element);
    if (chain !== undefined && !exists(chain)) return 'ENOENT';
    if (set.elements.has(key)) return 'EEXIST';
    set.elements.set(key, element);
  }
  return undefined;
}

const NAMES = ['a', 'b', 'c', 'd'] as const;
const POLICIES = ['p', 'q', 'r'] as const;
const nets = fc.uniqueArray(
  fc.constantFrom('10.0.0.0/8', '10.0.0.0/9', '10.128.0.0/9', '192.0.2.1/32', 'fd00::/8'),
);

const states: fc.Arbitrary<DataplaneState> = fc
  .record({
    members: nets,
    policies: fc.array(fc.constantFrom('Allow', 'Deny', 'Pass'), { minLength: 3, maxLength: 3 }),
    endpoints: fc.uniqueArray(
      fc.record({ name: fc.constantFrom(...NAMES), uses: fc.subarray([...POLICIES]) }),
      { selector: ({ name }) => name },
    ),
  })
  .map(({ members, policies, endpoints }) => {
    const source = { ipSets: ['s'], notIpSets: [] };
    const made = POLICIES.map((name, index) =>
      policy(name, { ingress: [rule(policies[index] ?? 'Deny', { source }), rule('Deny')] }),
    );
    const local = endpoints.map(({ name, uses }) => {
      const tier = {
        name: 'default',
        defaultAction: 'Deny' as const,
        policies: uses.map((one) => `NetworkPolicy/shop/${one}`),
      };
      return endpoint(name, { ingress: uses.length > 0 ? [tier] : [] });
    });
    const ipSets = new Map([['s', { id: 's', type: 'net' as const, members: new Set(members) }]]);
    return stateOf(local, made, { ipSets });
  });

/** What a fresh kernel holds after this state alone. */
function alone(state: DataplaneState): TableSnapshot | undefined {
  const kernel = new MemoryKernel();
  new NftTable(kernel, 'tortie').apply(rulesetOf(state));
  return kernel.readTable();
}

function sorted(table: TableSnapshot | undefined): unknown {
  const byName = <T>(map: ReadonlyMap<string, T> | undefined) =>
    [...(map ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    byName(table?.chains),
    byName(table?.sets).map(([name, set]) => [
      name,
      set.elements.map((one) => JSON.stringify(one)).toSorted(),
    ]),
  ];
}

void test('[DP14] any history of states ends as the last state alone, one transaction each', () => {
  fc.assert(
    fc.property(fc.array(states, { minLength: 1, maxLength: 6 }), (history) => {
      const kernel = new MemoryKernel();
      const table = new NftTable(kernel, 'tortie');
      for (const [index, state] of history.entries()) {
        assert.deepEqual(table.apply(rulesetOf(state)), []);
        assert.ok(kernel.transactions <= index + 1);
        assert.deepEqual(sorted(kernel.readTable()), sorted(alone(state)));
      }
    }),
  );
});

void test('[DP7] a new driver on the same kernel writes nothing', () => {
  fc.assert(
    fc.property(states, (state) => {
      const kernel = new MemoryKernel();
      new NftTable(kernel, 'tortie').apply(rulesetOf(state));
      const { writes } = kernel;
      assert.deepEqual(new NftTable(kernel, 'tortie').apply(rulesetOf(state)), []);
      assert.equal(kernel.writes, writes);
    }),
  );
});

void test('[DP8] whatever was disturbed is repaired after a resync', () => {
  fc.assert(
    fc.property(states, states, fc.nat(), (first, second, at) => {
      const kernel = new MemoryKernel();
      const table = new NftTable(kernel, 'tortie');
      table.apply(rulesetOf(first));
      kernel.disturb((chains, sets) => {
        const victims = [...chains.values()];
        victims[at % victims.length]?.rules.splice(0, 1);
        victims[(at >> 3) % victims.length]?.rules.push({ comment: '', references: [] });
        const set = [...sets.values()][at % sets.size];
        for (const key of [...(set?.elements.keys() ?? [])].slice(0, 1)) set?.elements.delete(key);
      });
      const isDisturbed = !isDeepStrictEqual(sorted(kernel.readTable()), sorted(alone(first)));
      table.resync();
      assert.deepEqual(table.apply(rulesetOf(second)), []);
      assert.deepEqual(sorted(kernel.readTable()), sorted(alone(second)));
      assert.equal(table.repaired.length > 0, isDisturbed);
      table.resync();
      table.apply(rulesetOf(second));
      assert.deepEqual(table.repaired, []);
    }),
  );
});

void test('[DP6] [DP46] what is refused, and what needs it, stays as it was; the rest is done', () => {
  const refusals: fc.Arbitrary<(operation: NftOperation) => boolean> = fc.oneof(
    fc
      .constantFrom(...POLICIES)
      .map(
        (name) => (operation: NftOperation) =>
          operation.kind === 'add-rule' && isRuleOf(operation.expressions, name),
      ),
    fc
      .constantFrom(0, 1)
      .map(
        (rest) => (operation: NftOperation) =>
          operation.kind === 'add-rule' &&
          operation.chain.startsWith('wi-') &&
          Number.parseInt(operation.chain.slice(-1), 16) % 2 === rest,
      ),
    fc.constant(
      (operation: NftOperation) =>
        operation.kind === 'add-elements' && /^[as]4-/.test(operation.set),
    ),
  );
  fc.assert(
    fc.property(states, states, refusals, fc.boolean(), (first, second, refuse, restart) => {
      const kernel = new MemoryKernel();
      let table = new NftTable(kernel, 'tortie');
      table.apply(rulesetOf(first));
      const before = kernel.readTable();
      if (restart) table = new NftTable(kernel, 'tortie');
      kernel.refuse = refuse;
      const errors = table.apply(rulesetOf(second));
      const after = kernel.readTable();
      const wanted = alone(second);
      for (const [chain, { rules }] of wanted?.chains ?? []) {
        const held = after?.chains.get(chain)?.rules;
        const isLeft = errors.some(({ what }) => what.includes(`chain ${chain})`));
        assert.deepEqual(held, isLeft ? before?.chains.get(chain)?.rules : rules, chain);
      }
      const { transactions } = kernel;
      assert.deepEqual(
        table.apply(rulesetOf(second)).map(({ what }) => what),
        errors.map(({ what }) => what),
        'it is still told',
      );
      assert.ok(kernel.transactions <= transactions + 1, 'what was refused is not tried at once');
      kernel.refuse = () => false;
      table.resync();
      assert.deepEqual(table.apply(rulesetOf(second)), [], 'it is made up for');
      assert.deepEqual(sorted(kernel.readTable()), sorted(wanted));
    }),
    { numRuns: 300 },
  );
});

void test('[DP15] an endpoint whose policy was refused is not enforced, its neighbour is', () => {
  const tier = (name: string) => ({
    name: 'default',
    defaultAction: 'Deny' as const,
    policies: [`NetworkPolicy/shop/${name}`],
  });
  const endpoints = [
    endpoint('a', { ingress: [tier('good')] }),
    endpoint('b', { ingress: [tier('bad')] }),
  ];
  const deny = { ingress: [rule('Deny')] };
  const state = stateOf(endpoints, [policy('good', deny), policy('bad', deny)]);
  const kernel = new MemoryKernel();
  const table = new NftTable(kernel, 'tortie');
  const [good = '', bad = ''] = endpoints.map((one) => endpointChainName(classOf(one), 'ingress'));
  assert.equal(table.holds(good), false, 'nothing was applied yet');
  kernel.refuse = (it) => it.kind === 'add-rule' && isRuleOf(it.expressions, 'bad');
  assert.notDeepEqual(table.apply(rulesetOf(state)), []);
  assert.equal(table.holds(good), true);
  assert.equal(table.holds(bad), false);
  kernel.refuse = () => false;
  table.resync();
  table.apply(rulesetOf(state));
  assert.equal(table.holds(bad), true);
});

function isRuleOf(
  expressions: readonly { kind: string; prefix?: string }[],
  name: string,
): boolean {
  return expressions.some(({ prefix }) => prefix?.endsWith(`NetworkPolicy/shop/${name}`) ?? false);
}

test('what the table holds and what was asked of the kernel is counted', () => {
  const kernel = new MemoryKernel();
  const table = new NftTable(kernel, 'tortie');
  assert.deepEqual(table.size, { chains: 0, rules: 0, sets: 0, maps: 0, ipSets: { 4: 0, 6: 0 } });
  const ipSets = new Map([
    ['s', { id: 's', type: 'net' as const, members: new Set(['10.0.0.0/8']) }],
  ]);
  const source = entity({ ipSets: ['s'] });
  const p = policy('p', { ingress: [rule('Allow', { source })] });
  const tier = { name: 'default', defaultAction: 'Deny', policies: [policyKey(p.id)] } as const;
  const state = stateOf([endpoint('a', { ingress: [tier] })], [p], { ipSets });
  table.apply(rulesetOf(state, []));
  const { chains, maps, ipSets: held } = table.size;
  assert.ok(chains > 0 && maps > 0);
  assert.deepEqual(held, { 4: 1, 6: 1 });
  table.apply(rulesetOf(state, []));
  assert.deepEqual(table.calls, { transactions: 1, refused: 0, reads: 1, failedReads: 0 });
  kernel.refuse = () => true;
  table.apply(rulesetOf(stateOf([]), []));
  assert.ok(table.calls.refused > 0);
});
