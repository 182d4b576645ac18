// Texts of BGP: what the nodes announce, to whom, and what is filtered.
import type { FieldTexts } from './field-text.ts';

function secret(what: string): FieldTexts {
  return {
    '': `${what}, kept in a Secret`,
    secretKeyRef: {
      '': "The entry of a Secret in the agent's namespace",
      name: 'The name of the Secret',
      key: 'The entry in it',
      optional: 'Whether the session may begin where there is no such entry',
    },
  };
}

function announced(what: string): FieldTexts {
  return { '': `${what} of Services within these networks are announced`, cidr: 'The network' };
}

const NORMAL_PRIORITY = 'The metric of routes that BGP programs, as long as nothing moves';

function rules(what: string): FieldTexts {
  return {
    '': `Rules for ${what}; the first that matches decides, and what none matches is accepted`,
    cidr: 'The network of the route, compared as matchOperator says',
    prefixLength: {
      '': 'The prefix length of the route is between these; needs cidr',
      min: 'The shortest',
      max: 'The longest',
    },
    source: 'RemotePeers: only routes that were learned from other routers',
    interface: 'Only routes by this interface; "*" stands for any characters',
    matchOperator: 'How the route is compared with cidr: equal to it, in it, or not',
    peerType: 'Only for sessions with another AS (eBGP), or with the own (iBGP)',
    communities: {
      '': 'Only routes with such communities',
      values: 'The communities, such as 64512:100',
    },
    asPathPrefix: 'Only routes whose AS path begins with these numbers',
    priority: 'Only routes with this metric',
    action: 'Accept or Reject',
    operations: {
      '': 'What is changed in a route that is accepted; each entry has one field',
      addCommunity: { '': 'Adds a community', value: 'The community' },
      prependASPath: {
        '': 'Puts numbers before the AS path',
        prefix: 'The numbers, the first of them foremost',
      },
      setPriority: { '': 'Sets the metric', value: 'The metric' },
    },
  };
}

export const BGP_TEXTS: Readonly<Record<string, FieldTexts>> = {
  BGPConfiguration: {
    '': 'BGP in the whole cluster ("default") or on one node ("node.NAME")',
    spec: {
      '': 'The mesh, and what is announced',
      logSeverityScreen: 'What BGP writes to its log: this severity and above',
      nodeToNodeMeshEnabled:
        'Whether each node has a session with each other; yes where it is absent',
      asNumber: 'The AS number of the nodes; 64512 where it is absent',
      serviceLoadBalancerIPs: announced('Load-balancer addresses'),
      serviceExternalIPs: announced('External addresses'),
      serviceClusterIPs: announced('Cluster addresses'),
      serviceLoadBalancerAggregation:
        'Whether load-balancer addresses are announced as their networks, or each by itself',
      communities: {
        '': 'Names for communities',
        name: 'The name',
        value: 'The community: 64512:100, or 64512:1:100',
      },
      prefixAdvertisements: {
        '': 'Communities of announced routes',
        cidr: 'Routes in this network',
        communities: 'Communities, or names of some',
      },
      listenPort: 'The port of BGP; 179 where it is absent',
      nodeMeshPassword: secret('The password of sessions in the mesh'),
      nodeMeshMaxRestartTime: 'How long neighbours in the mesh keep routes while a node restarts',
      bindMode: 'None: BGP listens on all addresses; NodeIP: only on that of the node',
      ignoredInterfaces:
        'Interfaces whose routes are not announced; "*" at the end for a beginning',
      localWorkloadPeeringIPV4: 'The IPv4 address at which workloads reach BGP of their node',
      localWorkloadPeeringIPV6: 'The IPv6 address at which workloads reach BGP of their node',
      programClusterRoutes: 'Whether BGP programs the routes to pods of other nodes, and which',
      ipv4NormalRoutePriority: `${NORMAL_PRIORITY}, for IPv4`,
      ipv6NormalRoutePriority: `${NORMAL_PRIORITY}, for IPv6`,
    },
  },
  BGPPeer: {
    '': 'BGP sessions of some nodes with other routers, nodes or workloads',
    spec: {
      '': 'Between whom, and how',
      node: 'The node; all nodes where neither this nor nodeSelector is set',
      nodeSelector: 'The nodes, by their labels',
      peerIP: 'The other router, with a port where it is not 179: 192.0.2.1:179, [2001:db8::1]:179',
      asNumber: 'The AS number of the other router',
      localASNumber: 'The AS number that the nodes show to it',
      peerSelector: 'The other side is nodes with such labels',
      localWorkloadSelector: 'The other side is workloads of the same node with such labels',
      keepOriginalNextHop: 'Deprecated: nextHopMode Keep says the same',
      nextHopMode:
        'Which next hop routes have that are passed on: Self is the node, Keep leaves it',
      password: secret('The password of the sessions'),
      sourceAddress:
        'UseNodeIP: sessions come from the address of the node; None: the kernel decides',
      maxRestartTime: 'How long routes are kept while the other side restarts',
      keepaliveTime: 'How often the sides say that they are there',
      numAllowedLocalASNumbers: 'How often the own AS number may stand in a path that is taken',
      ttlSecurity: 'How many hops away the other side may be; packets from farther are refused',
      reachableBy: 'The gateway through which the other side is reached',
      filters: 'Names of BGPFilters, in their order',
      reversePeering:
        'Auto: nodes that are the other side get the session too; Manual: they do not',
    },
  },
  BGPFilter: {
    '': 'Which routes BGP sessions take and give; a BGPPeer names it',
    spec: {
      '': 'Rules by direction and family',
      exportV4: rules('IPv4 routes that are given'),
      exportV6: rules('IPv6 routes that are given'),
      importV4: rules('IPv4 routes that are taken'),
      importV6: rules('IPv6 routes that are taken'),
    },
  },
};
