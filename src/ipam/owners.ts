// Who uses which address: pods, nodes' tunnels and services, as the cluster says it now.
import {
  type KubernetesNode,
  type Pod,
  podToWorkloadEndpoint,
  type Resource,
  type WorkloadEndpoint,
} from '#api';
import { formatAddress, isObject, parsePrefix } from '#lib';
import { TUNNELS } from './tunnel-addresses.ts';

export interface PodUse {
  /** `namespace/name`. */
  readonly key: string;
  readonly node: string;
  readonly addresses: readonly string[];
  /** Succeeded or failed: its addresses are nobody's. */
  readonly isFinished: boolean;
  /** The network plugin has said that it has none any more. */
  readonly isDetached: boolean;
}

export interface Use {
  readonly address: string;
  /** `Workload(namespace/name)`, `Node(name)`, `Service(namespace/name)`. */
  readonly who: string;
  readonly kind: 'workload' | 'node' | 'service';
}

const POD_IP = 'cni.projectcalico.org/podIP';

/** What policy and routing take to be the pod's (spec 06); undefined for one on its host's network. */
export function podUse(pod: Pod): PodUse | undefined {
  if (pod.spec.hostNetwork === true) return undefined;
  const { name, namespace = 'default', annotations } = pod.metadata;
  const endpoint = podToWorkloadEndpoint(pod, { unscheduled: true });
  const phase = isObject(pod.status) ? pod.status['phase'] : undefined;
  return {
    key: `${namespace}/${name}`,
    node: pod.spec.nodeName ?? '',
    addresses: (endpoint?.spec.ipNetworks ?? []).flatMap((text) => canonical(text) ?? []),
    isFinished: phase === 'Succeeded' || phase === 'Failed',
    isDetached: annotations?.[POD_IP] === '',
  };
}

/** Pods by what WorkloadEndpoint objects say of them, as other writers of the datastore leave them. */
export function endpointUses(endpoints: readonly WorkloadEndpoint[]): Map<string, PodUse> {
  const uses = new Map<string, PodUse>();
  for (const { metadata, spec } of endpoints) {
    if (!spec.pod) continue;
    const key = `${metadata.namespace ?? 'default'}/${spec.pod}`;
    const before = uses.get(key)?.addresses ?? [];
    const own = (spec.ipNetworks ?? []).flatMap((text) => canonical(text) ?? []);
    uses.set(key, {
      key,
      node: spec.node ?? '',
      addresses: [...before, ...own],
      isFinished: false,
      isDetached: false,
    });
  }
  return uses;
}

/** Every use of an address that anything claims. */
export function usesOf(
  pods: Iterable<PodUse>,
  nodes: readonly KubernetesNode[],
  services: readonly Resource[],
): Use[] {
  const uses: Use[] = [];
  for (const node of nodes) {
    for (const { annotation } of TUNNELS) {
      const address = canonical(node.metadata.annotations?.[annotation] ?? '');
      if (address) uses.push({ address, who: `Node(${node.metadata.name})`, kind: 'node' });
    }
  }
  for (const service of services) {
    const { name, namespace = 'default' } = service.metadata;
    for (const address of ingressAddresses(service)) {
      uses.push({ address, who: `Service(${namespace}/${name})`, kind: 'service' });
    }
  }
  for (const { key, addresses } of pods) {
    for (const address of addresses) {
      uses.push({ address, who: `Workload(${key})`, kind: 'workload' });
    }
  }
  return uses;
}

/** `status.loadBalancer.ingress[].ip`. */
function ingressAddresses(service: Resource & { readonly status?: unknown }): string[] {
  const { status } = service;
  const balancer = isObject(status) ? status['loadBalancer'] : undefined;
  const ingress = isObject(balancer) ? balancer['ingress'] : undefined;
  if (!Array.isArray(ingress)) return [];
  return ingress.flatMap((each) =>
    isObject(each) && typeof each['ip'] === 'string' ? (canonical(each['ip']) ?? []) : [],
  );
}

function canonical(text: string): string | undefined {
  const prefix = parsePrefix(text);
  return prefix && formatAddress(prefix);
}
