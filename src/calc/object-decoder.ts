// What selectors match, read from resources: pods, host endpoints and network sets.
import {
  type HostEndpoint,
  namespaceProfileName,
  type NetworkSet,
  ownLabels,
  type Pod,
  podProblems,
  podToWorkloadEndpoint,
  type WorkloadEndpoint,
} from '#api';
import { formatPrefix, jsonEqual, maskPrefix, parsePrefix } from '#lib';
import type { HostInterface, LabelledObject, Labels, NamedPort, Workload } from './model.ts';
import type { CalcProblem } from './problem-log.ts';
import { NAMESPACE_LABEL } from './selector-scope.ts';

export interface DecodedPod {
  /** Undefined for a pod that is no endpoint, or has no address. */
  readonly workload: Workload | undefined;
  readonly problems: readonly CalcProblem[];
}

/** `hostname`: of the pods of other hosts all that matters here is what selectors and sets need. */
export function decodePod(pod: Pod, hostname: string): DecodedPod {
  const isLocal = pod.spec.nodeName === hostname;
  const endpoint = podToWorkloadEndpoint(pod, { unscheduled: true, withoutInterface: !isLocal });
  const id = `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;
  const problems =
    endpoint || pod.spec.hostNetwork === true ? [] : podProblems(pod, { unscheduled: true });
  return {
    workload: endpoint && workloadOf(id, endpoint),
    problems: problems.map(({ path, message }) => ({
      key: `Pod ${id}`,
      message: `${path}: ${message}`,
    })),
  };
}

function workloadOf(id: string, { metadata, spec }: WorkloadEndpoint): Workload | undefined {
  const { ipNetworks = [], profiles = [], interfaceName = '', ipNATs = [] } = spec;
  if (ipNetworks.length === 0) return undefined;
  return {
    id,
    node: spec.node,
    interfaceName,
    labels: metadata.labels ?? {},
    profiles,
    members: maskedPrefixes(ipNetworks),
    ports: namedPorts(spec.ports),
    allowedSources: maskedPrefixes(spec.allowSpoofedSourcePrefixes ?? NONE),
    floatingAddresses: ipNATs.length === 0 ? NONE : ipNATs.map(floatingAddress),
  };
}

function floatingAddress({ internalIP, externalIP }: IpNat) {
  return { external: externalIP, internal: internalIP };
}

export function decodeHostEndpoint({ metadata, spec }: HostEndpoint): HostInterface {
  return {
    id: metadata.name,
    node: spec.node ?? '',
    interfaceName: spec.interfaceName || null,
    labels: metadata.labels ?? {},
    profiles: spec.profiles ?? [],
    members: maskedPrefixes(spec.expectedIPs ?? []),
    ports: namedPorts(spec.ports),
  };
}

/** A set of a namespace also inherits what the pods of that namespace inherit from it. */
export function decodeNetworkSet({ metadata, spec }: NetworkSet): LabelledObject {
  const { namespace, labels = {} } = metadata;
  return {
    labels: namespace ? { ...ownLabels(labels), [NAMESPACE_LABEL]: namespace } : labels,
    profiles: namespace ? [namespaceProfileName(namespace)] : [],
    members: maskedPrefixes(spec?.nets ?? []),
    ports: NO_PORTS,
  };
}

const NO_PORTS: readonly NamedPort[] = [];
/** One list for all that have none: there may be a million of them. */
const NONE: readonly never[] = [];

type IpNat = NonNullable<WorkloadEndpoint['spec']['ipNATs']>[number];

/** Masked and without duplicates; what is no prefix is left out. */
function maskedPrefixes(texts: readonly string[]): readonly string[] {
  if (texts.length === 0) return NONE;
  const prefixes = texts.flatMap((text) => parsePrefix(text) ?? []);
  return [...new Set(prefixes.map((prefix) => formatPrefix(maskPrefix(prefix))))];
}

const PORT_PROTOCOLS: ReadonlyMap<string, string> = new Map([
  ['6', 'tcp'],
  ['17', 'udp'],
  ['132', 'sctp'],
]);

interface SpecPort {
  readonly name: string;
  readonly protocol: string | number;
  readonly port: number;
}

function namedPorts(ports: readonly SpecPort[] | undefined): readonly NamedPort[] {
  if (!ports || ports.length === 0) return NO_PORTS;
  return ports.flatMap(({ name, protocol, port }) => {
    const text = String(protocol).toLowerCase();
    return name === '' ? [] : [{ name, protocol: PORT_PROTOCOLS.get(text) ?? text, port }];
  });
}

/** The new object with every part of the old one that it equals; the old one where it equals all. */
export function reuse<T extends LabelledObject>(before: T | undefined, after: T): T {
  if (!before) return after;
  const labels = same<Labels>(before.labels, after.labels);
  const profiles = same(before.profiles, after.profiles);
  const members = same(before.members, after.members);
  const ports = same(before.ports, after.ports);
  const next = { ...after, labels, profiles, members, ports };
  return jsonEqual(before, next) ? before : next;
}

function same<V>(before: V, after: V): V {
  return jsonEqual(before, after) ? before : after;
}
