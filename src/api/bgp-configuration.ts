// BGPConfiguration: the mesh, and what the nodes announce (spec 01, 1.2 and 1.3; spec 07).
import { forbiddenUnless, invalidUnless, withRules } from './cel.ts';
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { perNodeNameProblem } from './name-check.ts';
import { caution, fault, quoted } from './problem.ts';
import { formatProblem } from './formats.ts';

const ROUTE_PRIORITY = { minimum: 1, maximum: 2_147_483_646 } as const;

/** A 32-bit AS number, also written `high.low`. */
export const AsNumber = Type.Union(
  [Type.Integer({ minimum: 0, maximum: 4_294_967_295 }), Type.String({ format: 'as-number' })],
  { numberOrText: true },
);

/** A key of a Secret in the namespace of the agent; the password itself is never in the resource. */
export const BGPPassword = Type.Object({
  secretKeyRef: Type.Optional(
    Type.Object(
      {
        name: Type.Optional(Type.String({ crd: { default: '' } })),
        key: Type.String(),
        optional: Type.Optional(Type.Boolean()),
      },
      { crd: { 'x-kubernetes-map-type': 'atomic' } },
    ),
  ),
});

const atomic = { crd: { 'x-kubernetes-map-type': 'atomic' } } as const;

const Blocks = Type.Array(
  Type.Object(
    { cidr: Type.Optional(Type.String({ format: 'network', crd: { format: 'cidr' } })) },
    atomic,
  ),
);

const RULES = withRules(
  forbiddenUnless(
    '!has(self.nodeMeshPassword) || !has(self.nodeToNodeMeshEnabled) || ' +
      'self.nodeToNodeMeshEnabled == true',
    'nodeMeshPassword cannot be set when nodeToNodeMeshEnabled is false',
  ),
  forbiddenUnless(
    '!has(self.nodeMeshMaxRestartTime) || !has(self.nodeToNodeMeshEnabled) || ' +
      'self.nodeToNodeMeshEnabled == true',
    'nodeMeshMaxRestartTime cannot be set when nodeToNodeMeshEnabled is false',
  ),
  invalidUnless(
    '!has(self.communities) || size(self.communities) == 0 || ' +
      '(has(self.prefixAdvertisements) && size(self.prefixAdvertisements) > 0)',
    'communities are defined but not used in prefixAdvertisements',
  ),
);

export const BGPConfigurationSpec = Type.Object(
  {
    logSeverityScreen: Type.Optional(
      Type.String({
        pattern:
          '^([Tt]race|TRACE|[Dd]ebug|DEBUG|[Ii]nfo|INFO|[Ww]arning|WARNING|[Ee]rror|ERROR|[Ff]atal|FATAL)?$',
        crd: { default: 'Info', pattern: '^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$' },
      }),
    ),
    nodeToNodeMeshEnabled: Type.Optional(Type.Boolean()),
    asNumber: Type.Optional(AsNumber),
    serviceLoadBalancerIPs: Type.Optional(Blocks),
    serviceExternalIPs: Type.Optional(Blocks),
    serviceClusterIPs: Type.Optional(Blocks),
    serviceLoadBalancerAggregation: Type.Optional(
      Type.Enum(['Enabled', 'Disabled'], { crd: { default: 'Enabled' } }),
    ),
    communities: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 253 }),
            value: Type.String({
              format: 'community',
              maxLength: 40,
              crd: { pattern: '^(\\d+):(\\d+)$|^(\\d+):(\\d+):(\\d+)$' },
            }),
          },
          atomic,
        ),
        { maxItems: 500 },
      ),
    ),
    prefixAdvertisements: Type.Optional(
      Type.Array(
        Type.Object(
          {
            cidr: Type.String({ format: 'network', crd: { format: 'cidr' } }),
            /** Values, or names from `communities`. */
            communities: Type.Array(Type.String(), { minItems: 1, maxItems: 50 }),
          },
          atomic,
        ),
        { maxItems: 500 },
      ),
    ),
    listenPort: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
    nodeMeshPassword: Type.Optional(BGPPassword),
    nodeMeshMaxRestartTime: Type.Optional(Type.String({ format: 'duration' })),
    bindMode: Type.Optional(Type.Enum(['None', 'NodeIP'])),
    /** Names, with `*` at the end for a prefix; not `*` alone. */
    ignoredInterfaces: Type.Optional(
      Type.Array(Type.String({ pattern: '^[a-zA-Z0-9_.-]{1,15}\\*?$' }), { uniqueItems: true }),
    ),
    localWorkloadPeeringIPV4: Type.Optional(Type.String({ format: 'address-4' })),
    localWorkloadPeeringIPV6: Type.Optional(Type.String({ format: 'address-6' })),
    programClusterRoutes: Type.Optional(
      Type.Enum(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly']),
    ),
    ipv4NormalRoutePriority: Type.Optional(Type.Integer(ROUTE_PRIORITY)),
    ipv6NormalRoutePriority: Type.Optional(Type.Integer(ROUTE_PRIORITY)),
  },
  { crd: RULES },
);

export interface BGPConfiguration extends Resource {
  readonly kind: 'BGPConfiguration';
  readonly spec: Static<typeof BGPConfigurationSpec>;
}

export const bgpConfigurationKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'BGPConfiguration',
  plural: 'bgpconfigurations',
  singular: 'bgpconfiguration',
  shortNames: ['bgpconfig', 'bgpconfigs'],
  namespaced: false,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: BGPConfigurationSpec }),
  columns: [],
  check: (resource) => {
    const { metadata, spec } = resource as BGPConfiguration;
    // Upstream takes any name, and reads no other than these.
    const idle = perNodeNameProblem(metadata.name);
    const cautions = idle === undefined ? [] : [caution('metadata.name', idle)];
    return [...cautions, ...meshProblems(spec), ...communityProblems(spec)];
  },
};

function meshProblems(spec: BGPConfiguration['spec']): Problem[] {
  if (spec.nodeToNodeMeshEnabled !== false) return [];
  return (['nodeMeshPassword', 'nodeMeshMaxRestartTime'] as const).flatMap((field) =>
    spec[field] === undefined
      ? []
      : [fault(`spec.${field}`, 'has no effect with nodeToNodeMeshEnabled: false; remove one')],
  );
}

function communityProblems(spec: BGPConfiguration['spec']): Problem[] {
  const { communities = [], prefixAdvertisements = [] } = spec;
  const problems: Problem[] = [];
  if (communities.length > 0 && prefixAdvertisements.length === 0) {
    problems.push(fault('spec.communities', 'are used by no prefixAdvertisements; add some'));
  }
  const names = new Set(communities.map(({ name }) => name));
  for (const [index, advertisement] of prefixAdvertisements.entries()) {
    for (const [item, community] of advertisement.communities.entries()) {
      if (names.has(community) || formatProblem('community', community) === undefined) continue;
      const path = `spec.prefixAdvertisements[${index}].communities[${item}]`;
      problems.push(fault(path, `${quoted(community)} is no community and no name of one`));
    }
  }
  return problems;
}
