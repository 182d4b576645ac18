// Random rules for the policies of the random worlds: every field, each rule valid on its own.
import fc from 'fast-check';
import { net, net6 } from './world-addresses.ts';

export const namespaceName = fc.constantFrom('red', 'blue');

/** Plain ones are what most policies have; the others ask for labels that nobody wrote on a pod. */
export const selector = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      'all()',
      'app == "web"',
      'app != "web"',
      'app in {"cart", "db"}',
      'app not in {"cart"}',
      'has(zone)',
      '!has(zone)',
      'zone == "a" && app == "web"',
      'zone == "b" || app == "db"',
      'app starts with "c"',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'app contains "ar" || app ends with "b"',
      'app in {}',
      'projectcalico.org/namespace == "red"',
      'projectcalico.org/orchestrator == "k8s"',
      'projectcalico.org/serviceaccount == "robot"',
      'pcns.colour == "blue"',
      '!has(pcns.colour)',
      'pcsa.role == "robot" && !(app == "db")',
    ),
  },
);

const namespaceSelector = fc.constantFrom(
  'all()',
  'colour == "red"',
  'projectcalico.org/name == "blue"',
  'zone == "a"',
  'colour != "red"',
  '!has(zone) || colour in {"blue"}',
  'global()',
);

/** Also one with host bits, which count as clear, and an address without length. */
const odd4 = fc.constantFrom('10.244.1.7/26', '203.0.113.10');
const nets = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.uniqueArray(fc.oneof({ weight: 6, arbitrary: net }, odd4), {
      minLength: 1,
      maxLength: 3,
    }),
  },
  { weight: 4, arbitrary: fc.uniqueArray(net6, { minLength: 1, maxLength: 2 }) },
);
/** Without the nets that leave nothing: validation refuses them. */
const notNets = nets
  .map((list) => list.filter((one) => one !== '0.0.0.0/0' && one !== '::/0').slice(0, 2))
  .filter((list) => list.length > 0);

const port = fc.constantFrom<number | string>(8080, 9090, 5353, '8000:9000', 'http', 'dns');
const ports = fc.uniqueArray(port, { minLength: 1, maxLength: 3 });
/** The kernel chooses source ports from this range; some packets are sent from 40,000. */
const sourcePorts = fc.constantFrom<(number | string)[]>(
  ['32768:60999'],
  ['32768:60999', 'http'],
  [40_000],
  ['http'],
  ['1:1023', 8080],
);

const accounts = fc.constantFrom(
  { names: ['robot'] },
  { names: ['default', 'robot', 'nobody'] },
  { selector: 'role == "robot"' },
  { selector: 'all()' },
  { names: ['robot'], selector: '!has(role)' },
  { selector: 'projectcalico.org/name == "robot"' },
);

const conditions = {
  selector,
  notSelector: selector,
  namespaceSelector,
  nets,
  notNets,
  serviceAccounts: accounts,
};
const oneCondition = fc.oneof(
  fc.record({ selector }),
  fc.record({ notSelector: selector }),
  fc.record({ namespaceSelector }),
  fc.record({ nets }),
  fc.record({ notNets }),
  fc.record({ serviceAccounts: accounts }),
);
/** Mostly one or two conditions: rules of many rarely match, and then they hide each other's faults. */
const entity = fc.oneof(
  { weight: 5, arbitrary: oneCondition },
  {
    weight: 3,
    arbitrary: fc.tuple(oneCondition, oneCondition).map(([one, two]) => ({ ...one, ...two })),
  },
  { weight: 1, arbitrary: fc.record(conditions, { requiredKeys: [] }) },
);

/** What follows names and numbers of ports; without it only names make sense, and are TCP's. */
const portProtocol = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<string | number>('TCP', 'TCP', 'UDP', 6, 17) },
  { weight: 1, arbitrary: fc.constantFrom<string | number>('SCTP', 132) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);
const notProtocol = fc.option(
  fc.constantFrom<string | number>('TCP', 17, 'UDP', 'ICMP', 'ICMPv6', 'SCTP', 'UDPLite', 58),
  { nil: undefined, freq: 5 },
);
const action = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('Allow', 'Allow', 'Deny', 'Pass') },
  { weight: 1, arbitrary: fc.constant('Log') },
);
/** Of every kind of rule, and seldom: most rules are for both families and have no notes. */
const anyRule = {
  ipVersion: fc.option(fc.constantFrom<4 | 6>(4, 6), { nil: undefined, freq: 6 }),
  metadata: fc.option(fc.constant({ annotations: { author: 'somebody' } }), {
    nil: undefined,
    freq: 12,
  }),
};
export type Direction = 'ingress' | 'egress';

const portRule = fc
  .record({
    ...anyRule,
    action,
    protocol: portProtocol,
    notProtocol,
    source: fc.option(entity, { nil: undefined }),
    destination: fc.option(entity, { nil: undefined }),
    ports: fc.option(ports, { nil: undefined }),
    notPorts: fc.option(ports, { nil: undefined, freq: 5 }),
    from: fc.option(sourcePorts, { nil: undefined, freq: 4 }),
    notFrom: fc.option(sourcePorts, { nil: undefined, freq: 8 }),
  })
  .map(({ source, destination, ports: list, notPorts, from, notFrom, ...rest }) => {
    const named = (all: readonly (number | string)[] = []) =>
      rest.protocol === undefined ? all.filter((one) => one === 'http' || one === 'dns') : all;
    return {
      ...rest,
      source: withPorts(source, named(from), named(notFrom)),
      destination: withPorts(destination, named(list), named(notPorts)),
    };
  });

type Ports = readonly (number | string)[];

function withPorts(end: object | undefined, list: Ports, notList: Ports): object | undefined {
  const all = {
    ...end,
    ...(list.length > 0 ? { ports: list } : {}),
    ...(notList.length > 0 ? { notPorts: notList } : {}),
  };
  return Object.keys(all).length > 0 ? all : undefined;
}

/** Of protocols that have no ports. */
const plainRule = fc.record({
  ...anyRule,
  action,
  protocol: fc.constantFrom<string | number | undefined>('UDPLite', 136, 'ICMP', 4, 50, undefined),
  notProtocol,
  source: fc.option(entity, { nil: undefined }),
  destination: fc.option(entity, { nil: undefined }),
});

const icmp = fc.constantFrom<object>(
  { type: 8 },
  { type: 8, code: 0 },
  { type: 3, code: 1 },
  { type: 13 },
  { type: 128 },
  { type: 1, code: 4 },
  {},
);
const icmpRule = fc.record({
  ...anyRule,
  action,
  protocol: fc.constantFrom<string | number>('ICMP', 'ICMPv6', 1, 58),
  icmp: fc.option(icmp, { nil: undefined, freq: 2 }),
  notICMP: fc.option(icmp, { nil: undefined, freq: 3 }),
  source: fc.option(entity, { nil: undefined }),
  destination: fc.option(entity, { nil: undefined }),
});

const httpRule = fc.record({
  action: fc.constant('Allow'),
  protocol: fc.constantFrom('TCP', undefined),
  source: fc.option(entity, { nil: undefined }),
  http: fc.constantFrom<object>(
    { methods: ['GET'] },
    { paths: [{ prefix: '/public' }, { exact: '/' }] },
  ),
});

/** A Service at the far end: in a namespaced policy it may be of the policy's own namespace. */
const serviceRule = (direction: Direction, namespaced: boolean) =>
  fc
    .record({
      ...anyRule,
      action,
      protocol: portProtocol,
      name: fc.constantFrom('svc', 'svc', 'svc', 'outside'),
      namespace: namespaced ? fc.option(namespaceName, { nil: undefined }) : namespaceName,
      near: fc.option(entity, { nil: undefined, freq: 2 }),
      list: fc.option(direction === 'ingress' ? sourcePorts : ports, { nil: undefined, freq: 3 }),
    })
    .map(({ name, namespace, near, list = [], ...rest }) => {
      const services = { services: withoutUndefined({ name, namespace }) };
      const numbers = rest.protocol === undefined ? [] : list;
      // At a source the Service brings no ports; at a destination it does, and those of the source are free.
      return direction === 'ingress'
        ? { ...rest, source: withPorts(services, numbers, []), destination: near }
        : { ...rest, source: withPorts(near, numbers, []), destination: services };
    });

/** Up to four rules of one direction. */
export function rulesOf(direction: Direction, namespaced: boolean): fc.Arbitrary<object[]> {
  const others: fc.Arbitrary<object>[] = [plainRule, icmpRule, serviceRule(direction, namespaced)];
  const special = direction === 'ingress' ? [...others, httpRule] : others;
  const rule = fc.oneof<fc.MaybeWeightedArbitrary<object>[]>(
    { weight: 7, arbitrary: portRule },
    ...special.map((arbitrary) => ({ weight: 1, arbitrary })),
  );
  return fc.array(rule.map(withoutUndefined).filter(isOfOneFamily).map(withFittingVersion), {
    maxLength: 4,
  });
}

export function withoutUndefined(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The families of the prefixes in a rule. */
function familiesOf(rule: object): Set<number> {
  const text = JSON.stringify(rule);
  const families = new Set<number>();
  if (/"[0-9a-f]*:[0-9a-f:]*\/\d+"/.test(text)) families.add(6);
  if (/"\d+\.\d+\.\d+\.\d+(\/\d+)?"/.test(text)) families.add(4);
  return families;
}

/** A rule may not mix families across its nets (spec 01, 1.3). */
function isOfOneFamily(rule: object): boolean {
  return familiesOf(rule).size < 2;
}

/** Without an `ipVersion` that contradicts its prefixes or protocols, which validation refuses. */
function withFittingVersion(
  rule: object & { ipVersion?: number; protocol?: unknown; notProtocol?: unknown },
): object {
  const { ipVersion, ...rest } = rule;
  const families = familiesOf(rest);
  for (const protocol of [rest.protocol, rest.notProtocol]) {
    if (protocol === 'ICMP' || protocol === 1) families.add(4);
    if (protocol === 'ICMPv6' || protocol === 58) families.add(6);
  }
  const fits = [...families].every((family) => family === ipVersion);
  return ipVersion !== undefined && fits ? rule : rest;
}
