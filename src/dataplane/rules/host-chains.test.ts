// Host endpoints as chains: which hooks there are, and on whose interface an endpoint stands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostEndpoint } from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';
import { policy, rule, stateOf } from '../fixture.ts';
import { placeHostEndpoints } from './host-interfaces.ts';
import { HOST_MARK } from './mark.ts';
import { rulesetOf } from './ruleset.ts';

const NO_TIERS = { ingress: [], egress: [] };

function host(id: string, more: Partial<HostEndpoint> = {}): HostEndpoint {
  return {
    id,
    interfaceName: 'eth0',
    addresses: [],
    untracked: NO_TIERS,
    preDnat: [],
    forward: NO_TIERS,
    normal: NO_TIERS,
    profiles: [],
    ...more,
  };
}

const OPEN = policy('open', { ingress: [rule('Allow')], egress: [rule('Allow')] });
const TIER = { name: 'default', defaultAction: 'Pass', policies: [policyKey(OPEN.id)] } as const;

function hooks(...endpoints: readonly HostEndpoint[]): string[] {
  const hostEndpoints = new Map(endpoints.map((one) => [one.id, one]));
  const { chains } = rulesetOf(stateOf([], [OPEN], { hostEndpoints }));
  return [...chains.values()]
    .filter(({ name, hook }) => hook && /ingress$|egress$|notrack/.test(name) && name.includes('-'))
    .map(({ name }) => name)
    .toSorted();
}

test('[DP33] packets meet only the stages in which some endpoint has policy', () => {
  assert.deepEqual(hooks(), []);
  assert.deepEqual(hooks(host('a')), ['normal-egress', 'normal-ingress']);
  assert.deepEqual(hooks(host('a', { forward: { ingress: [TIER], egress: [] } })), [
    'forward-egress',
    'forward-ingress',
    'normal-egress',
    'normal-ingress',
  ]);
  assert.deepEqual(
    hooks(host('a'), host('b', { interfaceName: 'eth1', preDnat: [TIER] })),
    [
      'normal-egress',
      'normal-ingress',
      'pre-dnat-ingress',
      'untracked-egress',
      'untracked-ingress',
    ],
    'the first stage takes marks away',
  );
  assert.equal(hooks(host('a', { untracked: { ingress: [TIER], egress: [] } })).length, 6);
});

test('[DP33] a mark is believed only where it is taken away before', () => {
  for (const more of [{}, { preDnat: [TIER] }]) {
    const hostEndpoints = new Map([['a', host('a', more)]]);
    const { chains } = rulesetOf(stateOf([], [OPEN], { hostEndpoints }));
    const text = JSON.stringify([...chains.values()]);
    const reads = text.includes(`{"match":"mark","bit":${HOST_MARK}}`);
    const forgets = chains.get('untracked-ingress')?.rules[0]?.actions[0]?.action === 'clear-mark';
    assert.equal(reads, forgets);
  }
});

test('[DP23] of several endpoints for an interface, by name or by address, the first by ID governs it', () => {
  const byAddress = (id: string) => host(id, { interfaceName: null, addresses: ['192.0.2.1'] });
  const all = host('e', { interfaceName: '*' });
  const place = (...endpoints: HostEndpoint[]) => {
    const problems: string[] = [];
    const placed = placeHostEndpoints(
      new Map([...endpoints, all].map((one) => [one.id, one])),
      [
        { interface: 'lo', prefix: '127.0.0.1/8' },
        { interface: 'kube-ipvs0', prefix: '192.0.2.1/32' },
        { interface: 'eth0', prefix: '192.0.2.1/24' },
      ],
      BARE_STATE.settings,
      (what) => problems.push(what),
    );
    const ids = [...placed].map(([name, { id }]) => `${name}=${id}`).toSorted();
    return [...ids, ...problems].join(' ');
  };
  const rest = 'HostEndpoint c HostEndpoint d';
  assert.equal(place(host('d'), host('c'), byAddress('b')), `*=e eth0=b ${rest}`);
  assert.equal(place(byAddress('d'), host('c'), host('b')), `*=e eth0=b ${rest}`);
});

test('[DP23] of two interfaces with its addresses an endpoint is on the first, whichever families', () => {
  const crossed = host('a', { interfaceName: null, addresses: ['198.51.100.1', '2001:db8::1'] });
  const problems: string[] = [];
  const placed = placeHostEndpoints(
    new Map([['a', crossed]]),
    [
      { interface: 'eth0', prefix: '192.0.2.1/24' },
      { interface: 'eth1', prefix: '198.51.100.1/24' },
      { interface: 'eth0', prefix: '2001:db8::1/64' },
    ],
    BARE_STATE.settings,
    (what) => problems.push(what),
  );
  assert.deepEqual([[...placed.keys()], problems], [['eth0'], []]);
});
