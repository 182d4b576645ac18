// The twin's labelled objects and the members that they give to IP sets, by definition and without an index.
import {
  type EndpointSlice,
  type HostEndpoint,
  type Namespace,
  namespaceToProfile,
  type NetworkSet,
  type Pod,
  type Profile,
  type ServiceAccount,
  serviceAccountToProfile,
} from '#api';
import { formatAddress, formatPrefix, hostPrefix, parseAddress, parsePrefix } from '#lib';
import { prefixContains } from '#lib';
import type { Labels } from '#selector';
import type { IpSetDefinition } from '../ip-set-definition.ts';
import type { HostInterface, LabelledObject, Workload } from '../model.ts';
import { decodeHostEndpoint, decodeNetworkSet, decodePod } from '../object-decoder.ts';
import type { CalcProblem } from '../problem-log.ts';
import type { Cluster } from './cluster.ts';

export interface Objects {
  readonly workloads: readonly Workload[];
  readonly hosts: readonly HostInterface[];
  readonly all: readonly LabelledObject[];
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly problems: readonly CalcProblem[];
}

export function objectsOf(hostname: string, cluster: Cluster): Objects {
  const pods = cluster.list<Pod>('/Pod').map((pod) => decodePod(pod, hostname));
  const workloads = pods.flatMap(({ workload }) => workload ?? []);
  const hosts = cluster
    .list<HostEndpoint>('projectcalico.org/HostEndpoint')
    .map(decodeHostEndpoint);
  const sets = ['NetworkSet', 'GlobalNetworkSet'].flatMap((kind) =>
    cluster.list<NetworkSet>(`projectcalico.org/${kind}`).map(decodeNetworkSet),
  );
  return {
    workloads,
    hosts,
    all: [...workloads, ...hosts, ...sets],
    profiles: profilesOf(cluster),
    problems: pods.flatMap(({ problems }) => problems),
  };
}

const DEFAULT_ALLOW: Profile = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'Profile',
  metadata: { name: 'projectcalico-default-allow' },
  spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
};

function profilesOf(cluster: Cluster): ReadonlyMap<string, Profile> {
  const profiles = [
    DEFAULT_ALLOW,
    ...cluster.list<Profile>('projectcalico.org/Profile'),
    ...cluster.list<Namespace>('/Namespace').map(namespaceToProfile),
    ...cluster.list<ServiceAccount>('/ServiceAccount').map(serviceAccountToProfile),
  ];
  return new Map(profiles.map((profile) => [profile.metadata.name, profile]));
}

/** The object's own label wins; among profiles the first named. */
export function effectiveLabels(
  { labels, profiles: names }: LabelledObject,
  profiles: ReadonlyMap<string, Profile>,
): Labels {
  const all: Record<string, string> = {};
  for (const name of [...names].reverse()) {
    Object.assign(all, profiles.get(name)?.spec.labelsToApply);
  }
  return Object.assign(all, labels);
}

export function membersOf(
  definition: IpSetDefinition,
  objects: Objects,
  slices: readonly EndpointSlice[],
): Set<string> {
  if (definition.kind === 'service') {
    const { service, withPorts } = definition;
    const members = slices
      .filter((slice) => serviceOf(slice) === service)
      .flatMap((slice) => sliceMembers(slice, withPorts));
    return new Set(members);
  }
  const matching = objects.all.filter((object) =>
    definition.selector.evaluate(effectiveLabels(object, objects.profiles)),
  );
  if (definition.kind === 'selector') {
    return widest(new Set(matching.flatMap(({ members }) => members)));
  }
  const members = matching.flatMap(({ members: prefixes, ports }) =>
    ports
      .filter(({ name, protocol }) => name === definition.port && protocol === definition.protocol)
      .flatMap(({ port }) =>
        prefixes.map((prefix) => `${prefix.split('/')[0]},${definition.protocol}:${port}`),
      ),
  );
  return new Set(members);
}

/** Without what a wider member contains. */
function widest(members: ReadonlySet<string>): Set<string> {
  const prefixes = [...members].map((member) => ({ member, prefix: parsePrefix(member) }));
  const shown = prefixes.filter(
    ({ prefix }) =>
      prefix &&
      !prefixes.some(
        ({ prefix: other }) =>
          other && other.length < prefix.length && prefixContains(other, prefix),
      ),
  );
  return new Set(shown.map(({ member }) => member));
}

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.['kubernetes.io/service-name'] ?? ''}`;
}

function sliceMembers({ endpoints, ports }: EndpointSlice, withPorts: boolean): string[] {
  const addresses = (endpoints ?? [])
    .flatMap((endpoint) => endpoint.addresses)
    .flatMap((text) => parseAddress(text) ?? []);
  if (!withPorts) return addresses.map((address) => formatPrefix(hostPrefix(address)));
  const numbered = (ports ?? []).filter(({ port }) => typeof port === 'number');
  return addresses.flatMap((address) =>
    numbered.map(
      ({ port, protocol = 'TCP' }) => `${formatAddress(address)},${protocol.toLowerCase()}:${port}`,
    ),
  );
}
