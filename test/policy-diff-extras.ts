// What the random worlds lack and differences must know: host endpoints, settings, services, ICMP, source ports.
import fc from 'fast-check';
import type { Resource } from '#api';
import { NODE_ADDRESS, NODES, OUTSIDE, podAddress } from './worlds.ts';

const calico = 'projectcalico.org/v3';

const hostEndpoints = fc
  .tuple(
    ...NODES.flatMap((node) => [
      fc.option(fc.constantFrom('*', 'eth0'), { nil: undefined, freq: 2 }).map((interfaceName) =>
        interfaceName === undefined
          ? []
          : [
              {
                apiVersion: calico,
                kind: 'HostEndpoint',
                metadata: { name: `${node}-main`, labels: { host: node, app: 'web' } },
                spec: {
                  node,
                  interfaceName,
                  ...(interfaceName === '*' ? {} : { expectedIPs: [NODE_ADDRESS[node][4]] }),
                  profiles: node === 'node-1' ? ['projectcalico-default-allow'] : [],
                },
              },
            ],
      ),
    ]),
  )
  .map((parts) => parts.flat());

const peer = fc.constantFrom(
  {},
  { selector: 'app == "web"' },
  { nets: [`${OUTSIDE[4]}/32`] },
  { nets: ['fe80::/64', 'fd00:244::/32'] },
  { notSelector: 'zone == "a"', namespaceSelector: 'all()' },
);
const fields = fc.constantFrom(
  { protocol: 'ICMP', icmp: { type: 8 } },
  { protocol: 'ICMPv6', icmp: { type: 128, code: 1 } },
  { protocol: 'ICMPv6', notICMP: { type: 135 } },
  { notProtocol: 'UDP' },
  { protocol: 4 },
  { protocol: 'SCTP' },
  { ipVersion: 6 as const },
  { protocol: 'TCP', http: { methods: ['GET'] } },
  {},
);
const action = fc.constantFrom('Allow', 'Allow', 'Deny', 'Pass', 'Log');
const fieldRule = fc
  .record({ action, fields, source: peer, destination: peer })
  .map(({ fields: more, ...rule }) => ({
    ...rule,
    ...more,
    ...('http' in more ? { action: 'Allow' } : {}),
  }));
const portRule = fc
  .record({
    action,
    protocol: fc.constantFrom('TCP', 'UDP'),
    sources: fc.constantFrom({}, { ports: ['1000:2000'] }, { notPorts: [49152, 'http'] }),
    destinations: fc.constantFrom(
      { ports: [22, 80] },
      { ports: ['http'] },
      { notPorts: ['80:9090'] },
    ),
    source: peer,
  })
  .map(({ sources, destinations, source, ...rule }) => ({
    ...rule,
    source: { ...source, ...sources },
    destination: destinations,
  }));
const serviceRule = fc.constantFrom(
  { action: 'Allow', destination: { services: { name: 'api', namespace: 'red' } } },
  { action: 'Deny', source: { services: { name: 'api', namespace: 'red' } } },
);
const namedPortRule = fc.constantFrom(
  { action: 'Allow', source: { ports: ['http'] } },
  { action: 'Deny', destination: { ports: ['dns', 'http'] } },
  { action: 'Allow', destination: { notPorts: ['http'] } },
);
const rules = fc.array(fc.oneof(fieldRule, portRule, namedPortRule), { maxLength: 4 });

const policies = fc.array(
  fc
    .record({
      ingress: rules,
      egress: rules,
      service: fc.option(serviceRule, { nil: undefined }),
      host: fc.constantFrom(
        {},
        {},
        { applyOnForward: true },
        { preDNAT: true, applyOnForward: true },
        {
          doNotTrack: true,
          applyOnForward: true,
        },
      ),
      selector: fc.constantFrom('has(host)', 'app == "web"', 'all()', 'host == "node-1"'),
      tier: fc.constantFrom('default', 'first', 'kube-admin'),
      order: fc.constantFrom(5, 20, 40),
    })
    .map(({ service, host, ingress, egress, ...rest }) => {
      const withService = service && 'destination' in service ? [...egress, service] : egress;
      const source = service && 'source' in service ? [...ingress, service] : ingress;
      const preDnat = 'preDNAT' in host;
      return {
        ...rest,
        ...host,
        types: preDnat ? ['Ingress'] : ['Ingress', 'Egress'],
        ingress: source,
        ...(preDnat ? {} : { egress: withService }),
      };
    }),
  { maxLength: 3 },
);

const felix = fc
  .record(
    {
      defaultEndpointToHostAction: fc.constantFrom('Drop', 'Accept'),
      allowVXLANPacketsFromWorkloads: fc.boolean(),
      allowIPIPPacketsFromWorkloads: fc.boolean(),
      vxlanPort: fc.constantFrom(4789, 8080),
      failsafeInboundHostPorts: fc.constantFrom(
        [],
        [{ protocol: 'tcp', port: 22, net: '203.0.113.0/28' }],
      ),
      failsafeOutboundHostPorts: fc.constantFrom(
        [],
        [{ protocol: 'tcp', port: 1000 }],
        [{ protocol: 'udp', port: 1000, net: '203.0.113.0/24' }],
      ),
    },
    { requiredKeys: [] },
  )
  .map((spec) => ({
    apiVersion: calico,
    kind: 'FelixConfiguration',
    metadata: { name: 'default' },
    spec,
  }));

const slices = fc
  .uniqueArray(fc.constantFrom(podAddress(0, 4), podAddress(1, 4), podAddress(2, 6), OUTSIDE[4]), {
    maxLength: 3,
  })
  .map((addresses) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'api-1', namespace: 'red', labels: { 'kubernetes.io/service-name': 'api' } },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }, { port: 80 }],
  }));

/** A further address of a node, moved pods and pods without address or on the host's network. */
const placement = fc
  .record({
    further: fc.constantFrom('198.51.100.1', '198.51.100.2', undefined),
    interfaces: fc.constantFrom([], ['eth0'], ['eth1'], ['eth0', 'eth1']),
    node: fc.constantFrom(...NODES),
    hostNetwork: fc.boolean(),
    addresses: fc.constantFrom(
      [],
      ['10.244.9.9'],
      [podAddress(1, 4)],
      ['10.244.9.10', '10.244.9.9'],
      ['10.244.9.9', '10.244.9.10', 'fd00:244:9::9'],
    ),
  })
  .map(({ further, interfaces, node, hostNetwork, addresses }) => [
    ...(further === undefined
      ? []
      : [
          {
            apiVersion: calico,
            kind: 'Node',
            metadata: { name: 'node-1' },
            spec: {
              addresses: [NODE_ADDRESS['node-1'][4], further].map((address) => ({ address })),
              interfaces: interfaces.map((name, index) => ({
                name,
                addresses: [index === 0 ? NODE_ADDRESS['node-1'][4] : further],
              })),
            },
          },
        ]),
    podOn('wanderer', node, { podIPs: addresses.map((ip) => ({ ip })) }, false),
    podOn('switcher', node, {}, hostNetwork),
  ]);

function podOn(name: string, nodeName: string, status: object, hostNetwork: boolean): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'red', labels: { app: 'web' } },
    spec: { nodeName, containers: [], ...(hostNetwork ? { hostNetwork } : {}) },
    status,
  };
}

/** To be added to a world of `worlds.ts`. */
export const extras: fc.Arbitrary<readonly Resource[]> = fc
  .tuple(
    fc.option(hostEndpoints, { nil: [] }),
    policies,
    fc.option(felix, { nil: undefined }),
    fc.option(slices, { nil: undefined }),
    placement,
  )
  .map(
    ([endpoints, specs, settings, slice, placed]) =>
      [
        ...endpoints,
        ...specs.map((spec, index) => ({
          apiVersion: calico,
          kind: 'GlobalNetworkPolicy',
          metadata: { name: `extra-${index}` },
          spec,
        })),
        ...(settings ? [settings] : []),
        ...(slice ? [slice] : []),
        ...placed,
      ] as Resource[],
  );
