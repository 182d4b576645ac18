// Policies as chains and maps, evaluated in memory on random packets, against the plain meaning of rules.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DataplanePolicy, DataplaneRule, IpSet } from '#calc/dataplane-update';
import { entity, policy, rule } from '../fixture.ts';
import { classMapsOf } from './far-questions.ts';
import {
  IP_SETS,
  indexed,
  Machine,
  type Outcome,
  type Packet,
  expectedOf,
  packets,
  policies,
  ranges,
  rules,
  some,
  usual,
} from './packet-machine.contract.ts';
import { type RenderedPolicies, renderPolicies } from './policy-chains.ts';

function render(policies: readonly DataplanePolicy[], ipSets = IP_SETS): RenderedPolicies {
  return renderPolicies({ name: 'group', policies }, 'ingress', {
    ipSets,
    denyAction: 'Drop',
    kernelLog: { prefix: 'calico-packet', rate: null },
  });
}

function outcomeOf(policies: readonly DataplanePolicy[], packet: Packet): Outcome {
  const rendered = render(policies);
  return new Machine({ ...rendered, classMaps: classMapsOf(rendered.asked) }, packet).run(
    rendered.steps,
  );
}

void test('[DP11] the kernel rules of a rule match the packets that the rule matches', () => {
  fc.assert(
    fc.property(rules, packets, (one, packet) => {
      const list = [policy('p', { ingress: [one] })];
      assert.deepEqual(outcomeOf(list, packet), expectedOf(list, packet));
    }),
    { numRuns: 5000 },
  );
});

void test('[DP11] a packet that fits several alternatives of a Log rule is logged once', () => {
  const both = fc.record({ ports: ranges, namedPortSets: some('port-a', 'port-b') });
  const tcp = packets.map((packet) => ({ ...packet, protocol: 6 }));
  fc.assert(
    fc.property(both, both, tcp, (source, destination, packet) => {
      const one = rule('Log', { source: entity(source), destination: entity(destination) });
      const list = [policy('p', { ingress: [one] })];
      assert.deepEqual(outcomeOf(list, packet), expectedOf(list, packet));
    }),
    { numRuns: 2000 },
  );
});

void test('[DP40] of many rules the first that a packet fits decides, however they are looked up', () => {
  const many = policies(rules, 16);
  fc.assert(
    fc.property(many, fc.array(packets, { minLength: 1, maxLength: 8 }), (list, some) => {
      const rendered = render(list);
      for (const packet of some) {
        const got = new Machine(
          { ...rendered, classMaps: classMapsOf(rendered.asked) },
          packet,
        ).run(rendered.steps);
        assert.deepEqual(got, expectedOf(list, packet));
      }
    }),
    { numRuns: 1500 },
  );
});

void test('[DP40] the usual rules too, many of them', () => {
  fc.assert(
    fc.property(
      policies(usual, 40),
      fc.array(packets, { minLength: 1, maxLength: 8 }),
      (list, some) => {
        const rendered = render(list);
        for (const packet of some) {
          const got = new Machine(
            { ...rendered, classMaps: classMapsOf(rendered.asked) },
            packet,
          ).run(rendered.steps);
          assert.deepEqual(got, expectedOf(list, packet));
        }
      },
    ),
    { numRuns: 1500 },
  );
});

void test('[DP40] a packet meets no more rules for a thousand policies than for ten', () => {
  const from = (index: number) => entity({ nets: [`10.${index >> 8}.${index & 255}.0/24`] });
  const shapes: readonly ((index: number) => Partial<DataplaneRule>)[] = [
    (index) => ({ protocol: 6, destination: entity({ ports: [[index + 1, index + 1]] }) }),
    (index) => ({ source: from(index) }),
    (index) => ({ protocol: 6, source: from(index), destination: entity({ ports: [[80, 80]] }) }),
    (index) => ({
      protocol: 6,
      source: from(index),
      destination: entity({ ports: [[(index % 30) + 1, (index % 30) + 1]] }),
    }),
  ];
  const packet: Packet = {
    family: 4,
    protocol: 6,
    address: { source: '192.0.2.1', destination: '10.1.0.1' },
    port: { source: 53, destination: 443 },
    type: 0,
    code: 0,
  };
  for (const shape of shapes) {
    const rulesMet = [10, 1000].map((count) => {
      const list = Array.from({ length: count }, (_, index) =>
        policy(`p${index}`, { ingress: [rule('Allow', shape(index))] }),
      );
      const rendered = render(list);
      const machine = new Machine({ ...rendered, classMaps: classMapsOf(rendered.asked) }, packet);
      machine.run(rendered.steps);
      return machine.rules;
    });
    assert.ok((rulesMet[1] ?? NaN) <= (rulesMet[0] ?? NaN) + 4, String(rulesMet));
    assert.ok((rulesMet[1] ?? NaN) < 10, String(rulesMet));
  }
});

void test('decisions carry their log, their count and their verdict', () => {
  const actions = (action: DataplaneRule['action'], more: Partial<DataplanePolicy> = {}) => {
    const list = [policy('p', { ingress: [rule(action, { index: 3 })], ...more })];
    const [decision] = render(list).chains.filter(({ name }) => /^[dl]-/.test(name));
    return decision?.rules[0]?.actions.map((one) =>
      'prefix' in one ? `${one.action} ${one.prefix}` : one.action,
    );
  };
  assert.deepEqual(actions('Allow'), ['log-packet API3|NetworkPolicy/shop/p', 'count', 'accept']);
  assert.deepEqual(actions('Deny'), ['log-packet DPI3|NetworkPolicy/shop/p', 'count', 'drop']);
  assert.deepEqual(actions('Pass'), [
    'log-packet PPI3|NetworkPolicy/shop/p',
    'count',
    'set-mark',
    'return',
  ]);
  assert.deepEqual(actions('Log'), ['log-kernel calico-packet: ']);
  assert.equal(actions('Log', { staged: true }), undefined);
  assert.deepEqual(actions('Deny', { staged: true }), [
    'log-packet DSI3|NetworkPolicy/shop/p',
    'count',
    'return',
  ]);
});

void test('[DP84] rules that no packet reaches have no chains and no log prefixes', () => {
  const list = Array.from({ length: 40 }, (_, index) =>
    policy(`p${index}`, {
      ingress: indexed([
        rule('Allow', { protocol: 6, destination: entity({ ports: [[80, 80]] }) }),
        rule('Deny', { protocol: 17, destination: entity({ ports: [[index + 1, index + 1]] }) }),
        ...(index === 30 ? [rule('Pass')] : []),
      ]),
    }),
  );
  const { chains, hits } = render(list);
  const ends = chains.filter(({ name }) => name.startsWith('d-')).map(({ comment }) => comment);
  const reached = [
    'NetworkPolicy/shop/p0 ingress rule 0',
    ...list.slice(0, 31).map(({ id }) => `NetworkPolicy/shop/${id.name} ingress rule 1`),
    'NetworkPolicy/shop/p30 ingress rule 2',
  ];
  assert.deepEqual(new Set(ends), new Set(reached));
  assert.equal(hits.size, reached.length);
});

void test('[DP13] with an IP set missing Deny matches everything and other rules nothing', () => {
  const source = entity({ ipSets: ['none'] });
  const none = new Map<string, IpSet>();
  const rulesOf = (one: DataplaneRule) => {
    const { chains, steps, problems } = render([policy('p', { ingress: [one] })], none);
    return { rules: chains.find(({ name }) => name === steps[0]?.chain)?.rules, problems };
  };
  assert.deepEqual(rulesOf(rule('Allow', { source })), {
    rules: [],
    problems: [
      {
        what: 'NetworkPolicy/shop/p ingress rule 0',
        message: 'cannot find IP set none (net): the rule never matches',
      },
    ],
  });
  assert.deepEqual(rulesOf(rule('Pass', { source: entity({ notIpSets: ['none'] }) })).rules, []);
  assert.deepEqual(rulesOf(rule('Deny', { source, protocol: 6 })).rules?.[0]?.matches, []);
});

void test('[DP40] ports that are open to all are not open to whom an earlier rule denies', () => {
  const denied = rule('Deny', { source: entity({ ipSets: ['net-a'] }), protocol: 6 });
  const open = [80, 443, 53, 8080, 8443, 9090, 9091, 9092].map((port) =>
    rule('Allow', { protocol: 6, destination: entity({ ports: [[port, port]] }) }),
  );
  const allowed = rule('Allow', { source: entity({ ipSets: ['net-b'] }), protocol: 6 });
  const list = [policy('p', { ingress: indexed([denied, ...open, allowed]) })];
  for (const source of ['10.1.0.1', '10.2.0.1', '192.0.2.1', 'fd00::1', 'fd00::2']) {
    const family = source.includes(':') ? 6 : 4;
    for (const destination of [80, 22]) {
      const packet: Packet = {
        family,
        protocol: 6,
        address: { source, destination: family === 4 ? '10.9.9.9' : 'fd99::1' },
        port: { source: 40_000, destination },
        type: 0,
        code: 0,
      };
      assert.deepEqual(
        outcomeOf(list, packet),
        expectedOf(list, packet),
        `${source} ${destination}`,
      );
    }
  }
});
