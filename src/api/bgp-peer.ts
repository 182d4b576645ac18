// BGPPeer: sessions of some nodes with other routers, other nodes or workloads (spec 01, 1.2 and 1.3; spec 07).
import { forbiddenUnless, invalidUnless, withRules } from './cel.ts';
import { parseAddress } from '#lib';
import { type Static, Type } from 'typebox';
import { AsNumber, BGPPassword } from './bgp-configuration.ts';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, quoted } from './problem.ts';
import { SelectorText } from './rule.ts';

const RULES = withRules(
  forbiddenUnless(
    '(!has(self.node) || size(self.node) == 0) || (!has(self.nodeSelector) || ' +
      'size(self.nodeSelector) == 0)',
    'node and nodeSelector cannot both be set',
  ),
  forbiddenUnless(
    '(!has(self.peerIP) || size(self.peerIP) == 0) || (!has(self.peerSelector) || ' +
      'size(self.peerSelector) == 0)',
    'peerIP and peerSelector cannot both be set',
  ),
  forbiddenUnless(
    '(!has(self.peerSelector) || size(self.peerSelector) == 0) || ' +
      '!has(self.asNumber) || self.asNumber == 0',
    'asNumber must be empty when peerSelector is set',
  ),
  forbiddenUnless(
    '(!has(self.localWorkloadSelector) || size(self.localWorkloadSelector) == 0) || ' +
      '(!has(self.peerIP) || size(self.peerIP) == 0)',
    'peerIP must be empty when localWorkloadSelector is set',
  ),
  forbiddenUnless(
    '(!has(self.localWorkloadSelector) || size(self.localWorkloadSelector) == 0) || ' +
      '(!has(self.peerSelector) || size(self.peerSelector) == 0)',
    'peerSelector must be empty when localWorkloadSelector is set',
  ),
  invalidUnless(
    '(!has(self.localWorkloadSelector) || size(self.localWorkloadSelector) == 0) || ' +
      '(has(self.asNumber) && self.asNumber != 0)',
    'asNumber is required when localWorkloadSelector is set',
  ),
  forbiddenUnless(
    '!has(self.reachableBy) || size(self.reachableBy) == 0 || (has(self.peerIP) && ' +
      'size(self.peerIP) > 0)',
    'reachableBy must be empty when peerIP is empty',
  ),
  forbiddenUnless(
    '!has(self.keepOriginalNextHop) || !self.keepOriginalNextHop || !has(self.nextHopMode)',
    'keepOriginalNextHop and ' +
      'nextHopMode cannot both be set; keepOriginalNextHop is deprecated, use nextHopMode instead',
  ),
);

export const BGPPeerSpec = Type.Object(
  {
    node: Type.Optional(Type.String({ maxLength: 253 })),
    nodeSelector: Type.Optional(SelectorText),
    /** An address, or address and port: `192.0.2.1:179`, `[2001:db8::1]:179`. */
    peerIP: Type.Optional(Type.String({ format: 'peer-address', maxLength: 64 })),
    asNumber: Type.Optional(AsNumber),
    localASNumber: Type.Optional(AsNumber),
    peerSelector: Type.Optional(SelectorText),
    localWorkloadSelector: Type.Optional(SelectorText),
    /** Deprecated; nextHopMode: Keep. */
    keepOriginalNextHop: Type.Optional(Type.Boolean()),
    nextHopMode: Type.Optional(Type.Enum(['Auto', 'Self', 'Keep'])),
    password: Type.Optional(BGPPassword),
    sourceAddress: Type.Optional(Type.Enum(['UseNodeIP', 'None'])),
    maxRestartTime: Type.Optional(Type.String({ format: 'duration' })),
    keepaliveTime: Type.Optional(Type.String({ format: 'duration' })),
    numAllowedLocalASNumbers: Type.Optional(Type.Integer({ minimum: 0, crd: { format: 'int32' } })),
    ttlSecurity: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
    reachableBy: Type.Optional(Type.String({ format: 'address', maxLength: 64 })),
    filters: Type.Optional(Type.Array(Type.String())),
    reversePeering: Type.Optional(Type.Enum(['Auto', 'Manual'])),
  },
  { crd: RULES },
);

export interface BGPPeer extends Resource {
  readonly kind: 'BGPPeer';
  readonly spec: Static<typeof BGPPeerSpec>;
}

export const bgpPeerKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'BGPPeer',
  plural: 'bgppeers',
  singular: 'bgppeer',
  shortNames: [],
  namespaced: false,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: BGPPeerSpec }),
  columns: [
    {
      name: 'Node Selector',
      type: 'string',
      path: '.spec.nodeSelector',
      priority: 0,
      description: 'Selector for the nodes that should have this peering',
    },
    {
      name: 'Node',
      type: 'string',
      path: '.spec.node',
      priority: 0,
      description:
        'The node name identifying the Calico node instance that is targeted by this peer',
    },
    {
      name: 'Local ASN',
      type: 'string',
      path: '.spec.localASNumber',
      priority: 0,
      description: 'The optional Local AS Number to use when peering with this remote peer',
    },
    {
      name: 'Peer Selector',
      type: 'string',
      path: '.spec.peerSelector',
      priority: 0,
      description: 'Selector for the remote nodes to peer with',
    },
    {
      name: 'Peer IP',
      type: 'string',
      path: '.spec.peerIP',
      priority: 0,
      description: 'The IP address of the peer followed by an optional port number to peer with',
    },
    {
      name: 'Peer ASN',
      type: 'string',
      path: '.spec.asNumber',
      priority: 0,
      description: 'The AS Number of the peer',
    },
  ],
  check: (resource) => peerProblems((resource as BGPPeer).spec),
};

/** Upstream's names: Kubernetes' and those of other orchestrators. */
const NODE_NAME = /^[a-zA-Z0-9_.-]{1,128}$/;

/** Pairs of fields of which at most one may be set. */
const EXCLUSIVE: readonly (readonly [keyof BGPPeer['spec'], keyof BGPPeer['spec']])[] = [
  ['node', 'nodeSelector'],
  ['peerIP', 'peerSelector'],
  ['localWorkloadSelector', 'peerIP'],
  ['localWorkloadSelector', 'peerSelector'],
  ['peerSelector', 'asNumber'],
  ['keepOriginalNextHop', 'nextHopMode'],
];

function peerProblems(spec: BGPPeer['spec']): Problem[] {
  const problems = EXCLUSIVE.filter(([a, b]) => spec[a] && spec[b]).map(([a, b]) =>
    fault(`spec.${a}`, `excludes ${b}; remove one`),
  );
  if (spec.node && !NODE_NAME.test(spec.node)) {
    const message = `${quoted(spec.node)} is no node name; letters, digits, ".", "_" and "-" are allowed`;
    problems.push(fault('spec.node', message));
  }
  if (spec.localWorkloadSelector && !spec.asNumber) {
    problems.push(fault('spec.asNumber', 'is required with localWorkloadSelector'));
  }
  if (!spec.reachableBy) return problems;
  if (!spec.peerIP) {
    problems.push(fault('spec.reachableBy', 'needs peerIP'));
  } else if (familyOf(spec.peerIP) !== familyOf(spec.reachableBy)) {
    problems.push(fault('spec.reachableBy', 'is of another IP version than peerIP'));
  }
  return problems;
}

function familyOf(address: string): number | undefined {
  const bare = address.startsWith('[')
    ? address.slice(1, address.indexOf(']'))
    : address.replace(/^([\d.]+):\d+$/, '$1');
  return parseAddress(bare)?.family;
}
