// Clusters for the policy suites: their addresses, with every node holding pods of several namespaces.
import type { Pod, Resource } from '#api';
import { parseAddress, parsePrefix, prefixContains } from '#lib';
import type { ClusterLayout, ServedPort } from './cluster-layout.ts';

const OUTSIDE = { 4: '198.51.100.7', 6: '2001:db8:51::7' } as const;

/** Pods of each namespace on two nodes. */
export const KUBERNETES_LAYOUT: ClusterLayout = {
  nodes: [
    node('node-1', 11, ['10.66.1.10/31', '10.66.2.12/31', '10.66.3.12/31']),
    node('node-2', 12, ['10.66.2.10/31', '10.66.1.12/31']),
    node('node-3', 13, ['10.66.3.10/31']),
  ],
  ...underlay('172.31.0'),
  machines: 9,
  served: served({ tcp: [80, 81], udp: [80, 81], sctp: [80, 81] }),
};

/** Pods by turns on two nodes: the suite leaves addresses to us. */
export const RECIPES_LAYOUT: ClusterLayout = {
  nodes: [
    node('node-1', 11, ['10.244.0.0/31', '10.244.0.3/32', '10.244.0.4/32']),
    node('node-2', 12, ['10.244.0.2/32', '10.244.0.5/32']),
  ],
  ...underlay('172.31.0'),
  machines: 5,
  served: served({ tcp: [53, 80, 5_000, 6_379, 8_000], udp: [53], sctp: [] }),
};

/** The nodes stand for the suite's host-networked pods, and serve what these serve. */
export const CLUSTER_POLICY_LAYOUT: ClusterLayout = {
  nodes: [
    { ...node('centaur-0', 2, ['10.244.1.0/24']), address: { 4: '172.18.0.2', 6: 'fd00:31::2' } },
    { ...node('centaur-1', 3, ['10.244.2.0/24']), address: { 4: '172.18.0.3', 6: 'fd00:31::3' } },
  ],
  ...underlay('172.18.0'),
  machines: 8,
  served: served({
    tcp: [80, 8_080, 34_345, 34_346],
    udp: [53, 5_353, 34_347, 34_349],
    sctp: [9_003, 9_005, 34_351, 34_352],
  }),
};

/** The suite's resources on the layout's nodes, with these nodes and their blocks. */
export function placeOn(layout: ClusterLayout, resources: readonly Resource[]): Resource[] {
  const own = new Set(resources.filter((one) => one.kind === 'Node').map((it) => it.metadata.name));
  return [
    ...resources.map((one) => (one.kind === 'Pod' ? placePod(layout, one as Pod) : one)),
    ...layout.nodes.flatMap(({ name, address, blocks }) => [
      ...(own.has(name) ? [] : [nodeResource(name, address[4])]),
      ...blocks.map((cidr) => blockResource(name, cidr)),
    ]),
  ];
}

function placePod(layout: ClusterLayout, pod: Pod): Pod {
  if (pod.spec.hostNetwork === true) return pod;
  const text = pod.status?.podIPs?.[0]?.ip ?? '';
  const address = parseAddress(text);
  const home = layout.nodes.find(({ blocks }) =>
    blocks.map(parsePrefix).some((block) => block && address && prefixContains(block, address)),
  );
  if (!home) throw new Error(`no node of the layout has a block around ${text}`);
  return { ...pod, spec: { ...pod.spec, nodeName: home.name } };
}

function nodeResource(name: string, address: string): Resource {
  const status = { addresses: [{ type: 'InternalIP', address }] };
  const metadata = { name };
  const resource = { apiVersion: 'v1', kind: 'Node', metadata, status };
  return resource;
}

function blockResource(name: string, cidr: string): Resource {
  const resource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMBlock',
    metadata: { name: cidr.replaceAll(/[./]/g, '-') },
    spec: { cidr, affinity: `host:${name}`, allocations: [], unallocated: [], attributes: [] },
  };
  return resource;
}

function node(name: string, host: number, blocks: readonly string[]) {
  return { name, address: { 4: `172.31.0.${host}`, 6: `fd00:31::${host}` }, blocks };
}

function underlay(network: string) {
  return {
    gateway: { 4: `${network}.1`, 6: 'fd00:31::1' },
    outsideOnLink: { 4: `${network}.99`, 6: 'fd00:31::99' },
    outside: OUTSIDE,
  };
}

function served(ports: Readonly<Record<ServedPort['protocol'], readonly number[]>>): ServedPort[] {
  return (['tcp', 'udp', 'sctp'] as const).flatMap((protocol) =>
    ports[protocol].map((port) => ({ protocol, port })),
  );
}
