// Whether one rule matches all that another does: field by field, both what is seen and what must not be claimed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Rule } from '#api';
import { networkPolicy } from '../sample-cluster.ts';
import { resourcesByKind } from '../world-resources.ts';
import { viewTiers } from './policy-view.ts';
import { covers } from './rule-cover.ts';

type Conditions = Omit<Rule, 'action'>;

/** In one namespaced policy. */
function isCovered(earlier: Conditions, later: Conditions): boolean {
  const ingress: Rule[] = [
    { ...earlier, action: 'Allow' },
    { ...later, action: 'Deny' },
  ];
  const { tiers } = viewTiers(resourcesByKind([networkPolicy('shop/p', { ingress })]));
  const [first, second] = tiers.flatMap(({ policies }) => policies)[0]?.rules.ingress ?? [];
  assert.ok(first && second);
  return covers(first, second);
}

const from = (source: Rule['source']): Conditions => ({ source: source ?? {} });
const tcp = (destination: Rule['destination']): Conditions => ({
  protocol: 'TCP',
  destination: destination ?? {},
});

const COVERED: readonly (readonly [earlier: Conditions, later: Conditions])[] = [
  [{}, tcp({ ports: [80] })],
  [{ protocol: 6 }, tcp({})],
  [{ notProtocol: 'UDP' }, tcp({})],
  [{ notProtocol: 'UDP' }, { notProtocol: 17 }],
  [{ ipVersion: 4 }, from({ nets: ['10.0.0.0/8'] })],
  [from({ nets: ['10.0.0.0/8'] }), from({ nets: ['10.1.0.0/16', '10.2.0.0/16'] })],
  [from({ nets: ['0.0.0.0/0'] }), { ipVersion: 4 }],
  [from({ nets: ['0.0.0.0/0', '::/0'] }), {}],
  [from({ notNets: ['10.1.0.0/16'] }), from({ notNets: ['10.0.0.0/8'] })],
  [from({ notNets: ['10.0.0.0/8'] }), from({ nets: ['192.0.2.0/24'] })],
  [tcp({ ports: ['1:80', '81:90'] }), tcp({ ports: ['40:85'] })],
  [tcp({ ports: ['http', 443] }), tcp({ ports: ['http'] })],
  [tcp({ notPorts: [22] }), tcp({ ports: [80] })],
  [tcp({ notPorts: [22] }), tcp({ notPorts: ['1:100'] })],
  [
    { protocol: 'ICMP', icmp: { type: 8 } },
    { protocol: 'ICMP', icmp: { type: 8, code: 1 } },
  ],
  [{ notICMP: { type: 8 } }, tcp({})],
  [
    { protocol: 1, notICMP: { type: 8, code: 0 } },
    { protocol: 1, notICMP: { type: 8 } },
  ],
  [
    { protocol: 1, notICMP: { type: 8 } },
    { protocol: 1, icmp: { type: 0 } },
  ],
  [from({ selector: 'has(app)' }), from({ selector: "app == 'web'" })],
  [from({ namespaceSelector: 'all()' }), from({ selector: "app == 'web'" })],
  [from({ notSelector: "app == 'web'" }), from({ notSelector: 'has(app)' })],
  [from({ services: { name: 'a' } }), from({ services: { name: 'a' } })],
];

test('what is surely matched by the earlier rule', () => {
  for (const [earlier, later] of COVERED) {
    assert.ok(isCovered(earlier, later), JSON.stringify([earlier, later]));
  }
});

const NOT_COVERED: readonly (readonly [earlier: Conditions, later: Conditions])[] = [
  ...COVERED.slice(0, 21)
    .filter(([earlier]) => Object.keys(earlier).length > 0)
    .map(([earlier]) => [earlier, {}] as const)
    .filter(([{ source }]) => source?.nets?.includes('::/0') !== true),
  [{ http: { methods: ['GET'] } }, tcp({})],
  [tcp({ ports: ['http'] }), { protocol: 'UDP', destination: { ports: ['http'] } }],
  [{ destination: { ports: ['http'] } }, { protocol: 'UDP', destination: { ports: ['http'] } }],
  [
    { destination: { ports: ['http', 'dns'] } },
    { protocol: 'UDP', destination: { ports: ['dns'] } },
  ],
  [tcp({ ports: ['1:80', '82:90'] }), tcp({ ports: ['40:85'] })],
  [tcp({ notPorts: ['http'] }), tcp({ ports: [80] })],
  [tcp({ notPorts: [80] }), tcp({ ports: ['http'] })],
  [from({ notNets: ['10.0.0.0/8'] }), from({ notNets: ['10.1.0.0/16'] })],
  [from({ notNets: ['10.0.0.0/8'] }), from({ nets: ['10.1.0.0/16'] })],
  [from({ notNets: ['10.0.0.0/8'] }), { ipVersion: 6 }],
  [from({ notNets: ['10.0.0.0/8'] }), from({ nets: ['2001:db8::/32'] })],
  [from({ nets: ['10.0.0.0/8'] }), from({ nets: ['10.1.0.0/16', '11.0.0.0/8'] })],
  [from({ nets: ['0.0.0.0/0'] }), from({ notNets: ['2001:db8::/32'] })],
  [
    { protocol: 1, icmp: { type: 8, code: 0 } },
    { protocol: 1, icmp: { type: 8 } },
  ],
  [
    { protocol: 1, notICMP: { type: 8 } },
    { protocol: 1, icmp: { type: 8, code: 1 } },
  ],
  [from({ selector: "app == 'web'" }), from({ selector: 'has(app)' })],
  [from({ selector: 'all()' }), from({ selector: 'all()', namespaceSelector: 'all()' })],
  [from({ notSelector: 'has(x)' }), from({ selector: '!has(x)' })],
  [from({ services: { name: 'a' } }), from({ services: { name: 'b' } })],
];

test('what the earlier rule may leave over is never claimed', () => {
  for (const [earlier, later] of NOT_COVERED) {
    assert.ok(!isCovered(earlier, later), JSON.stringify([earlier, later]));
  }
});
