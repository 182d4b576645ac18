// HostEndpoint and Profile (spec 01, 1.2; spec 10).
import { invalidUnless, withRules } from './cel.ts';
import { ConditionsStatus } from './conditions.ts';
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, memberPath, quoted } from './problem.ts';
import { Protocol, Rule } from './rule.ts';
import { ruleProblems } from './rule-check.ts';
import { formatProblem, isLabelKey } from './formats.ts';

export const EndpointPort = Type.Object({
  name: Type.String({ format: 'port-name', minLength: 1 }),
  protocol: Protocol,
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
});
export type EndpointPort = Static<typeof EndpointPort>;

const RULES = withRules(
  invalidUnless(
    '(has(self.interfaceName) && size(self.interfaceName) > 0) || ' +
      '(has(self.expectedIPs) && size(self.expectedIPs) > 0)',
    'at least one of interfaceName or expectedIPs must be specified',
  ),
  invalidUnless('has(self.node) && size(self.node) > 0', 'node must be specified'),
);

const set = { crd: { 'x-kubernetes-list-type': 'set' } } as const;

export const HostEndpointSpec = Type.Object(
  {
    node: Type.Optional(Type.String({ format: 'subdomain', maxLength: 253 })),
    /** An interface of the node, or `*` for all of them. */
    interfaceName: Type.Optional(
      Type.String({ pattern: '^(\\*|[a-zA-Z0-9_.-]{1,15})$', maxLength: 15 }),
    ),
    expectedIPs: Type.Optional(Type.Array(Type.String({ format: 'address' }), set)),
    profiles: Type.Optional(Type.Array(Type.String({ format: 'subdomain' }), set)),
    ports: Type.Optional(Type.Array(EndpointPort)),
  },
  { crd: RULES },
);

export interface HostEndpoint extends Resource {
  readonly kind: 'HostEndpoint';
  readonly spec: Static<typeof HostEndpointSpec>;
  readonly status?: Static<typeof ConditionsStatus>;
}

export const ProfileSpec = Type.Object({
  ingress: Type.Optional(Type.Array(Rule)),
  egress: Type.Optional(Type.Array(Rule)),
  labelsToApply: Type.Optional(Type.Record(Type.String(), Type.String())),
});

export interface Profile extends Resource {
  readonly kind: 'Profile';
  readonly spec: Static<typeof ProfileSpec>;
}

const calico = {
  group: 'projectcalico.org',
  version: 'v3',
  namespaced: false,
  hasStatus: false,
} as const;

export const hostEndpointKind: KindDefinition = {
  ...calico,
  kind: 'HostEndpoint',
  plural: 'hostendpoints',
  singular: 'hostendpoint',
  shortNames: ['hep', 'heps'],
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: HostEndpointSpec,
    /** Condition `Enforced`: whether its node has it in force. */
    status: Type.Optional(ConditionsStatus),
  }),
  columns: [
    {
      name: 'Node',
      type: 'string',
      path: '.spec.node',
      priority: 0,
      description:
        'The node name identifying the Calico node instance that is targeted by this HostEndpoint',
    },
    {
      name: 'Interface',
      type: 'string',
      path: '.spec.interfaceName',
      priority: 0,
      description: 'The name of the interface that is targeted by this HostEndpoint',
    },
  ],
  check: (resource) => hostEndpointProblems(resource as HostEndpoint),
};

function hostEndpointProblems({ spec }: HostEndpoint): Problem[] {
  const problems: Problem[] = [];
  if (!spec.node)
    problems.push(fault('spec.node', 'is required: the node whose interface this is'));
  if (!spec.interfaceName && (spec.expectedIPs ?? []).length === 0) {
    problems.push(fault('spec', 'needs interfaceName or expectedIPs'));
  }
  return problems;
}

export const profileKind: KindDefinition = {
  ...calico,
  kind: 'Profile',
  plural: 'profiles',
  singular: 'profile',
  shortNames: [],
  schema: Type.Object({ metadata: ObjectMeta, spec: ProfileSpec }),
  columns: [],
  check: (resource) => profileProblems(resource as Profile),
};

function profileProblems({ spec }: Profile): Problem[] {
  const rules = (['ingress', 'egress'] as const).flatMap((direction) =>
    (spec[direction] ?? []).flatMap((rule, index) =>
      ruleProblems(rule, { path: `spec.${direction}[${index}]`, direction, namespaced: false }),
    ),
  );
  const labels = Object.entries(spec.labelsToApply ?? {}).flatMap(([key, value]) => {
    const path = memberPath('spec.labelsToApply', key);
    const valueProblem = formatProblem('label-value', value);
    return [
      ...(isLabelKey(key) ? [] : [fault(path, `${quoted(key)} is no label key`)]),
      ...(valueProblem === undefined ? [] : [fault(path, valueProblem)]),
    ];
  });
  return [...rules, ...labels];
}
