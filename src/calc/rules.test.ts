// What rules become: IP sets, ports, families, and what fails closed (SPEC.md: CG11 to CG21).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource, Rule } from '#api';
import {
  calico,
  graphOf,
  HOST,
  namespace,
  pod,
  serviceAccount,
  shop,
  slice,
} from './cluster-fixture.ts';
import type { DataplaneRule, DataplaneState } from './dataplane-update.ts';
import type { CalcGraph } from './graph.ts';
import { HostGraph } from './host-graph.ts';
import { policyCompiler } from './policy-decoder.ts';

type Source = NonNullable<Rule['source']>;

const members = (state: DataplaneState, id: string | undefined) =>
  [...(state.ipSets.get(id ?? '')?.members ?? ['no such set'])].sort();

/** A namespaced policy on the shop's pod, with the given rules. */
const policy = (...ingress: readonly Partial<Rule>[]): Resource =>
  calico('NetworkPolicy', 'shop/p', {
    types: ['Ingress'],
    ingress: ingress.map((rule) => ({ action: 'Allow', ...rule })),
  });

function rulesOf(graph: CalcGraph): readonly DataplaneRule[] {
  const rules = graph.state().policies.get('NetworkPolicy/shop/p')?.ingress;
  assert.ok(rules);
  return rules;
}

/** Members that the source of a namespaced policy's rule selects in a mixed cluster. */
function selected(source: Source): string[] {
  const graph = graphOf(
    namespace('shop', { team: 'blue' }),
    namespace('data', { team: 'red' }),
    serviceAccount('data/robot', { role: 'reader' }),
    pod('shop/web', '10.0.0.1', { labels: { app: 'web' } }),
    pod('shop/cart', '10.0.0.2', { labels: { app: 'cart' } }),
    pod('data/db', '10.0.0.3', { labels: { app: 'db' }, account: 'robot' }),
    pod('data/web', '10.0.0.4', { labels: { app: 'web' } }),
    calico('GlobalNetworkSet', 'out', { nets: ['192.0.2.7/24', '192.0.2.0/24'] }, { app: 'web' }),
    calico('NetworkSet', 'shop/own', { nets: ['198.51.100.1'] }, { app: 'web' }),
    calico(
      'HostEndpoint',
      'host',
      { node: 'one', expectedIPs: ['172.16.0.1'], profiles: [] },
      { app: 'host' },
    ),
    policy({ source }),
  );
  const [rule] = rulesOf(graph);
  assert.equal(rule?.source.ipSets.length, 1);
  return members(graph.state(), rule?.source.ipSets[0]);
}

test('[CG11] equal selectors share a set, whatever their spelling', () => {
  const graph = shop(
    policy(
      { source: { selector: 'app == "web"' } },
      { source: { selector: " ( app=='web' ) " } },
      { destination: { selector: 'app == "web"' } },
    ),
  );
  const rules = rulesOf(graph);
  const ids = rules.flatMap((rule) => [...rule.source.ipSets, ...rule.destination.ipSets]);
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
  assert.equal(graph.state().ipSets.size, 1);
});

test('[CG11] members are masked prefixes of pods, hosts and network sets, each once', () => {
  assert.deepEqual(
    selected({ selector: 'app in {"web", "host"}', namespaceSelector: 'global()' }),
    ['172.16.0.1/32', '192.0.2.0/24'],
  );
});

test('[CG12] a selector alone stays within the namespace of the policy', () => {
  assert.deepEqual(selected({ selector: 'app == "web"' }), ['10.0.0.1/32', '198.51.100.1/32']);
  assert.deepEqual(selected({ notSelector: 'app == "web"' }), ['10.0.0.2/32']);
});

test('[CG13] namespaceSelector weighs namespaces, all() and global() whether there is one', () => {
  assert.deepEqual(selected({ namespaceSelector: 'team == "red"' }), [
    '10.0.0.3/32',
    '10.0.0.4/32',
  ]);
  assert.deepEqual(selected({ namespaceSelector: 'projectcalico.org/name == "data"' }), [
    '10.0.0.3/32',
    '10.0.0.4/32',
  ]);
  assert.deepEqual(selected({ namespaceSelector: 'all()', selector: 'app == "web"' }), [
    '10.0.0.1/32',
    '10.0.0.4/32',
    '198.51.100.1/32',
  ]);
  assert.deepEqual(selected({ namespaceSelector: 'global()' }), ['172.16.0.1/32', '192.0.2.0/24']);
  assert.deepEqual(selected({ namespaceSelector: '!has(team)' }), [
    '172.16.0.1/32',
    '192.0.2.0/24',
  ]);
  assert.deepEqual(
    selected({ namespaceSelector: 'team == "blue"', selector: 'app == "web"' }),
    ['10.0.0.1/32', '198.51.100.1/32'],
    'a network set inherits from its namespace',
  );
});

test('[CG14] service accounts by name and by label, both', () => {
  const namespaceSelector = 'all()';
  const robot = ['10.0.0.3/32'];
  assert.deepEqual(selected({ namespaceSelector, serviceAccounts: { names: ['robot'] } }), robot);
  const selector = 'role == "reader"';
  assert.deepEqual(selected({ namespaceSelector, serviceAccounts: { selector } }), robot);
  const both = { names: ['default'], selector };
  assert.deepEqual(selected({ namespaceSelector, serviceAccounts: both }), []);
  assert.deepEqual(selected({ serviceAccounts: { names: ['robot'] } }), [], 'own namespace only');
});

test('[CG15] notSelector narrows objects beside something positive, else excludes addresses', () => {
  assert.deepEqual(selected({ selector: 'has(app)', notSelector: 'app == "web"' }), [
    '10.0.0.2/32',
  ]);
  const graph = shop(
    calico('GlobalNetworkPolicy', 'g', {
      ingress: [{ action: 'Allow', source: { notSelector: 'app == "web"' } }],
    }),
  );
  const [rule] = graph.state().policies.get('GlobalNetworkPolicy//g')?.ingress ?? [];
  assert.deepEqual(rule?.source.ipSets, []);
  assert.deepEqual(members(graph.state(), rule?.source.notIpSets[0]), ['10.0.0.1/32']);
});

const PORTS = [
  { name: 'http', containerPort: 8080, protocol: 'TCP' },
  { name: 'dns', containerPort: 53, protocol: 'UDP' },
];

test('[CG16] named ports become sets of address, protocol and port within the selector', () => {
  const graph = graphOf(
    namespace('shop'),
    pod('shop/web', '10.0.0.1,fd00::1', { labels: { app: 'web' }, ports: PORTS }),
    pod('shop/cart', '10.0.0.2', { labels: { app: 'cart' }, ports: PORTS }),
    policy(
      { protocol: 'TCP', destination: { selector: 'app == "web"', ports: ['http', 80, '90:99'] } },
      { destination: { selector: 'app == "web"', ports: ['http', 'dns'] } },
      { protocol: 'UDP', destination: { notPorts: ['dns', 99] } },
      { protocol: 'ICMP', destination: { ports: ['http'] } },
    ),
  );
  const state = graph.state();
  const [mixed, named, negated, ...rest] = rulesOf(graph);
  assert.deepEqual(rest, [], 'a protocol without ports has no named ones');
  assert.deepEqual(mixed?.destination.ports, [
    [80, 80],
    [90, 99],
  ]);
  assert.equal(mixed?.destination.ipSets.length, 1, 'numbers need the selector beside them');
  const http = ['10.0.0.1,tcp:8080', 'fd00::1,tcp:8080'];
  assert.deepEqual(members(state, mixed?.destination.namedPortSets?.[0]), http);
  assert.deepEqual(named?.destination.ipSets, [], 'the port set is within the selector');
  assert.deepEqual(
    named?.destination.namedPortSets?.map((id) => members(state, id)),
    [http, []],
    'without protocol names are those of TCP ports',
  );
  assert.deepEqual(negated?.destination.notPorts, [[99, 99]]);
  assert.deepEqual(members(state, negated?.destination.notNamedPortSets?.[0]), [
    '10.0.0.1,udp:53',
    '10.0.0.2,udp:53',
    'fd00::1,udp:53',
  ]);
  assert.equal(state.ipSets.get(named?.destination.namedPortSets?.[0] ?? '')?.type, 'ip-port');
});

test('[CG17] services are their endpoint slices', () => {
  const graph = shop(
    slice('shop/db-1', 'db', {
      endpoints: [{ addresses: ['10.0.0.9', 'fd00::9'] }],
      ports: [{ port: 5432 }, { port: 53, protocol: 'UDP' }, { name: 'none' }],
    }),
    slice('shop/db-2', 'db', { endpoints: [{ addresses: ['10.0.0.10'] }], ports: null }),
    slice('data/db-1', 'db', { endpoints: [{ addresses: ['10.9.9.9'] }], ports: [{ port: 1 }] }),
    policy(
      { source: { services: { name: 'db' } } },
      { destination: { services: { name: 'db', namespace: 'shop' } } },
      { destination: { services: { name: 'nobody' } } },
    ),
  );
  const state = graph.state();
  const [source, destination, nobody] = rulesOf(graph);
  assert.deepEqual(members(state, source?.source.ipSets[0]), [
    '10.0.0.10/32',
    '10.0.0.9/32',
    'fd00::9/128',
  ]);
  assert.deepEqual(members(state, destination?.destination.namedPortSets?.[0]), [
    '10.0.0.9,tcp:5432',
    '10.0.0.9,udp:53',
    'fd00::9,tcp:5432',
    'fd00::9,udp:53',
  ]);
  assert.deepEqual(members(state, nobody?.destination.namedPortSets?.[0]), []);
});

test('[CG18] prefixes of one family switch the rule off for the other', () => {
  const graph = shop(
    policy(
      { source: { nets: ['10.1.2.3/8', '10.0.0.0/8'] } },
      { source: { notNets: ['2001:db8::/32'] } },
      { source: { nets: ['10.0.0.0/8', '2001:db8::/32'] } },
      { source: { nets: ['10.0.0.0/8'] }, destination: { notNets: ['2001:db8::/32'] } },
      { ipVersion: 6, source: { nets: ['10.0.0.0/8'] } },
      { ipVersion: 4 },
      { notProtocol: 'ICMP' },
    ),
  );
  assert.deepEqual(
    rulesOf(graph).map(({ index, ipVersion }) => [index, ipVersion]),
    [
      [0, 4],
      [1, 6],
      [2, undefined],
      [5, 4],
      [6, undefined],
    ],
  );
  assert.deepEqual(rulesOf(graph)[0]?.source.nets, ['10.0.0.0/8']);
});

const BROKEN: readonly Partial<Rule>[] = [
  { source: { selector: 'app ==' } },
  { source: { notSelector: 'app ==' } },
  { destination: { namespaceSelector: '(' } },
  { source: { serviceAccounts: { selector: '!' } } },
  { protocol: 'nonsense' },
  { source: { nets: ['10.0.0.0/33'] } },
  { protocol: 'TCP', destination: { ports: [0] } },
  { destination: { ports: [80] } },
  { protocol: 'TCP', icmp: { type: 8 } },
  { protocol: 'ICMP', icmp: { code: 1 } },
  { protocol: 'TCP', destination: { services: { name: 'db' }, ports: [80] } },
];

test('[CG19] a rule that cannot be understood denies everything or allows nothing', () => {
  const end = { ipSets: [], notIpSets: [] };
  for (const rule of BROKEN) {
    for (const action of ['Allow', 'Pass', 'Log', 'Deny'] as const) {
      const graph = shop(policy({}, { ...rule, action }));
      const [, broken] = rulesOf(graph);
      const everything = { action: 'Deny', index: 1, source: end, destination: end };
      assert.deepEqual(broken, action === 'Deny' ? everything : undefined, JSON.stringify(rule));
      const [problem] = graph.problems();
      assert.equal(problem?.key, 'NetworkPolicy shop/p');
      assert.match(problem?.message ?? '', /^spec\.ingress\[1\]: ./);
    }
  }
});

test('[CG20] a policy whose selector cannot be read applies where it might, with its denials only', () => {
  const rules = { ingress: [{ action: 'Allow' }, { action: 'Deny', protocol: 'TCP' }] };
  const broken = { selector: 'app ==', ...rules };
  const graph = shop(
    calico('NetworkPolicy', 'shop/p', broken),
    calico('NetworkPolicy', 'data/other', broken),
    calico('GlobalNetworkPolicy', 'g', { ...broken, namespaceSelector: 'has(absent)' }),
    calico('GlobalNetworkPolicy', 'h', {
      namespaceSelector: '(',
      selector: 'app == "web"',
      ...rules,
    }),
  );
  assert.deepEqual(graph.state().endpoints.get('shop/web')?.ingress[0]?.policies, [
    'GlobalNetworkPolicy//h',
    'NetworkPolicy/shop/p',
  ]);
  assert.deepEqual(
    rulesOf(graph).map(({ action, index }) => [action, index]),
    [['Deny', 1]],
  );
  assert.deepEqual(
    graph
      .problems()
      .map(({ key }) => key)
      .sort(),
    [
      'GlobalNetworkPolicy g',
      'GlobalNetworkPolicy h',
      'NetworkPolicy data/other',
      'NetworkPolicy shop/p',
    ],
  );
});

test('[CG21] an allowance by HTTP never matches', () => {
  const graph = shop(policy({ http: { methods: ['GET'] } }, { protocol: 'TCP' }));
  assert.deepEqual(
    rulesOf(graph).map(({ index }) => index),
    [1],
  );
  assert.match(graph.problems()[0]?.message ?? '', /HTTP/);
});

test('[CG19] every plain criterion of a rule is carried over', () => {
  const graph = shop(
    policy({
      action: 'Log',
      ipVersion: 4,
      protocol: 'ICMP',
      icmp: { type: 8, code: 0 },
      notICMP: { type: 3 },
      source: { nets: ['10.0.0.1'], notNets: ['10.0.0.0/24', 'fd00::/8'] },
    }),
    calico('GlobalNetworkPolicy', 'numbers', {
      ingress: [
        { action: 'Pass', protocol: 132, notProtocol: '17', source: { ports: [1, '5:9'] } },
      ],
    }),
  );
  assert.deepEqual(rulesOf(graph), [
    {
      action: 'Log',
      index: 0,
      ipVersion: 4,
      protocol: 1,
      icmp: { type: 8, code: 0 },
      notIcmp: { type: 3 },
      source: {
        nets: ['10.0.0.1/32'],
        notNets: ['10.0.0.0/24', 'fd00::/8'],
        ipSets: [],
        notIpSets: [],
      },
      destination: { ipSets: [], notIpSets: [] },
    },
  ]);
  const [rule] = graph.state().policies.get('GlobalNetworkPolicy//numbers')?.ingress ?? [];
  assert.equal(rule?.protocol, 132);
  assert.equal(rule?.notProtocol, 17);
  assert.deepEqual(rule?.source.ports, [
    [1, 1],
    [5, 9],
  ]);
});

test('[CG45] policies that ask the application layer are counted, used or not', () => {
  const graph = new HostGraph(HOST);
  const set = (name: string, ingress: readonly Rule[] | undefined): void => {
    const id = { kind: 'GlobalNetworkPolicy', namespace: null, name } as const;
    const policy = calico('GlobalNetworkPolicy', name, { ingress });
    graph.setPolicy(id, ingress && policyCompiler(id, policy, () => []));
  };
  set('http', [{ action: 'Allow', http: { methods: ['GET'] } }]);
  set('account', [{ action: 'Allow', source: { serviceAccounts: { names: ['a'] } } }]);
  set('plain', [{ action: 'Allow', protocol: 'TCP' }]);
  assert.equal(graph.applicationLayerPolicies, 2);
  set('http', [{ action: 'Allow' }]);
  set('account', undefined);
  assert.equal(graph.applicationLayerPolicies, 0);
});
