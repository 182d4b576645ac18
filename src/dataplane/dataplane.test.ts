// The order of an apply, and what it reports, against kernels that only write down what they are told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dataplane } from './dataplane.ts';
import { endpoint, policy, recordingKernels, rule, stateOf } from './fixture.ts';

void test('[DP1] policy comes before the routes that lead to it, and goes after them', () => {
  const log: string[] = [];
  const dataplane = new Dataplane(recordingKernels(log));
  const one = endpoint('a', { addresses: ['10.0.0.1/32'] });
  dataplane.apply(stateOf([one]));
  assert.deepEqual(log.splice(0), ['nft transaction', 'route 10.0.0.1/32']);
  dataplane.apply(stateOf([endpoint('b', { addresses: ['10.0.0.2/32'] })]));
  assert.deepEqual(log.splice(0), ['no route 10.0.0.1/32', 'nft transaction', 'route 10.0.0.2/32']);
  dataplane.apply(stateOf([]));
  assert.deepEqual(log.splice(0), ['no route 10.0.0.2/32', 'nft transaction']);
  assert.equal(dataplane.apply(stateOf([])).writes, 0);
  assert.deepEqual(log, []);
});

void test('[DP12] a prefix says which rule decided, also just after the rule has gone', () => {
  const dataplane = new Dataplane(recordingKernels([]));
  const web = policy('web', { ingress: [rule('Deny', { index: 4 })] });
  const tier = {
    name: 'default',
    defaultAction: 'Deny',
    policies: ['NetworkPolicy/shop/web'],
  } as const;
  dataplane.apply(stateOf([endpoint('a', { ingress: [tier] })], [web]));
  const hit = {
    action: 'Deny',
    direction: 'ingress',
    tier: 'default',
    policy: web.id,
    rule: 4,
  };
  assert.deepEqual(dataplane.hitOf('DPI4|NetworkPolicy/shop/web'), hit);
  assert.deepEqual(dataplane.hitOf('DTI|default'), { ...hit, policy: null, rule: -1 });
  assert.deepEqual(dataplane.hitOf('DUE|'), {
    action: 'Deny',
    direction: 'egress',
    tier: null,
    policy: null,
    rule: -1,
  });
  assert.deepEqual(dataplane.hitOf('ARE0|Profile//kns.shop')?.tier, null);
  dataplane.apply(stateOf([]));
  assert.deepEqual(dataplane.hitOf('DPI4|NetworkPolicy/shop/web'), hit);
  assert.equal(dataplane.hitOf('something else'), undefined);
});

void test('problems of the state are told once, while they last, and do not stop the apply', () => {
  const told: string[] = [];
  const kernels = recordingKernels([]);
  const dataplane = new Dataplane({ ...kernels, log: (message) => told.push(message) });
  const twins = [endpoint('a'), { ...endpoint('b'), interfaceName: 'calia' }];
  const state = stateOf([...twins, endpoint('c', { profiles: ['Profile//none'] })], [], {
    blackholes: ['nonsense'],
  });
  assert.deepEqual(dataplane.apply(state).errors, []);
  assert.deepEqual(told.toSorted(), [
    'block: cannot route to "nonsense": it is not a prefix',
    'shop/b: cannot use interface "calia": endpoint shop/a has it',
    'shop/c: cannot find profile Profile//none: it denies everything',
  ]);
  dataplane.apply({ ...state });
  assert.equal(told.length, 3);
  dataplane.apply(stateOf([]));
  dataplane.apply({ ...state });
  assert.equal(told.length, 6);
});
