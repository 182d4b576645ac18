// Policies that cut pods off from what almost every pod needs: the cluster's DNS and the API server.
import type { Pod, Resource } from '#api';
import { compareCodePoints } from '#lib';
import type { Packet, Party } from '../packet.ts';
import { PROTOCOL_NUMBERS } from '../packet.ts';
import type { World } from '../world.ts';
import type { Workload } from '../world-endpoints.ts';
import { namespaceOf, type ResourcesByKind } from '../world-resources.ts';
import { type Denial, denialOf, FindingsByField, someNames } from './denial.ts';
import type { Finding } from './finding.ts';

const DNS_APPS = ['kube-dns', 'coredns'];
const SYSTEM_NAMESPACES = ['kube-system', 'calico-system', 'calico-apiserver', 'tigera-operator'];
const API_PORTS = [6443, 443];
const DNS_SERVERS_MAX = 2;
const STAND_IN = 'kube-system/coredns-stand-in';

export function isDnsPod({ metadata }: Resource): boolean {
  return DNS_APPS.includes(metadata.labels?.['k8s-app'] ?? '');
}

/** What every cluster has, for manifests that leave it out: one DNS server as Kubernetes labels them. */
export function dnsStandIn(resources: ResourcesByKind): Resource[] {
  if (resources['core Pod'].some(isDnsPod)) return [];
  const name = 'kube-system';
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
  const ports = [
    { name: 'dns', containerPort: 53, protocol: 'UDP' },
    { name: 'dns-tcp', containerPort: 53, protocol: 'TCP' },
  ];
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'coredns-stand-in', namespace: name, labels: { 'k8s-app': 'kube-dns' } },
    spec: { containers: [{ name: 'coredns', ports }] },
  };
  const known = resources['core Namespace'].some((it) => it.metadata.name === name);
  return known ? [pod] : [namespace, pod];
}

/** What the checks of this file ask about. `world` has the stand-in. */
export interface Surroundings {
  readonly world: World;
  readonly resources: ResourcesByKind;
  /** Addresses where anything may be whose address is not known. */
  readonly somewhere: readonly Party[];
}

/** Pods with the same labels meet the same policies: one is asked for all. */
interface Group {
  readonly workload: Workload;
  readonly names: string[];
}

export function cutServices(surroundings: Surroundings): Finding[] {
  const { world } = surroundings;
  const groups = new Map<string, Group>();
  for (const workload of world.workloads.values()) {
    if (DNS_APPS.includes(workload.labels['k8s-app'] ?? '')) continue;
    const key = JSON.stringify([
      workload.namespace,
      Object.entries(workload.labels).sort(([a], [b]) => compareCodePoints(a, b)),
    ]);
    const known = groups.get(key);
    if (known) known.names.push(workload.name);
    else groups.set(key, { workload, names: [workload.name] });
  }
  const findings = new FindingsByField();
  for (const group of groups.values()) {
    checkDns(group, surroundings, findings);
    checkApiServer(group, surroundings, findings);
  }
  return findings.all();
}

function partyOf({ namespace, pod }: Workload): Party {
  return { type: 'workload', namespace, name: pod };
}

function checkDns(
  { workload, names }: Group,
  { world }: Surroundings,
  findings: FindingsByField,
): void {
  const servers = [...world.workloads.values()]
    .filter(({ labels }) => DNS_APPS.includes(labels['k8s-app'] ?? ''))
    .slice(0, DNS_SERVERS_MAX);
  const [protocol, port] = [PROTOCOL_NUMBERS.udp, 53];
  const packets = servers.map((it) => ({
    from: partyOf(workload),
    to: partyOf(it),
    protocol,
    port,
  }));
  const denial = deniedAll(world, packets);
  if (!denial) return;
  const { object, path, direction, because } = denial;
  const denied = `is denied at ${direction} (${because})`;
  const isolated = direction === 'egress' && !hasAllowedEgress(world, workload);
  const server = servers[0]?.name === STAND_IN ? 'the DNS pods of kube-system' : servers[0]?.name;
  findings.add(`dns ${object} ${path} ${isolated}`, names, (all) => ({
    check: 'cuts-dns',
    severity: isolated ? 'warning' : 'error',
    object,
    path,
    reason: `${someNames(all)} cannot resolve names: UDP port 53 to ${server ?? 'DNS'} ${denied}`,
    advice: `add an ${direction} rule that allows UDP and TCP port 53 to the pods labelled k8s-app=kube-dns`,
  }));
}

/** Where policy lets nothing out at all, the pod is meant to be alone. */
function hasAllowedEgress(world: World, workload: Workload): boolean {
  return world
    .tiersFor(workload, 'egress', 'normal')
    .flatMap(({ policies }) => policies)
    .some(({ excluded, rules }) => !excluded && rules.some(({ action }) => action === 'Allow'));
}

/** The denial of the first, if none of the packets may pass and a policy is to blame. */
function deniedAll(
  world: World,
  packets: readonly Packet[],
): (Denial & { readonly object: string }) | undefined {
  let first: Denial | undefined;
  for (const packet of packets) {
    const denial = denialOf(world, packet);
    if (denial === 'allowed') return undefined;
    first ??= denial;
  }
  if (first?.object === undefined) return undefined;
  return { ...first, object: first.object };
}

function checkApiServer(
  { workload, names }: Group,
  { world, resources, somewhere }: Surroundings,
  findings: FindingsByField,
): void {
  const isSystem = SYSTEM_NAMESPACES.includes(workload.namespace);
  const account = workload.labels['projectcalico.org/serviceaccount'] ?? 'default';
  if (!isSystem && account === 'default') return;
  const known = apiServers(resources);
  const places =
    known.length > 0
      ? known
      : somewhere.flatMap((it) => API_PORTS.map((port) => ({ party: it, port })));
  const from = partyOf(workload);
  const protocol = PROTOCOL_NUMBERS.tcp;
  const packets = places.map(({ party, port }) => ({ from, to: party, protocol, port }));
  const denial = deniedAll(world, packets);
  if (!denial) return;
  const { object, path, direction, because } = denial;
  const denied = `TCP port ${places[0]?.port ?? 0} is denied at ${direction} (${because})`;
  const whose = isSystem ? 'system pods' : 'pods with a service account of their own';
  findings.add(`api ${object} ${path} ${isSystem}`, names, (all) => ({
    check: 'cuts-api-server',
    severity: isSystem ? 'error' : 'warning',
    object,
    path,
    reason: `${someNames(all)}, ${whose}, cannot reach the API server: ${denied}`,
    advice: `add an ${direction} rule that allows it, or do not select these pods`,
  }));
}

interface ApiServer {
  readonly party: Party;
  readonly port: number;
}

/** From the endpoints of service default/kubernetes, else the API server's own pods, else the control plane's nodes. */
export function apiServers(resources: ResourcesByKind): ApiServer[] {
  const byEndpoint = resources['discovery.k8s.io EndpointSlice']
    .filter(
      (slice) =>
        namespaceOf(slice) === 'default' &&
        slice.metadata.labels?.['kubernetes.io/service-name'] === 'kubernetes',
    )
    .flatMap((slice) => {
      const port = (slice.ports ?? []).find((it) => typeof it.port === 'number')?.port ?? 6443;
      const addresses = (slice.endpoints ?? []).flatMap((it) => it.addresses);
      return addresses.map((address): ApiServer => ({ party: { type: 'address', address }, port }));
    });
  if (byEndpoint.length > 0) return byEndpoint;
  const onNode = (name: string): ApiServer => ({ party: { type: 'node', name }, port: 6443 });
  const byPod = resources['core Pod']
    .filter((pod: Pod) => pod.metadata.labels?.['component'] === 'kube-apiserver')
    .flatMap((pod) => (pod.spec.nodeName ? [onNode(pod.spec.nodeName)] : []));
  if (byPod.length > 0) return byPod;
  return resources['core Node']
    .filter(
      ({ metadata }) => metadata.labels?.['node-role.kubernetes.io/control-plane'] !== undefined,
    )
    .map(({ metadata }) => onNode(metadata.name));
}
