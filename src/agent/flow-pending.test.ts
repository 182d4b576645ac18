// Defaults count as −1, and what a report does not tell enough for as −2.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf } from '#api';
import {
  BARE_STATE,
  type DataplanePolicy,
  type DataplaneRule,
  type DataplaneState,
  policyKey,
} from '#calc/dataplane-update';
import type { ConnectionReport } from '#flows';
import { PendingJudge } from './flow-pending.ts';

const END = { ipSets: [], notIpSets: [] };
const rule = (more: Partial<DataplaneRule> = {}): DataplaneRule => ({
  action: 'Allow',
  index: 0,
  source: END,
  destination: END,
  ...more,
});

function stateWith(egress: readonly DataplaneRule[]): DataplaneState {
  const id = { kind: 'StagedNetworkPolicy', namespace: 'shop', name: 'out' } as const;
  const policy: DataplanePolicy = { id, tier: 'default', staged: true, ingress: [], egress };
  const tiers = [{ name: 'default', defaultAction: 'Pass', policies: [policyKey(id)] } as const];
  const endpoint = {
    id: 'shop/web',
    interfaceName: 'cali1',
    addresses: ['10.0.1.1/32'],
    allowedSources: [],
    floatingAddresses: [],
    ingress: [],
    egress: tiers,
    profiles: [],
  };
  return {
    ...BARE_STATE,
    policies: new Map([[policyKey(id), policy]]),
    endpoints: new Map([[endpoint.id, endpoint]]),
  };
}

const none = { in: 0, out: 0 };
const report = (tuple: object, direction: 'egress' | 'ingress' = 'egress'): ConnectionReport => ({
  startTime: 0,
  endTime: 0,
  direction,
  tuple: { source: '10.0.1.1', destination: '10.0.2.1', protocol: 1, ...tuple },
  verdict: 'allow',
  packets: none,
  bytes: none,
  connections: { started: 0, completed: 0, live: 0 },
  policies: [],
});

function pending(egress: readonly DataplaneRule[], tuple: object): string[] | undefined {
  const judge = new PendingJudge();
  judge.onState(stateWith(egress));
  return judge
    .pendingOf(report(tuple))
    ?.map(
      ({ tier, kind, name, rule: index, action }) => `${tier} ${kind} ${name} ${index} ${action}`,
    );
}

test('a tier in which all is staged denies by its default once it is enforced', () => {
  const web = [rule({ protocol: 6, index: 3 })];
  assert.deepEqual(pending(web, { protocol: 6 }), ['default StagedNetworkPolicy out 3 allow']);
  assert.deepEqual(pending(web, { protocol: 17 }), ['default null null -1 deny']);
});

test('where a report tells too little for a rule, the rest is not known', () => {
  const icmp = [
    rule({ protocol: 1, icmp: { type: 3, code: 4 } }),
    rule({ index: 1, action: 'Deny' }),
  ];
  assert.deepEqual(pending(icmp, { icmpType: 3 }), ['default StagedNetworkPolicy out -2 allow']);
  assert.deepEqual(pending(icmp, { icmpType: 8 }), ['default StagedNetworkPolicy out 1 deny']);
  const missing = [rule({ destination: { ...END, ipSets: ['gone'] } })];
  assert.deepEqual(pending(missing, {}), ['default StagedNetworkPolicy out -2 allow']);
});

test('without anything staged for an end nothing is said', () => {
  const judge = new PendingJudge();
  judge.onState(stateWith([rule()]));
  assert.equal(judge.pendingOf(report({}, 'ingress')), undefined);
  assert.equal(judge.pendingOf(report({ source: '10.0.9.9' })), undefined);
});

test('a tier of Pass passes, and a staged removal takes its policy away', () => {
  const judge = new PendingJudge();
  const update = (kindName: string, body: object) => {
    const kind = kindOf('projectcalico.org/v3', kindName);
    assert.ok(kind);
    const apiVersion = 'projectcalico.org/v3';
    const resource = { apiVersion, kind: kindName, ...body } as never;
    judge.onUpdates([{ kind, key: 'k', resource }]);
  };
  judge.onState(stateWith([]));
  update('Tier', { metadata: { name: 'default' }, spec: { defaultAction: 'Pass' } });
  const trace = () =>
    judge.pendingOf(report({}))?.map((hit) => `${hit.tier} ${hit.action} ${hit.rule}`);
  assert.deepEqual(trace(), ['default pass -1', 'null deny -1']);
});

test("the default of a tier goes by the tier's first policy, a staged one where these count", () => {
  const judge = new PendingJudge();
  const state = stateWith([]);
  const enforced = { kind: 'KubernetesNetworkPolicy', namespace: 'shop', name: 'own' } as const;
  const endpoint = state.endpoints.get('shop/web');
  assert.ok(endpoint);
  const [tier] = endpoint.egress;
  assert.ok(tier);
  const egress = [{ ...tier, policies: [...tier.policies, policyKey(enforced)] }];
  judge.onState({ ...state, endpoints: new Map([['shop/web', { ...endpoint, egress }]]) });
  assert.deepEqual(judge.triggerOf(report({}), 'default', false), enforced);
  assert.equal(judge.triggerOf(report({}), 'default', true)?.kind, 'StagedNetworkPolicy');
  assert.equal(judge.triggerOf(report({}), 'other', false), undefined);
  assert.equal(judge.triggerOf(report({}, 'ingress'), 'default', false), undefined);
});

test('evaluation is anew at each report, or fixed for a connection', () => {
  for (const fixed of [false, true]) {
    const judge = new PendingJudge();
    judge.setFixed(fixed);
    judge.onState(stateWith([rule({ index: 1 })]));
    const rules = (more: object = {}) =>
      judge.pendingOf({ ...report({}), previousTime: 0, ...more })?.map((hit) => hit.rule);
    assert.deepEqual(rules(), [1]);
    judge.onState(stateWith([rule({ index: 2 })]));
    assert.deepEqual(rules(), [fixed ? 1 : 2]);
    const ended = { connections: { started: 0, completed: 1, live: 0 } };
    assert.deepEqual(rules(ended), [fixed ? 1 : 2]);
    assert.deepEqual(rules(), [2], 'another connection of the same ports');
  }
});
