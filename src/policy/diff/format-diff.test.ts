// The text of a difference: whole namespaces in a word, long lists cut with what is left out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Half } from '../explanation.ts';
import { formatDiff } from './format-diff.ts';
import type { FlowGroup, FlowParties, FlowTraffic, PolicyDiff } from './policy-diff.ts';

const NOBODY: FlowParties = { pods: [], nodes: [], byAddress: [], outside: [] };
const TCP_80: FlowTraffic = { protocols: [[6, 6]], ports: [[80, 80]] };

function half(verdict: Half['verdict'], rule = -1): Half {
  const policy =
    rule < 0 ? null : ({ kind: 'GlobalNetworkPolicy', namespace: null, name: 'guard' } as const);
  return { verdict, tier: 'first', policy, rule };
}

const GROUP: FlowGroup = {
  from: { ...NOBODY, pods: ['shop/web'] },
  to: { ...NOBODY, pods: ['data/db'] },
  families: [4],
  traffic: [TCP_80],
  before: { verdict: 'deny', egress: [half('allow', 1)], ingress: [half('deny')] },
  after: { verdict: 'allow', egress: [half('allow', 1)], ingress: [half('allow', 0)] },
};

function diff(opened: readonly FlowGroup[], rest: Partial<PolicyDiff> = {}): PolicyDiff {
  return {
    opened,
    closed: [],
    endpoints: { added: [], removed: [] },
    notCompared: [],
    problems: { before: [], after: [] },
    parties: { podsByNamespace: { shop: 2, data: 1, lab: 9 }, nodes: 2 },
    ...rest,
  };
}

const BY_RULE_0 = 'by rule 0 of GlobalNetworkPolicy guard in tier first';

/** The headline of one group. */
function headline(change: Partial<FlowGroup>): string {
  return formatDiff(diff([{ ...GROUP, ...change }])).split('\n')[1] ?? '';
}

test('a group: who, whom, what, then what decided; the half that does not flip last', () => {
  assert.equal(
    formatDiff(diff([GROUP])),
    `Opened: 1 group of flows
+ shop/web → data/db   tcp 80
    ingress was denied by the default action of tier first, now allowed ${BY_RULE_0}
    egress stays allowed by rule 1 of GlobalNetworkPolicy guard in tier first`,
  );
});

test('parties: whole namespaces, all pods, all nodes, any outside address, and a long list is cut', () => {
  const from = (side: Partial<FlowParties>) =>
    /^\+ (.*) → /.exec(headline({ from: { ...NOBODY, ...side } }))?.[1];
  assert.equal(from({ pods: ['shop/cart', 'shop/web', 'data/db'] }), 'shop/*, data/db');
  const lab = Array.from({ length: 9 }, (_, index) => `lab/${index}`);
  assert.equal(from({ pods: [...lab, 'shop/cart', 'shop/web', 'data/db'] }), 'all pods');
  assert.equal(from({ pods: lab.slice(0, 8) }), 'lab/0, lab/1, lab/2, lab/3, 4 more');
  assert.equal(from({ nodes: ['one', 'two'] }), 'all nodes');
  assert.equal(
    from({ nodes: ['one'], byAddress: ['node:one (192.0.2.1)'] }),
    'node:one, node:one (192.0.2.1)',
  );
  assert.equal(from({ outside: ['0.0.0.0/0'] }), 'any outside IPv4 address');
  assert.equal(
    from({ outside: ['192.0.2.0/24', '198.51.100.1-198.51.100.9'] }),
    '192.0.2.0/24, 198.51.100.1-198.51.100.9',
  );
});

test('traffic: protocols by name, the rest by exclusion, ports, source ports, ICMP', () => {
  const what = (...traffic: readonly FlowTraffic[]) => headline({ traffic }).split('   ')[1];
  assert.equal(what({ protocols: [[0, 255]] }), 'any protocol');
  assert.equal(
    what({
      protocols: [
        [6, 6],
        [17, 17],
      ],
    }),
    'tcp and udp',
  );
  assert.equal(
    what(
      {
        protocols: [
          [0, 5],
          [7, 255],
        ],
      },
      TCP_80,
    ),
    'protocols but tcp; tcp 80',
  );
  assert.equal(
    what({
      protocols: [
        [0, 9],
        [20, 99],
      ],
    }),
    'protocols 0-9,20-99',
  );
  assert.equal(
    what({
      ...TCP_80,
      sourcePorts: [
        [1, 9],
        [20, 20],
      ],
    }),
    'tcp 80 from ports 1-9,20',
  );
  const icmp = [
    { types: [3, 3], codes: [4, 4] },
    { types: [8, 9], codes: [0, 255] },
  ] as const;
  assert.equal(what({ protocols: [[1, 1]], icmp }), 'icmp type 3 code 4, 8-9');
  const many = Array.from({ length: 12 }, (_, index) => [index * 2, index * 2] as const);
  assert.equal(what({ ...TCP_80, ports: many }), 'tcp 0,2,4,6,8,10,12,14,16,18 and 2 more ranges');
});

test('the family is told only where groups are of different ones', () => {
  assert.match(headline({ families: [4] }), /tcp 80$/);
  assert.match(headline({ families: [4, 6] }), /tcp 80$/);
  const text = formatDiff(diff([GROUP, { ...GROUP, families: [6], to: GROUP.from }]));
  assert.match(text, /data\/db {3}tcp 80, IPv4$/m);
  assert.match(text, /shop\/web {3}tcp 80, IPv6$/m);
});

test('nodes shared, not shared, or shared before or after only', () => {
  const nodes = (before: boolean, after: boolean) =>
    headline({ sameNode: { before, after } }).replace(/.*tcp 80, /, '');
  assert.deepEqual(
    [nodes(true, true), nodes(false, false), nodes(true, false), nodes(false, true)],
    [
      'on the same node',
      'not on the same node',
      'on the same node before only',
      'on the same node after only',
    ],
  );
});

test('many groups, deciders and endpoints are cut, and the rest is counted', () => {
  const groups = Array.from({ length: 103 }, () => GROUP);
  assert.match(formatDiff(diff(groups)), /^and 3 more groups; JSON has all$/m);
  const egress = Array.from({ length: 5 }, (_, index) => half('allow', index));
  const steady = {
    ...GROUP,
    before: { ...GROUP.before, egress },
    after: { ...GROUP.after, egress },
  };
  assert.match(formatDiff(diff([steady])), /rule 1 of .* or 3 others$/m);
  const added = Array.from({ length: 25 }, (_, index) => `shop/new-${index}`);
  assert.match(formatDiff(diff([], { endpoints: { added, removed: [] } })), /^ {2}and 5 more$/m);
});

test('what is malformed is said for the side that has it', () => {
  const problem = { resource: 'Pod shop/x', path: 'metadata', message: 'is bad', fatal: false };
  assert.match(
    formatDiff(diff([], { problems: { before: [], after: [problem] } })),
    /^Malformed and left out, after\n {2}Pod shop\/x: metadata: is bad$/m,
  );
});
