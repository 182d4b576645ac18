// A pod as the workload endpoint that policy protects (spec 01, 1.1: virtual resources; spec 06).
import {
  formatAddress,
  formatPrefix,
  familyBits,
  maskPrefix,
  parseAddress,
  parsePrefix,
  type Prefix,
  sha1Hex,
} from '#lib';
import type { Problem } from '../kind.ts';
import type { Container, Pod } from '../kubernetes.ts';
import type {
  QosControls,
  WorkloadEndpoint,
  WorkloadEndpointPort,
  WorkloadEndpointSpec,
} from '../workload-endpoint.ts';
import { namespaceProfileName } from './namespace-profile.ts';
import { ownLabels } from './own-labels.ts';
import { readQosControls } from './qos-annotations.ts';
import { serviceAccountProfileName } from './service-account-profile.ts';

const CNI = 'cni.projectcalico.org';
const NETWORK_STATUS = 'k8s.v1.cni.cncf.io/network-status';
/** The longest account name that still becomes a label value. */
const ACCOUNT_LABEL_MAX = 62;

/** The host's end of a pod's veth pair: `cali` and 11 hex digits of SHA-1 over `<namespace>.<pod>`. */
export function podInterfaceName(namespace: string, pod: string): string {
  return `cali${sha1Hex(`${namespace}.${pod}`).slice(0, 11)}`;
}

/** Whether the pod's addresses may belong to somebody else by now: it ended, or its network was torn down. */
export function isFinishedPod(pod: Pod): boolean {
  const phase = pod.status?.phase;
  if (phase === 'Succeeded' || phase === 'Failed') return true;
  return pod.metadata.deletionTimestamp !== undefined && annotation(pod, `${CNI}/podIP`) === '';
}

export interface PodConversion {
  /**
   * Whether a pod without a node is an endpoint too: manifests that are judged before anything runs
   * rarely name one. Upstream refuses such a pod.
   */
  readonly unscheduled?: boolean;
  /** Leaves the interface's name out, which takes a digest: only the pod's own host needs it. */
  readonly withoutInterface?: boolean;
}

/**
 * The pod's endpoint; undefined for a pod on its host's network, one without a node unless that is asked for,
 * and one whose annotations are malformed (see `podProblems`). A pod that has no address, or is finished, is an
 * endpoint without `ipNetworks`.
 */
export function podToWorkloadEndpoint(
  pod: Pod,
  conversion: PodConversion = {},
): WorkloadEndpoint | undefined {
  if (pod.spec.hostNetwork === true) return undefined;
  if (schedulingProblems(pod, conversion).length > 0) return undefined;
  const reader = new AnnotationReader(pod);
  const spec = endpointSpec(pod, reader, conversion);
  if (reader.problems.some(({ severity }) => severity === 'error')) return undefined;
  const { name, namespace = 'default', generateName, creationTimestamp } = pod.metadata;
  const networkStatus = annotation(pod, NETWORK_STATUS);
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      name: endpointName(pod.spec.nodeName, name),
      namespace,
      ...(generateName === undefined ? {} : { generateName }),
      ...(creationTimestamp ? { creationTimestamp } : {}),
      labels: endpointLabels(pod, namespace),
      ...(networkStatus === undefined ? {} : { annotations: { [NETWORK_STATUS]: networkStatus } }),
    },
    spec,
  };
}

/** What is malformed in a pod's addresses and annotations; with an error it is no endpoint. */
export function podProblems(pod: Pod, conversion: PodConversion = {}): readonly Problem[] {
  if (pod.spec.hostNetwork === true) return [];
  const reader = new AnnotationReader(pod);
  endpointSpec(pod, reader);
  return [...schedulingProblems(pod, conversion), ...reader.problems];
}

function schedulingProblems(pod: Pod, { unscheduled = false }: PodConversion): Problem[] {
  if (unscheduled || (pod.spec.nodeName ?? '') !== '') return [];
  const message = 'is missing: a pod that is not scheduled is no endpoint yet';
  return [{ path: 'spec.nodeName', message, severity: 'error' }];
}

function endpointSpec(
  pod: Pod,
  reader: AnnotationReader,
  { withoutInterface = false }: PodConversion = {},
): WorkloadEndpointSpec {
  const { name, namespace = 'default' } = pod.metadata;
  const { nodeName, serviceAccountName: account } = pod.spec;
  const networks = reader.networks();
  const nats = reader.floatingAddresses(networks);
  const sources = reader.allowedSources();
  const qosControls = reader.qosControls();
  const ports = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].flatMap(
    endpointPorts,
  );
  const hasAddress = networks.length > 0 && !isFinishedPod(pod);
  return {
    orchestrator: 'k8s',
    ...(nodeName ? { node: nodeName } : {}),
    pod: name,
    endpoint: 'eth0',
    ...(account ? { serviceAccountName: account } : {}),
    ...(hasAddress ? { ipNetworks: networks.map(formatPrefix) } : {}),
    ...(hasAddress && nats.length > 0 ? { ipNATs: nats } : {}),
    profiles: [
      namespaceProfileName(namespace),
      ...(account ? [serviceAccountProfileName(namespace, account)] : []),
    ],
    ...(withoutInterface ? {} : { interfaceName: podInterfaceName(namespace, name) }),
    ...(ports.length > 0 ? { ports } : {}),
    ...(sources.length > 0 ? { allowSpoofedSourcePrefixes: sources } : {}),
    ...(qosControls ? { qosControls } : {}),
  };
}

/** `<node>-k8s-<pod>-eth0` with every dash inside a part doubled, so that the parts can be told apart. */
function endpointName(node: string | undefined, pod: string): string {
  const parts = [...(node ? [node] : []), 'k8s', pod, 'eth0'];
  return parts.map((part) => part.replaceAll('-', '--')).join('-');
}

function endpointLabels(pod: Pod, namespace: string): Record<string, string> {
  const account = pod.spec.serviceAccountName;
  return {
    ...ownLabels(pod.metadata.labels),
    'projectcalico.org/namespace': namespace,
    'projectcalico.org/orchestrator': 'k8s',
    ...(account && account.length <= ACCOUNT_LABEL_MAX
      ? { 'projectcalico.org/serviceaccount': account }
      : {}),
  };
}

/** Ports with a name or a host port; protocols that policy does not know are left out. */
function endpointPorts(container: Container): WorkloadEndpointPort[] {
  return (container.ports ?? []).flatMap((port) => {
    const { name = '', containerPort, protocol = 'TCP', hostPort, hostIP } = port;
    if (name === '' && !hostPort) return [];
    if (!['TCP', 'UDP', 'SCTP'].includes(protocol)) return [];
    return [
      {
        name,
        port: containerPort,
        protocol,
        ...(hostPort ? { hostPort } : {}),
        ...(hostIP ? { hostIP } : {}),
      },
    ];
  });
}

function annotation(pod: Pod, key: string): string | undefined {
  const { annotations } = pod.metadata;
  return annotations && Object.hasOwn(annotations, key) ? annotations[key] : undefined;
}

/** Reads what a pod says about its addresses, and notes what it cannot read. */
class AnnotationReader {
  readonly problems: Problem[] = [];
  readonly #pod: Pod;

  constructor(pod: Pod) {
    this.#pod = pod;
  }

  /**
   * The pod's host prefixes: from its status, else from the CNI plugin's annotations (which are there before the
   * kubelet reports), else the addresses that the manifest asks for.
   */
  networks(): Prefix[] {
    const { path, texts } = this.#addressTexts();
    const prefixes: Prefix[] = [];
    for (const text of texts) {
      const prefix = parsePrefix(text);
      if (prefix && prefix.length === familyBits(prefix.family)) prefixes.push(prefix);
      else this.#problem(path, `${JSON.stringify(text)} is no address of one pod`);
    }
    return prefixes;
  }

  #addressTexts(): { path: string; texts: readonly string[] } {
    const status = this.#pod.status;
    if (status?.podIPs && status.podIPs.length > 0) {
      return { path: 'status.podIPs', texts: status.podIPs.map(({ ip }) => ip) };
    }
    if (status?.podIP) return { path: 'status.podIP', texts: [status.podIP] };
    for (const key of [`${CNI}/podIPs`, `${CNI}/podIP`, 'vpc.amazonaws.com/pod-ips']) {
      const text = annotation(this.#pod, key);
      if (text) return { path: annotationPath(key), texts: text.split(',') };
    }
    const key = `${CNI}/ipAddrs`;
    return { path: annotationPath(key), texts: this.#list(key) };
  }

  /** Each floating address with the pod's first address of its family. */
  floatingAddresses(networks: readonly Prefix[]): { internalIP: string; externalIP: string }[] {
    const key = `${CNI}/floatingIPs`;
    return this.#list(key).flatMap((text) => {
      const external = parseAddress(text);
      if (!external) this.#problem(annotationPath(key), `${JSON.stringify(text)} is no address`);
      const internal = networks.find((network) => network.family === external?.family);
      if (!external || !internal) return [];
      return [{ internalIP: formatAddress(internal), externalIP: formatAddress(external) }];
    });
  }

  /** Masked prefixes that the pod may send from besides its own. */
  allowedSources(): string[] {
    const key = `${CNI}/allowedSourcePrefixes`;
    return this.#list(key).flatMap((text) => {
      const prefix = parsePrefix(text);
      if (prefix) return [formatPrefix(maskPrefix(prefix))];
      this.#problem(annotationPath(key), `${JSON.stringify(text)} is no CIDR`);
      return [];
    });
  }

  /** Limits of the pod's traffic. */
  qosControls(): QosControls | undefined {
    const { controls, problems } = readQosControls(this.#pod.metadata.annotations ?? {});
    this.problems.push(...problems);
    return controls;
  }

  /** An annotation that holds a JSON list of texts; empty where there is none. */
  #list(key: string): readonly string[] {
    const text = annotation(this.#pod, key);
    if (!text) return [];
    const value = parseJson(text);
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    this.#problem(annotationPath(key), `${JSON.stringify(text)} is no JSON list of texts`);
    return [];
  }

  #problem(path: string, message: string): void {
    this.problems.push({ path, message, severity: 'error' });
  }
}

function annotationPath(key: string): string {
  return `metadata.annotations[${JSON.stringify(key)}]`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
