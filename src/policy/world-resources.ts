// Sorts a mix of Kubernetes and Calico resources by kind; what policy does not read is left out.
import type {
  ClusterNetworkPolicy,
  EndpointSlice,
  FelixConfiguration,
  GlobalNetworkPolicy,
  HostEndpoint,
  IPPool,
  KubernetesNetworkPolicy,
  KubernetesNode,
  Namespace,
  NetworkPolicy,
  NetworkSet,
  Pod,
  Profile,
  Resource,
  Service,
  ServiceAccount,
  Tier,
} from '#api';
import { compareCodePoints } from '#lib';

/** Calico's own Node, `projectcalico.org/v3`. */
export interface CalicoNode extends Resource {
  readonly spec?: {
    readonly bgp?: { readonly ipv4Address?: string; readonly ipv6Address?: string };
    readonly addresses?: readonly { readonly address: string; readonly type?: string }[];
    readonly interfaces?: readonly {
      readonly name?: string;
      readonly addresses?: readonly string[];
    }[];
  };
}

/** A staged policy has the fields of the one that it stages, and what would become of that. */
export type Staged<P> = P & { readonly spec?: { readonly stagedAction?: string } };

/** A row a kind: `group kind`, whatever the version, and where its resources go. */
export interface ResourcesByKind {
  readonly 'core Namespace': Namespace[];
  readonly 'core Pod': Pod[];
  readonly 'core Node': KubernetesNode[];
  readonly 'core Service': Service[];
  readonly 'core ServiceAccount': ServiceAccount[];
  readonly 'discovery.k8s.io EndpointSlice': EndpointSlice[];
  readonly 'networking.k8s.io NetworkPolicy': KubernetesNetworkPolicy[];
  readonly 'policy.networking.k8s.io ClusterNetworkPolicy': ClusterNetworkPolicy[];
  readonly 'projectcalico.org Node': CalicoNode[];
  readonly 'projectcalico.org Tier': Tier[];
  readonly 'projectcalico.org NetworkPolicy': NetworkPolicy[];
  readonly 'projectcalico.org GlobalNetworkPolicy': GlobalNetworkPolicy[];
  readonly 'projectcalico.org StagedNetworkPolicy': Staged<NetworkPolicy>[];
  readonly 'projectcalico.org StagedGlobalNetworkPolicy': Staged<GlobalNetworkPolicy>[];
  readonly 'projectcalico.org StagedKubernetesNetworkPolicy': Staged<KubernetesNetworkPolicy>[];
  readonly 'projectcalico.org NetworkSet': NetworkSet[];
  readonly 'projectcalico.org GlobalNetworkSet': NetworkSet[];
  readonly 'projectcalico.org HostEndpoint': HostEndpoint[];
  readonly 'projectcalico.org Profile': Profile[];
  readonly 'projectcalico.org IPPool': IPPool[];
  readonly 'projectcalico.org FelixConfiguration': FelixConfiguration[];
}

function emptyTable(): ResourcesByKind {
  return {
    'core Namespace': [],
    'core Pod': [],
    'core Node': [],
    'core Service': [],
    'core ServiceAccount': [],
    'discovery.k8s.io EndpointSlice': [],
    'networking.k8s.io NetworkPolicy': [],
    'policy.networking.k8s.io ClusterNetworkPolicy': [],
    'projectcalico.org Node': [],
    'projectcalico.org Tier': [],
    'projectcalico.org NetworkPolicy': [],
    'projectcalico.org GlobalNetworkPolicy': [],
    'projectcalico.org StagedNetworkPolicy': [],
    'projectcalico.org StagedGlobalNetworkPolicy': [],
    'projectcalico.org StagedKubernetesNetworkPolicy': [],
    'projectcalico.org NetworkSet': [],
    'projectcalico.org GlobalNetworkSet': [],
    'projectcalico.org HostEndpoint': [],
    'projectcalico.org Profile': [],
    'projectcalico.org IPPool': [],
    'projectcalico.org FelixConfiguration': [],
  };
}

/**
 * Each list is in the order of namespace and name, so that the order of the input cannot matter. Of two
 * resources of one kind and name the later counts, as when both are applied.
 */
export function resourcesByKind(resources: Iterable<Resource>): ResourcesByKind {
  const byIdentity = new Map<string, Resource>();
  for (const resource of resources) {
    byIdentity.set(`${kindKey(resource)} ${sortKey(resource)}`, resource);
  }
  const table = emptyTable();
  const lists = new Map<string, Resource[]>(Object.entries(table));
  for (const resource of byIdentity.values()) lists.get(kindKey(resource))?.push(resource);
  for (const list of lists.values()) {
    list.sort((a, b) => compareCodePoints(sortKey(a), sortKey(b)));
  }
  return table;
}

function kindKey(resource: Resource): string {
  return `${groupOf(resource.apiVersion)} ${resource.kind}`;
}

function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/');
  if (slash < 0) return 'core';
  const group = apiVersion.slice(0, slash);
  return group === 'crd.projectcalico.org' ? 'projectcalico.org' : group;
}

function sortKey(resource: Resource): string {
  return `${namespaceOf(resource)}/${resource.metadata.name}`;
}

/** A namespaced resource without namespace is in `default`, as kubectl has it. */
export function namespaceOf(resource: Resource): string {
  return resource.metadata.namespace ?? 'default';
}
