// Doubtful corners of the policy model, case by case: settings by labels, profiles in a row, shared names of ports.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GlobalNetworkPolicy, Resource, Rule } from '#api';
import { account, ask, felix, globalPolicy, hostEndpoint, namespace } from './sample-cluster.ts';
import { networkPolicy, networkSet, node, pod, resource, tier, verdict } from './sample-cluster.ts';

const CLUSTER: readonly Resource[] = [
  node('one', '192.0.2.1'),
  node('two', '192.0.2.2'),
  namespace('shop'),
  account('shop/robot'),
  pod('shop/web', ['10.0.0.1', 'fd00::1'], { labels: { app: 'web' } }),
  pod('shop/db', ['10.0.0.2', 'fd00::2'], { labels: { app: 'db' }, node: 'two' }),
];
const OUTSIDE = '198.51.100.7';
const CALICO = 'projectcalico.org/v3';

test('[PE7] settings: by name before by label, the oldest of those first, then the default', () => {
  const labelled = (name: string, labels: Record<string, string>): Resource => ({
    ...node(name, name === 'one' ? '192.0.2.1' : '192.0.2.2'),
    metadata: { name, labels },
  });
  const settings = (name: string, action: string, more = {}, creationTimestamp = '2026-01-01') => ({
    ...felix({ defaultEndpointToHostAction: action, ...more }, name),
    metadata: { name, creationTimestamp },
  });
  const nodes = [...CLUSTER.slice(2), labelled('one', { role: 'edge' }), labelled('two', {})];
  const of = (...list: Resource[]) =>
    ['one', 'two'].map((name) =>
      verdict([...nodes, ...list], name === 'one' ? 'shop/web' : 'shop/db', `node:${name}`),
    );
  const edge = { nodeSelector: "role == 'edge'" };
  assert.deepEqual(of(settings('default', 'Accept'), settings('some', 'Drop', edge)), [
    'deny egress',
    'allow',
  ]);
  const newer = settings('a-newer', 'Accept', edge, '2026-02-02');
  assert.deepEqual(of(newer, settings('older', 'Drop', edge)), ['deny egress', 'allow']);
  const named = settings('node.one', 'Accept');
  assert.deepEqual(of(named, settings('some', 'Drop', edge)), ['allow', 'allow']);
  assert.deepEqual(of(settings('some', 'Drop', { nodeSelector: '' })), ['allow', 'allow']);
});

test('[PE8] a policy of no tier, and of an empty one, is of the default tier', () => {
  for (const name of [undefined, '']) {
    const policy = globalPolicy('p', {
      selector: "app == 'web'",
      ...(name === undefined ? {} : { tier: name }),
    });
    const late = globalPolicy('late', { tier: 'late', ingress: [{ action: 'Allow' }] });
    const resources = [...CLUSTER, tier('late', 2_000_000), policy, late];
    const { ingress } = ask(resources, 'shop/db', 'shop/web');
    assert.deepEqual([ingress.verdict, ingress.tier], ['deny', 'default']);
  }
});

test('[PE4] of profiles in a row the first Allow or Deny decides; Pass and no match go on', () => {
  const profile = (name: string, ...ingress: Rule[]) =>
    resource(CALICO, 'Profile', { name }, { spec: { ingress } });
  const profiles = [
    profile('pass', { action: 'Pass' }, { action: 'Allow' }),
    profile('log', { action: 'Log' }),
    profile('tcp', { action: 'Allow', protocol: 'TCP' }),
    profile('none', { action: 'Deny' }),
  ];
  const judge = (...names: string[]) => {
    const endpoint = hostEndpoint('h', { node: 'one', interfaceName: '*', profiles: names });
    return verdict([...CLUSTER, ...profiles, endpoint], OUTSIDE, 'node:one');
  };
  assert.equal(judge('pass', 'tcp'), 'allow');
  assert.equal(judge('pass'), 'deny ingress');
  assert.equal(judge('log', 'tcp', 'none'), 'allow');
  assert.equal(judge('none', 'tcp'), 'deny ingress');
  assert.equal(judge('pass', 'gone', 'tcp'), 'deny ingress');
});

test('[PE16] a name of several ports, protocols and containers is each of them', () => {
  const many = pod('shop/many', ['10.0.0.3'], {
    labels: { app: 'many' },
    ports: [
      ['http', 80],
      ['http', 8080],
      ['http', 53, 'UDP'],
      ['http', 90, 'SCTP'],
    ],
  });
  const judge = (one: Omit<Rule, 'action'>, protocol: number, port: number) => {
    const policy = globalPolicy('p', {
      selector: "app == 'many'",
      ingress: [{ action: 'Allow', ...one }],
    });
    return (
      verdict([...CLUSTER, many, policy], OUTSIDE, 'shop/many', { protocol, port }) === 'allow'
    );
  };
  const named = { destination: { ports: ['http'] } };
  assert.ok(judge(named, 6, 80) && judge(named, 6, 8080));
  assert.ok(!judge(named, 17, 53) && !judge(named, 6, 53));
  assert.ok(judge({ protocol: 'UDP', ...named }, 17, 53));
  assert.ok(judge({ protocol: 132, ...named }, 132, 90));
  const mixed = { protocol: 'TCP', destination: { ports: ['http', 443, '1000:2000'] } };
  assert.deepEqual(
    [80, 8080, 443, 1500, 90].map((port) => judge(mixed, 6, port)),
    [true, true, true, true, false],
  );
  const not = { protocol: 'TCP', destination: { notPorts: ['http', '1000:2000'] } };
  assert.deepEqual(
    [80, 8080, 1500, 90].map((port) => judge(not, 6, port)),
    [false, false, false, true],
  );
  const ofNobody = { destination: { ports: ['http'], selector: "app == 'db'" } };
  assert.ok(!judge(ofNobody, 6, 80), 'the name is of ports of what the selector selects');
});

test('[PE22] an account that fits in no label, or none, cannot be claimed by a label', () => {
  const claim = { 'projectcalico.org/serviceaccount': 'robot' };
  const long = 'a'.repeat(63);
  const judge = (serviceAccount: string | undefined, selector: GlobalNetworkPolicy['spec']) => {
    const guard = globalPolicy('p', { selector: "app == 'web'", ...selector });
    const odd = pod('shop/odd', ['10.0.0.9'], {
      labels: claim,
      ...(serviceAccount === undefined ? {} : { serviceAccount }),
    });
    const accounts = [account(`shop/${long}`, { duty: 'clean' })];
    return verdict([...CLUSTER, ...accounts, odd, guard], 'shop/odd', 'shop/web');
  };
  const byName = { serviceAccounts: { names: ['robot'] } };
  const rule = (source: object) => ({ ingress: [{ action: 'Allow' as const, source }] });
  assert.equal(judge(undefined, rule(byName)), 'deny ingress');
  assert.equal(judge(long, rule(byName)), 'deny ingress');
  assert.equal(judge('robot', rule(byName)), 'allow');
  const lent = { serviceAccounts: { selector: "duty == 'clean'" } };
  assert.equal(judge(long, rule(lent)), 'allow', 'what the account lends has no such bound');
  const set = {
    ...networkSet('shop/set', ['10.0.0.2/32'], claim),
  };
  const guard = globalPolicy('p', { selector: "app == 'web'", ...rule(byName) });
  assert.equal(verdict([...CLUSTER, set, guard], 'shop/db', 'shop/web'), 'deny ingress');
});

test('[PE21] a Service that is a name elsewhere, or has nothing behind it, matches nothing', () => {
  const outside = resource(
    'v1',
    'Service',
    { name: 'outside', namespace: 'shop' },
    {
      spec: { type: 'ExternalName', externalName: 'example.com' },
    },
  );
  for (const name of ['outside', 'nobody']) {
    const services = { services: { name } };
    const allow = networkPolicy('shop/p', {
      selector: "app == 'web'",
      egress: [{ action: 'Allow', destination: services }],
    });
    assert.equal(verdict([...CLUSTER, outside, allow], 'shop/web', 'shop/db'), 'deny egress');
    const deny = networkPolicy('shop/p', {
      selector: "app == 'web'",
      ingress: [{ action: 'Deny', source: services }, { action: 'Allow' }],
    });
    assert.equal(verdict([...CLUSTER, outside, deny], 'shop/db', 'shop/web'), 'allow');
  }
});

test('[PE12] types that are not given follow from the rules; those given hold', () => {
  const ingress: Rule[] = [{ action: 'Deny' }];
  const egress: Rule[] = [{ action: 'Deny' }];
  const judge = (spec: GlobalNetworkPolicy['spec']) => {
    const policy = globalPolicy('p', { selector: "app == 'web'", ...spec });
    return ['shop/db shop/web', 'shop/web shop/db'].map((way) => {
      const [from = '', to = ''] = way.split(' ');
      return verdict([...CLUSTER, policy], from, to);
    });
  };
  assert.deepEqual(judge({}), ['deny ingress', 'allow']);
  assert.deepEqual(judge({ ingress }), ['deny ingress', 'allow']);
  assert.deepEqual(judge({ egress }), ['allow', 'deny egress']);
  assert.deepEqual(judge({ ingress: [], egress }), ['allow', 'deny egress']);
  assert.deepEqual(judge({ ingress, egress }), ['deny ingress', 'deny egress']);
  assert.deepEqual(judge({ types: ['Egress'], ingress }), ['allow', 'deny egress']);
});
