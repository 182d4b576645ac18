// KubeControllersConfiguration: what the cluster-wide controllers do (spec 01, 1.2).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { annotationProblems } from './metadata-check.ts';
import { singletonNameProblem } from './name-check.ts';

const Duration = Type.String({ format: 'duration' });
const Toggle = Type.Enum(['Enabled', 'Disabled']);
const Reconciler = Type.Object({ reconcilerPeriod: Type.Optional(Duration) });

const HostEndpointTemplate = Type.Object({
  generateName: Type.Optional(Type.String({ format: 'subdomain', maxLength: 253 })),
  interfaceCIDRs: Type.Optional(
    Type.Array(Type.String({ format: 'network' }), { uniqueItems: true }),
  ),
  interfacePattern: Type.Optional(Type.String()),
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
  nodeSelector: Type.Optional(Type.String({ format: 'selector' })),
});

const NodeController = Type.Object({
  reconcilerPeriod: Type.Optional(Duration),
  syncLabels: Type.Optional(Toggle),
  leakGracePeriod: Type.Optional(Duration),
  hostEndpoint: Type.Optional(
    Type.Object({
      autoCreate: Type.Optional(Toggle),
      createDefaultHostEndpoint: Type.Optional(Toggle),
      templates: Type.Optional(Type.Array(HostEndpointTemplate)),
    }),
  ),
});

export const KubeControllersConfigurationSpec = Type.Object(
  {
    logSeverityScreen: Type.Optional(
      Type.Enum(['None', 'Debug', 'Info', 'Warning', 'Error', 'Fatal', 'Panic']),
    ),
    healthChecks: Type.Optional(
      Type.Enum(['Enabled', 'Disabled'], { crd: { default: 'Enabled' } }),
    ),
    prometheusMetricsPort: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
    debugProfilePort: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 65535, crd: { format: 'int32' } }),
    ),
    etcdV3CompactionPeriod: Type.Optional(Duration),
    controllers: Type.Optional(
      Type.Object({
        node: Type.Optional(NodeController),
        policy: Type.Optional(Reconciler),
        workloadEndpoint: Type.Optional(Reconciler),
        serviceAccount: Type.Optional(Reconciler),
        namespace: Type.Optional(Reconciler),
        loadBalancer: Type.Optional(
          Type.Object({
            assignIPs: Type.Optional(
              Type.Enum(['AllServices', 'RequestedServicesOnly'], {
                crd: { default: 'AllServices' },
              }),
            ),
          }),
        ),
        migration: Type.Optional(
          Type.Object({
            policyNameMigrator: Type.Optional(
              Type.Enum(['Disabled', 'Enabled'], { crd: { default: 'Enabled' } }),
            ),
          }),
        ),
      }),
    ),
  },
  { crd: { required: ['controllers'] } },
);

/** What the controllers run with, environment included. */
const KubeControllersConfigurationStatus = Type.Object({
  runningConfig: Type.Optional(KubeControllersConfigurationSpec),
  environmentVars: Type.Optional(Type.Record(Type.String(), Type.String())),
});

export interface KubeControllersConfiguration extends Resource {
  readonly kind: 'KubeControllersConfiguration';
  readonly spec: Static<typeof KubeControllersConfigurationSpec>;
}

export const kubeControllersConfigurationKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'KubeControllersConfiguration',
  plural: 'kubecontrollersconfigurations',
  singular: 'kubecontrollersconfiguration',
  shortNames: ['kcc', 'kccs', 'kcconfig'],
  namespaced: false,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: KubeControllersConfigurationSpec,
    status: Type.Optional(KubeControllersConfigurationStatus),
  }),
  columns: [],
  nameProblem: singletonNameProblem,
  check: (resource) => templateProblems(resource as KubeControllersConfiguration),
};

function templateProblems({ spec }: KubeControllersConfiguration): Problem[] {
  const templates = spec.controllers?.node?.hostEndpoint?.templates ?? [];
  return templates.flatMap(({ annotations }, index) => {
    const path = `spec.controllers.node.hostEndpoint.templates[${index}].annotations`;
    return annotationProblems(annotations, path);
  });
}
