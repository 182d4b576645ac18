// Lines that people read: who, what, how much, and what decided.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { end, flow, OUTSIDE, step } from './flow-fixture.ts';
import { formatFlow, formatFlowHeader, hitText } from './flow-format.ts';

const squeeze = (line: string) => line.replaceAll(/ {2,}/g, '  ');

test('one line says who, what, how much and what decided', () => {
  const startTime = Date.UTC(2026, 0, 31, 12, 3, 11, 42);
  const denied = flow({
    startTime,
    verdict: 'deny',
    packets: { in: 0, out: 2 },
    bytes: { in: 0, out: 120 },
    policies: [
      step('egress', 'allow'),
      step('ingress', 'pass', { tier: 'first' }),
      step('ingress', 'deny', { kind: null, namespace: null, name: null, rule: -1 }),
    ],
  });
  assert.equal(
    squeeze(formatFlow(denied)),
    '12:03:11.042  shop/web → data/db:5432/tcp  DENY  2/120B  ingress end of tier default rule −1',
  );
  assert.equal(
    squeeze(
      formatFlow(
        flow({ startTime, policies: [step('egress', 'allow'), step('ingress', 'allow')] }),
      ),
    ),
    '12:03:11.042  shop/web → data/db:5432/tcp  ALLOW  7/700B  ' +
      'egress default/NetworkPolicy data/db rule 0, ingress default/NetworkPolicy data/db rule 0',
  );
});

test('wide adds addresses, source port, nodes and the whole trace', () => {
  const one = flow({
    startTime: 0,
    destinationNode: 'two',
    policies: [step('egress', 'pass', { tier: 'first', rule: 1 }), step('egress', 'allow')],
  });
  assert.equal(
    squeeze(formatFlow(one, { wide: true })),
    '00:00:00.000  shop/web(10.0.1.1):40000 → data/db(10.0.2.1):5432/tcp  ALLOW  7/700B  ' +
      'egress first/NetworkPolicy data/db rule 1 pass, egress default/NetworkPolicy data/db rule 0 allow  [one → two]',
  );
});

test('ends that are no pods, and ICMP', () => {
  const line = (source: ReturnType<typeof end>) => {
    const { sourcePort: _, port: __, ...rest } = flow({ source, protocol: 'icmp', icmpType: 8 });
    return squeeze(formatFlow({ ...rest, policies: [] })).split('  ')[1];
  };
  const host = end('one', '172.16.0.1', { type: 'host', namespace: null });
  assert.equal(line(host), 'node:one → data/db/icmp type 8');
  const set = end('partners', OUTSIDE, { type: 'network-set', namespace: null });
  assert.equal(line(set), `${OUTSIDE} (partners) → data/db/icmp type 8`);
  const network = end('pub', '2001:db8::1', { type: 'network', namespace: null });
  assert.equal(line(network), '[2001:db8::1] → data/db/icmp type 8');
});

test('a step names its policy, its profile or the lack of them', () => {
  const none = { kind: null, namespace: null, name: null };
  assert.equal(
    hitText(
      step('ingress', 'deny', { kind: 'GlobalNetworkPolicy', namespace: null, name: 'g', rule: 4 }),
    ),
    'ingress default/GlobalNetworkPolicy g rule 4',
  );
  assert.equal(
    hitText(
      step('egress', 'allow', { tier: null, kind: 'Profile', namespace: null, name: 'kns.shop' }),
    ),
    'egress profile kns.shop',
  );
  assert.equal(
    hitText(step('egress', 'deny', { tier: null, ...none, rule: -1 })),
    'egress no profile allows it',
  );
  assert.equal(
    hitText(step('egress', 'pass', { ...none, rule: -1 }), true),
    'egress end of tier default rule −1 pass',
  );
});

test('the heading stands over the columns', () => {
  for (const wide of [false, true]) {
    const header = formatFlowHeader({ wide });
    const line = formatFlow(flow(), { wide });
    for (const [heading, text] of [
      ['FLOW', 'shop/web'],
      ['VERDICT', 'ALLOW'],
      ['PACKETS/BYTES', '7/700B'],
      ['DECIDED BY', 'egress'],
    ] as const) {
      assert.equal(header.indexOf(heading), line.indexOf(text), heading);
    }
  }
});

test('wide lines tell service, process, and what a staged policy would change', () => {
  const line = formatFlow(
    flow({
      service: { namespace: 'data', name: 'db', portName: 'sql', port: 5432 },
      process: { name: 'curl', pid: 7, args: [] },
      pending: [step('ingress', 'deny', { tier: 'security', name: 'block', namespace: null })],
    }),
    { wide: true },
  );
  assert.match(
    line,
    / {2}service data\/db:5432 {2}process curl\(7\) {2}if staged: ingress security\//,
  );
  assert.doesNotMatch(formatFlow(flow({ pending: flow().policies }), { wide: true }), /if staged/);
});
