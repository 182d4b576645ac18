// Pods, nodes, host endpoints, network sets and profiles of the world, with their labels and addresses.
import { namespaceProfileName, namespaceToProfile, ownLabels, podToWorkloadEndpoint } from '#api';
import { isFinishedPod, podProblems, type Profile, serviceAccountToProfile } from '#api';
import type { HostEndpoint, NetworkSet, Pod, WorkloadEndpoint } from '#api';
import {
  type Address,
  compareCodePoints,
  maskPrefix,
  parseAddress,
  parsePrefix,
  type Prefix,
} from '#lib';
import type { Labels } from '#selector';
import { type HostInterface, ownAddresses, readInterfaces } from './node-interfaces.ts';
import { StandInAddresses } from './stand-in-addresses.ts';
import {
  addressKey,
  type LabelledObject,
  type NamedPort,
  protocolNumber,
} from './world-objects.ts';
import type { WorldProblem } from './world-problem.ts';
import { hostSettings } from './world-settings.ts';
import { namespaceOf, type ResourcesByKind } from './world-resources.ts';

/** A pod on the pod network. */
export interface Workload extends LabelledObject {
  readonly namespace: string;
  readonly pod: string;
  readonly node: string | undefined;
  readonly addresses: readonly Address[];
  /** That lead to it from outside where settings say so. */
  readonly floating: readonly Address[];
  /** Whether the addresses stand in for ones that the pod does not have yet. */
  readonly assumed: boolean;
  readonly profiles: readonly string[];
}

/** A machine of the cluster. */
export interface Host {
  readonly name: string;
  /** The first of a family is what it sends from. */
  readonly addresses: readonly Address[];
  /** Those that are known, but for the excluded; often none is. */
  readonly interfaces: readonly HostInterface[];
  readonly assumed: boolean;
}

/** A HostEndpoint. `interfaceName` `*` is every interface of the host. */
export interface HostEndpointObject extends LabelledObject {
  readonly node: string;
  readonly interfaceName: string | undefined;
  /** Whether the interface is a workload's, which no host endpoint governs. */
  readonly isWorkloads: boolean;
  readonly addresses: readonly Address[];
  readonly profiles: readonly string[];
}

export interface NetworkSetObject extends LabelledObject {
  readonly nets: readonly Prefix[];
}

type Report = (problem: WorldProblem) => void;

/** Always there (spec 02, 2.2: default with no policy). */
const DEFAULT_ALLOW: Profile = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'Profile',
  metadata: { name: 'projectcalico-default-allow' },
  spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
};

/**
 * Profiles by name. Namespaces and service accounts have theirs, and a namespace that something refers to
 * without its being given has too, with its names as the only labels.
 */
export function readProfiles(resources: ResourcesByKind): Map<string, Profile> {
  const profiles = new Map<string, Profile>();
  for (const profile of [DEFAULT_ALLOW, ...resources['projectcalico.org Profile']]) {
    profiles.set(profile.metadata.name, profile);
  }
  for (const account of resources['core ServiceAccount']) {
    const profile = serviceAccountToProfile(account);
    profiles.set(profile.metadata.name, profile);
  }
  const given = new Map(resources['core Namespace'].map((it) => [it.metadata.name, it]));
  const referred = [
    ...resources['core Pod'].map(namespaceOf),
    ...resources['projectcalico.org NetworkSet'].map(namespaceOf),
  ];
  for (const name of new Set([...given.keys(), ...referred])) {
    const labels = { ...given.get(name)?.metadata.labels, 'kubernetes.io/metadata.name': name };
    const profile = namespaceToProfile({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
    });
    profiles.set(profile.metadata.name, profile);
  }
  return profiles;
}

/** The object's own labels win over those of its profiles, the earlier profile over the later. */
function inherit(
  own: Labels,
  names: readonly string[],
  profiles: ReadonlyMap<string, Profile>,
): Labels {
  const inherited = [...names].reverse().map((name) => profiles.get(name)?.spec?.labelsToApply);
  return Object.assign({}, ...inherited, own);
}

/** The pods on the pod network, by `namespace/name`, and the nodes of those on the host's network. */
export interface Pods {
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly hostNetworked: ReadonlyMap<string, string>;
}

/** Finished pods are no endpoints: their addresses may be somebody else's by now. */
export function readPods(
  resources: ResourcesByKind,
  hosts: ReadonlyMap<string, Host>,
  profiles: ReadonlyMap<string, Profile>,
  report: Report,
): Pods {
  const hostNetworked = new Map<string, string>();
  const endpoints: { readonly pod: Pod; readonly endpoint: WorkloadEndpoint }[] = [];
  for (const pod of resources['core Pod']) {
    if (isFinishedPod(pod)) continue;
    const key = `${namespaceOf(pod)}/${pod.metadata.name}`;
    if (pod.spec.hostNetwork === true) hostNetworked.set(key, pod.spec.nodeName ?? '');
    const endpoint = podToWorkloadEndpoint(pod, { unscheduled: true });
    if (endpoint) endpoints.push({ pod, endpoint });
    for (const { path, message } of podProblems(pod, { unscheduled: true })) {
      report({ resource: `Pod ${key}`, path, message, fatal: false });
    }
  }
  const known = endpoints.flatMap(({ endpoint }) => networkAddresses(endpoint));
  const ofHosts = [...hosts.values()].flatMap((host) => host.addresses);
  const standIns = new StandInAddresses(poolPrefixes(resources), [...known, ...ofHosts]);
  const workloads = endpoints.map(({ pod, endpoint }) => {
    const addresses = networkAddresses(endpoint);
    const assumed = addresses.length === 0;
    return workload(pod, endpoint, profiles, {
      addresses: assumed ? standIns.forPod() : addresses,
      assumed,
    });
  });
  return { workloads: new Map(workloads.map((it) => [it.name, it])), hostNetworked };
}

function workload(
  pod: Pod,
  endpoint: WorkloadEndpoint,
  profiles: ReadonlyMap<string, Profile>,
  where: { readonly addresses: readonly Address[]; readonly assumed: boolean },
): Workload {
  const namespace = namespaceOf(pod);
  const names = endpoint.spec.profiles ?? [namespaceProfileName(namespace)];
  return {
    ...where,
    name: `${namespace}/${pod.metadata.name}`,
    namespace,
    pod: pod.metadata.name,
    node: endpoint.spec.node,
    floating: (endpoint.spec.ipNATs ?? []).flatMap((it) => parseAddress(it.externalIP) ?? []),
    labels: inherit(endpoint.metadata.labels ?? {}, names, profiles),
    ports: namedPorts(endpoint.spec.ports ?? []),
    profiles: names,
  };
}

function networkAddresses(endpoint: WorkloadEndpoint): Address[] {
  return (endpoint.spec.ipNetworks ?? []).flatMap((text) => parsePrefix(text) ?? []);
}

function poolPrefixes(resources: ResourcesByKind): Prefix[] {
  return resources['projectcalico.org IPPool']
    .filter((pool) => pool.spec.disabled !== true)
    .flatMap((pool) => parsePrefix(pool.spec.cidr) ?? []);
}

function namedPorts(
  ports: readonly { name: string; protocol: string | number; port: number }[],
): NamedPort[] {
  return ports.flatMap(({ name, protocol, port }) => {
    const number = protocolNumber(protocol);
    return number === undefined ? [] : [{ name, protocol: number, port }];
  });
}

/** Nodes given, and those that a pod or a host endpoint names. Addresses of interfaces come last. */
export function readHosts(
  resources: ResourcesByKind,
  report: Report = () => undefined,
): Map<string, Host> {
  const addresses = new Map<string, string[]>();
  const add = (name: string | undefined, texts: readonly (string | undefined)[]) => {
    if (name === undefined || name === '') return;
    const known = addresses.get(name) ?? [];
    addresses.set(name, [...known, ...texts.flatMap((text) => (text ? [text] : []))]);
  };
  for (const node of resources['projectcalico.org Node']) {
    const { bgp, addresses: others = [] } = node.spec ?? {};
    const texts = [bgp?.ipv4Address, bgp?.ipv6Address, ...others.map((it) => it.address)];
    add(node.metadata.name, texts);
  }
  for (const node of resources['core Node']) {
    const all = node.status?.addresses ?? [];
    const ofType = (type: string) => all.filter((it) => it.type === type).map((it) => it.address);
    add(node.metadata.name, [...ofType('InternalIP'), ...ofType('ExternalIP')]);
  }
  for (const pod of resources['core Pod']) {
    const own = pod.spec.hostNetwork === true ? (pod.status?.podIPs ?? []).map((it) => it.ip) : [];
    add(pod.spec.nodeName, own);
  }
  for (const endpoint of resources['projectcalico.org HostEndpoint']) {
    add(endpoint.spec.node, endpoint.spec.expectedIPs ?? []);
  }
  const interfaces = readInterfaces(resources, report);
  const onInterfaces = ownAddresses(interfaces);
  const standIns = new StandInAddresses([], []);
  const names = [...addresses.keys()].sort();
  const hosts = names.map((name): [string, Host] => {
    const listed = hostAddresses(addresses.get(name) ?? []);
    const known = new Set(listed.map(addressKey));
    const others = (onInterfaces.get(name) ?? []).filter((it) => !known.has(addressKey(it)));
    const all = [...listed, ...others];
    const assumed = all.length === 0;
    const own = withoutExcluded(interfaces.get(name) ?? [], resources, name);
    return [
      name,
      { name, assumed, addresses: assumed ? standIns.forNode() : all, interfaces: own },
    ];
  });
  return new Map(hosts);
}

function withoutExcluded(
  interfaces: readonly HostInterface[],
  resources: ResourcesByKind,
  node: string,
): readonly HostInterface[] {
  if (interfaces.length === 0) return interfaces;
  const { excludedInterfaces } = hostSettings(resources, node);
  return interfaces.filter(({ name }) => !excludedInterfaces.some((it) => it.test(name)));
}

function hostAddresses(texts: readonly string[]): Address[] {
  return texts.flatMap((text) => {
    const slash = text.indexOf('/');
    return parseAddress(slash < 0 ? text : text.slice(0, slash)) ?? [];
  });
}

/** By name: of several for one interface the first governs it. */
export function readHostEndpoints(
  resources: ResourcesByKind,
  profiles: ReadonlyMap<string, Profile>,
): HostEndpointObject[] {
  const sorted = resources['projectcalico.org HostEndpoint'].toSorted((a, b) =>
    compareCodePoints(a.metadata.name, b.metadata.name),
  );
  return sorted.map((endpoint: HostEndpoint) => {
    const { spec, metadata } = endpoint;
    const names = spec.profiles ?? [];
    const { workloadPrefixes } = hostSettings(resources, spec.node);
    return {
      name: `HostEndpoint ${metadata.name}`,
      node: spec.node ?? '',
      interfaceName: spec.interfaceName,
      isWorkloads: workloadPrefixes.some((prefix) => spec.interfaceName?.startsWith(prefix)),
      addresses: (spec.expectedIPs ?? []).flatMap((text) => parseAddress(text) ?? []),
      labels: inherit(metadata.labels ?? {}, names, profiles),
      ports: namedPorts(spec.ports ?? []),
      profiles: names,
    };
  });
}

/** A NetworkSet belongs to its namespace and inherits its labels; a global one has its own only. */
export function readNetworkSets(
  resources: ResourcesByKind,
  profiles: ReadonlyMap<string, Profile>,
  report: Report,
): NetworkSetObject[] {
  const read = (set: NetworkSet, name: string, labels: Labels): NetworkSetObject => ({
    name,
    labels,
    ports: [],
    nets: (set.spec?.nets ?? []).flatMap((text, index) => {
      const prefix = parsePrefix(text);
      if (prefix) return [maskPrefix(prefix)];
      const message = `"${text}" is no address or prefix`;
      report({ resource: name, path: `spec.nets[${index}]`, message, fatal: true });
      return [];
    }),
  });
  const namespaced = resources['projectcalico.org NetworkSet'].map((set) => {
    const namespace = namespaceOf(set);
    const own = { ...ownLabels(set.metadata.labels), 'projectcalico.org/namespace': namespace };
    const labels = inherit(own, [namespaceProfileName(namespace)], profiles);
    return read(set, `NetworkSet ${namespace}/${set.metadata.name}`, labels);
  });
  const global = resources['projectcalico.org GlobalNetworkSet'].map((set) =>
    read(set, `GlobalNetworkSet ${set.metadata.name}`, set.metadata.labels ?? {}),
  );
  return [...namespaced, ...global];
}
