// The twin for tests: everything from nothing, by definition, with no memory of what was before.
import type {
  BGPConfiguration,
  EndpointSlice,
  FelixConfiguration,
  KubernetesNode,
  LiveMigration,
} from '#api';
import { AMBIENT_SET } from '../ambient-set.ts';
import { Configuration } from '../configuration.ts';
import type {
  DataplanePolicy,
  DataplaneState,
  HostEndpoint,
  IpSet,
  LocalEndpoint,
} from '../dataplane-update.ts';
import { policyKey } from '../dataplane-update.ts';
import { endpointToHostAction, hostSettings, serviceLoopPrevention } from '../host-settings.ts';
import type { IpSetDefinition } from '../ip-set-definition.ts';
import { refersTo } from '../migration-book.ts';
import { decodeMigration } from '../migration-decoder.ts';
import type { HostInterface, Labels, Workload } from '../model.ts';
import type { Topology } from '../network-graph.ts';
import { compileProfile, missingProfile } from '../profile-compiler.ts';
import type { CalcProblem } from '../problem-log.ts';
import type { Cluster } from './cluster.ts';
import { networkOf } from './network.ts';
import { effectiveLabels, membersOf, type Objects, objectsOf } from './objects.ts';
import { type Policies, policiesOf, tiersFor } from './policies.ts';

export interface Recomputed {
  readonly state: DataplaneState;
  readonly topology: Topology;
  readonly problems: readonly CalcProblem[];
}

export function recompute(hostname: string, cluster: Cluster): Recomputed {
  const objects = objectsOf(hostname, cluster);
  const policies = policiesOf(cluster);
  const parameters = configurationOf(hostname, cluster).parameters;
  const endpoints = objects.workloads
    .filter(({ node }) => node === hostname)
    .map((workload): LocalEndpoint => {
      const labels = effectiveLabels(workload, objects.profiles);
      return {
        id: workload.id,
        interfaceName: workload.interfaceName,
        addresses: workload.members,
        allowedSources: parameters.is('WorkloadSourceSpoofing', 'Any')
          ? workload.allowedSources
          : [],
        floatingAddresses: parameters.is('FloatingIPs', 'Enabled')
          ? workload.floatingAddresses
          : [],
        ingress: tiersFor(policies, labels, 'normal', 'ingress'),
        egress: tiersFor(policies, labels, 'normal', 'egress'),
        profiles: profileKeys(workload),
        ...migrationOf(workload, labels, cluster),
      };
    });
  const hostEndpoints = objects.hosts
    .filter(({ node }) => node === hostname)
    .map((host) => hostEndpointOf(host, policies, objects));
  const needed = neededRules(endpoints, hostEndpoints, policies, objects);
  const slices = cluster.list<EndpointSlice>('discovery.k8s.io/EndpointSlice');
  const definitions = new Map(needed.definitions.map((one) => [one.id, one]));
  if (parameters.is('IstioAmbientMode', 'Enabled')) definitions.set(AMBIENT_SET.id, AMBIENT_SET);
  const ipSets = [...definitions.values()].map((one) => ipSetOf(one, objects, slices));
  const network = networkOf(hostname, cluster, objects.workloads, parameters);
  return {
    state: {
      ipSets: new Map(ipSets.map((set) => [set.id, set])),
      policies: needed.policies,
      endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
      hostEndpoints: new Map(hostEndpoints.map((endpoint) => [endpoint.id, endpoint])),
      ...network.host,
      serviceLoopPrevention: serviceLoopPrevention(parameters, serviceNets(cluster)),
      endpointToHostAction: endpointToHostAction(parameters),
      settings: hostSettings(parameters),
    },
    topology: network.topology,
    problems: [
      ...objects.problems,
      ...policies.problems,
      ...needed.problems,
      ...parameters.problems.map(({ parameter, message }) => ({
        key: `parameter ${parameter}`,
        message,
      })),
    ],
  };
}

function configurationOf(hostname: string, cluster: Cluster): Configuration {
  const configuration = new Configuration(hostname, []);
  for (const one of cluster.list<FelixConfiguration>('projectcalico.org/FelixConfiguration')) {
    configuration.setResource(one.metadata.name, one);
  }
  const own = cluster
    .list<KubernetesNode>('/Node')
    .find(({ metadata }) => metadata.name === hostname);
  configuration.setNodeLabels(own?.metadata.labels ?? {});
  return configuration;
}

function migrationOf(
  workload: Workload,
  labels: Labels,
  cluster: Cluster,
): Pick<LocalEndpoint, 'migration'> {
  const all = cluster.list<LiveMigration>('projectcalico.org/LiveMigration').map(decodeMigration);
  const isTarget = all.some(
    ({ target, targetSelector }) =>
      (target && refersTo(target, workload)) || targetSelector?.evaluate(labels),
  );
  if (isTarget) return { migration: 'target' };
  const isSource = all.some(({ source }) => source && refersTo(source, workload));
  return isSource ? { migration: 'source' } : {};
}

function serviceNets(cluster: Cluster): string[] {
  return cluster
    .list<BGPConfiguration>('projectcalico.org/BGPConfiguration')
    .filter(({ metadata }) => metadata.name === 'default')
    .flatMap(({ spec }) => [
      ...(spec.serviceClusterIPs ?? []),
      ...(spec.serviceExternalIPs ?? []),
      ...(spec.serviceLoadBalancerIPs ?? []),
    ])
    .flatMap(({ cidr }) => cidr ?? []);
}

function profileKeys({ profiles }: Workload | HostInterface): string[] {
  return profiles.map((name) => policyKey({ kind: 'Profile', namespace: null, name }));
}

function hostEndpointOf(host: HostInterface, policies: Policies, objects: Objects): HostEndpoint {
  const labels = effectiveLabels(host, objects.profiles);
  const stage = (name: 'untracked' | 'forward' | 'normal') => ({
    ingress: tiersFor(policies, labels, name, 'ingress'),
    egress: tiersFor(policies, labels, name, 'egress'),
  });
  return {
    id: host.id,
    interfaceName: host.interfaceName,
    addresses: host.members.map((prefix) => prefix.split('/')[0] ?? ''),
    untracked: host.interfaceName === '*' ? { ingress: [], egress: [] } : stage('untracked'),
    preDnat: tiersFor(policies, labels, 'pre-dnat', 'ingress'),
    forward: stage('forward'),
    normal: stage('normal'),
    profiles: profileKeys(host),
  };
}

interface Needed {
  readonly policies: ReadonlyMap<string, DataplanePolicy>;
  readonly definitions: readonly IpSetDefinition[];
  readonly problems: readonly CalcProblem[];
}

function neededRules(
  endpoints: readonly LocalEndpoint[],
  hosts: readonly HostEndpoint[],
  { all }: Policies,
  { profiles }: Objects,
): Needed {
  const tiers = [
    ...endpoints.flatMap(({ ingress, egress }) => [...ingress, ...egress]),
    ...hosts.flatMap(({ untracked, preDnat, forward, normal }) => [
      ...preDnat,
      ...[untracked, forward, normal].flatMap(({ ingress, egress }) => [...ingress, ...egress]),
    ]),
  ];
  const used = new Set(tiers.flatMap((tier) => tier.policies));
  const rules = all
    .filter(({ id, always }) => always || used.has(policyKey(id)))
    .map(({ rules: policy, ipSets }) => ({ policy, ipSets, problems: [] as CalcProblem[] }));
  const names = new Set([...endpoints, ...hosts].flatMap((endpoint) => endpoint.profiles));
  const ofProfiles = [...names].map((key) => {
    const name = key.slice('Profile//'.length);
    const profile = profiles.get(name);
    if (!profile) return { policy: missingProfile(name), ipSets: new Map(), problems: [] };
    const { ingress = [], egress = [] } = profile.spec;
    return compileProfile(name, { ingress, egress });
  });
  const needed = [...rules, ...ofProfiles];
  return {
    policies: new Map(needed.map(({ policy }) => [policyKey(policy.id), policy])),
    definitions: needed.flatMap(({ ipSets }) => [...ipSets.values()]),
    problems: needed.flatMap(({ problems }) => problems),
  };
}

function ipSetOf(
  definition: IpSetDefinition,
  objects: Objects,
  slices: readonly EndpointSlice[],
): IpSet {
  const withPorts =
    definition.kind === 'named-port' || (definition.kind === 'service' && definition.withPorts);
  return {
    id: definition.id,
    type: withPorts ? 'ip-port' : 'net',
    members: membersOf(definition, objects, slices),
  };
}
