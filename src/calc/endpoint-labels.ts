// Every object that selectors can match, with its own labels and those that its profiles lend it.
import {
  type HostEndpoint,
  namespaceProfileName,
  type NetworkSet,
  type Pod,
  podProblems,
  podToWorkloadEndpoint,
  type Profile,
  type WorkloadEndpoint,
} from '#api';
import { formatPrefix, maskPrefix, parsePrefix, type Prefix } from '#lib';
import type { Labels } from '#selector';
import type { ClusterInputs } from './cluster-inputs.ts';
import type { LabelledObject, PortMember } from './ip-set-index.ts';
import type { CalcProblem } from './problem-log.ts';
import { NAMESPACE_LABEL } from './selector-scope.ts';
import { memoize } from './shared-values.ts';

/** A workload endpoint that has addresses. */
export interface Workload extends LabelledObject {
  /** `namespace/pod`. */
  readonly id: string;
  readonly node: string | undefined;
  readonly interfaceName: string;
  readonly profiles: readonly string[];
}

export interface LabelledObjects {
  readonly workloads: readonly Workload[];
  /** Host endpoints and network sets. */
  readonly others: readonly LabelledObject[];
  readonly problems: readonly CalcProblem[];
}

type Profiles = ReadonlyMap<string, Profile>;

export class EndpointLabels {
  readonly #convert = memoize((pod: Pod) => ({
    endpoint: podToWorkloadEndpoint(pod, { unscheduled: true }),
    problems: podProblems(pod, { unscheduled: true }),
  }));

  objects(inputs: ClusterInputs, profiles: Profiles): LabelledObjects {
    const workloads: Workload[] = [];
    const problems: CalcProblem[] = [];
    for (const pod of inputs.list('/Pod')) {
      const { endpoint, problems: found } = this.#convert(pod);
      const id = `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;
      for (const { path, message } of found) {
        problems.push({ key: `Pod ${id}`, message: `${path}: ${message}` });
      }
      const workload = endpoint && workloadOf(id, endpoint, profiles);
      if (workload) workloads.push(workload);
    }
    const others = [
      ...inputs.list('projectcalico.org/HostEndpoint').map((it) => hostObject(it, profiles)),
      ...inputs.list('projectcalico.org/NetworkSet').map((it) => networkSet(it, profiles)),
      ...inputs.list('projectcalico.org/GlobalNetworkSet').map((it) => networkSet(it, profiles)),
    ];
    return { workloads, others, problems };
  }
}

function workloadOf(
  id: string,
  { metadata, spec }: WorkloadEndpoint,
  profiles: Profiles,
): Workload | undefined {
  const { ipNetworks = [], profiles: names = [], interfaceName } = spec;
  if (ipNetworks.length === 0 || interfaceName === undefined) return undefined;
  const prefixes = parsePrefixes(ipNetworks);
  return {
    id,
    node: spec.node,
    interfaceName,
    profiles: names,
    labels: withInherited(metadata.labels, names, profiles),
    members: prefixes.map(formatPrefix),
    portMembers: portMembers(spec.ports, prefixes),
  };
}

function hostObject({ metadata, spec }: HostEndpoint, profiles: Profiles): LabelledObject {
  const prefixes = parsePrefixes(spec.expectedIPs ?? []);
  return {
    labels: withInherited(metadata.labels, spec.profiles ?? [], profiles),
    members: prefixes.map(formatPrefix),
    portMembers: portMembers(spec.ports, prefixes),
  };
}

/** A set of a namespace also inherits what the pods of that namespace inherit from it. */
function networkSet({ metadata, spec }: NetworkSet, profiles: Profiles): LabelledObject {
  const { namespace, labels } = metadata;
  const own = namespace ? { ...labels, [NAMESPACE_LABEL]: namespace } : labels;
  const names = namespace ? [namespaceProfileName(namespace)] : [];
  return {
    labels: withInherited(own, names, profiles),
    members: parsePrefixes(spec?.nets ?? []).map(formatPrefix),
    portMembers: [],
  };
}

/** The object's own label wins; among profiles the first named. */
function withInherited(
  own: Labels | undefined,
  names: readonly string[],
  profiles: Profiles,
): Labels {
  const labels: Record<string, string> = {};
  for (const name of [...names].reverse()) {
    Object.assign(labels, profiles.get(name)?.spec.labelsToApply);
  }
  return Object.assign(labels, own);
}

/** Masked and without duplicates; what is no prefix gives no member. */
function parsePrefixes(texts: readonly string[]): Prefix[] {
  const prefixes = new Map<string, Prefix>();
  for (const text of texts) {
    const prefix = parsePrefix(text);
    if (!prefix) continue;
    const masked = maskPrefix(prefix);
    prefixes.set(formatPrefix(masked), masked);
  }
  return [...prefixes.values()];
}

interface NamedPort {
  readonly name: string;
  readonly protocol: string | number;
  readonly port: number;
}

const PORT_PROTOCOL_NAMES: ReadonlyMap<string, string> = new Map([
  ['6', 'tcp'],
  ['17', 'udp'],
  ['132', 'sctp'],
]);

function portMembers(
  ports: readonly NamedPort[] | undefined,
  prefixes: readonly Prefix[],
): PortMember[] {
  return (ports ?? []).flatMap(({ name, protocol, port }) => {
    const text = String(protocol).toLowerCase();
    const protocolName = PORT_PROTOCOL_NAMES.get(text) ?? text;
    if (name === '') return [];
    return prefixes.map((prefix) => ({
      name,
      protocol: protocolName,
      member: `${formatPrefix(prefix).replace(/\/.*$/, '')},${protocolName}:${port}`,
    }));
  });
}
