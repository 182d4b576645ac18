// Who has an address: pods, hosts and network sets by address (spec 12, 12.2: endpoint types).
import {
  type EndpointSlice,
  type HostEndpoint,
  type KubernetesNode,
  type NetworkSet,
  type Pod,
  podToWorkloadEndpoint,
  type Resource,
  type Service,
} from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import {
  type Address,
  compareCodePoints,
  formatAddress,
  formatPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
} from '#lib';
import { ServiceDirectory } from './directory-services.ts';
import type { FlowEnd } from './flow.ts';
import { PrefixIndex } from './prefix-index.ts';

/** A flow's end without the address that was asked for. */
type Owner = Omit<FlowEnd, 'address'>;

interface AddressOwner {
  readonly owner: Owner;
  readonly node: string | undefined;
  readonly created: string;
}

const NO_LABELS = {};

/** Current state only: the order of updates does not matter. */
export class Directory {
  readonly #pods = new AddressTable();
  readonly #hosts = new AddressTable();
  readonly #hostEndpoints = new AddressTable();
  /** Host endpoints of all of a node's interfaces, by node. */
  readonly #wholeHosts = new AddressTable();
  readonly services = new ServiceDirectory();
  readonly #sets = new PrefixIndex<Owner>();

  /** How many pods, hosts and host endpoints have addresses, and how many network sets and services there are. */
  get counts(): Readonly<Record<'endpoints' | 'networkSets' | 'services', number>> {
    return {
      endpoints: this.#pods.size + this.#hosts.size + this.#hostEndpoints.size,
      networkSets: this.#sets.size,
      services: this.services.size,
    };
  }

  /** Takes in pods, core nodes, host endpoints, network sets, services and their endpoints; ignores the rest. */
  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      this.#onUpdate(`${kind.group}/${kind.kind}`, key, resource);
    }
  }

  #onUpdate(kind: string, key: string, resource: Resource | undefined): void {
    switch (kind) {
      case '/Pod':
        return this.#pods.set(key, resource && podAddresses(resource as Pod));
      case '/Node':
        return this.#hosts.set(key, resource && hostAddresses(resource as KubernetesNode));
      case '/Service':
        return this.services.setService(key, resource as Service | undefined);
      case 'discovery.k8s.io/EndpointSlice':
        return this.services.setSlice(key, resource as EndpointSlice | undefined);
      case 'projectcalico.org/HostEndpoint':
        return this.#setHostEndpoint(key, resource as HostEndpoint | undefined);
      case 'projectcalico.org/NetworkSet':
      case 'projectcalico.org/GlobalNetworkSet':
        return this.#sets.set(key, resource && networkSet(resource as NetworkSet));
      default:
        return;
    }
  }

  /** One with expected addresses has these; one of all interfaces has whatever its node has. */
  #setHostEndpoint(key: string, endpoint: HostEndpoint | undefined): void {
    const { node = '', interfaceName, expectedIPs = [] } = endpoint?.spec ?? {};
    const whole = interfaceName === '*' && expectedIPs.length === 0;
    const owner = endpoint && hostEndpointOwner(endpoint, node);
    const addresses = expectedIPs.flatMap((text) => textOf(parseAddress(text)));
    this.#hostEndpoints.set(key, owner && { ...owner, addresses });
    this.#wholeHosts.set(key, owner && { ...owner, addresses: whole ? [node] : [] });
  }

  /**
   * The owner of an address: a pod, else a host endpoint, else a host, else the network set with the longest
   * prefix around it, else a network. Among sets of equal length those of `viewer`, the namespace of the other
   * end, come first, then global ones, then those of other namespaces, then by name.
   */
  resolve(address: string, viewer: string | null = null): FlowEnd {
    const parsed = parseAddress(address);
    if (!parsed) return { ...network('pub'), address };
    const text = formatAddress(parsed);
    const owned = this.#pods.get(text) ?? this.#hostOf(text);
    if (owned) return { ...owned.owner, address: text };
    const sets = this.#sets.longest(parsed);
    const [set] = [...sets].sort((a, b) => compareSets(a, b, viewer));
    return { ...(set ?? network(networkName(parsed))), address: text };
  }

  #hostOf(address: string): AddressOwner | undefined {
    const host = this.#hosts.get(address);
    const whole = host?.node === undefined ? undefined : this.#wholeHosts.get(host.node);
    return this.#hostEndpoints.get(address) ?? whole ?? host;
  }

  /** The node whose own address it is. */
  hostNode(address: string): string | undefined {
    return this.#hosts.get(address)?.node;
  }

  /** The node of the pod that has the address; undefined for anything but pods. */
  podNode(address: string): string | undefined {
    return this.#pods.get(address)?.node;
  }
}

/** Owners by address; of several owners of one address, the one created last counts. */
class AddressTable {
  readonly #byKey = new Map<string, readonly string[]>();
  readonly #byAddress = new Map<string, Map<string, AddressOwner>>();

  get size(): number {
    return this.#byKey.size;
  }

  set(key: string, entry: (AddressOwner & { readonly addresses: readonly string[] }) | undefined) {
    for (const address of this.#byKey.get(key) ?? []) {
      const owners = this.#byAddress.get(address);
      owners?.delete(key);
      if (owners?.size === 0) this.#byAddress.delete(address);
    }
    this.#byKey.delete(key);
    if (!entry) return;
    this.#byKey.set(key, entry.addresses);
    for (const address of entry.addresses) {
      const owners = this.#byAddress.get(address) ?? new Map<string, AddressOwner>();
      this.#byAddress.set(address, owners.set(key, entry));
    }
  }

  get(address: string): AddressOwner | undefined {
    let best: [string, AddressOwner] | undefined;
    for (const candidate of this.#byAddress.get(address) ?? []) {
      if (!best || compareOwners(candidate, best) > 0) best = candidate;
    }
    return best?.[1];
  }
}

function compareOwners(a: [string, AddressOwner], b: [string, AddressOwner]): number {
  return compareCodePoints(a[1].created, b[1].created) || compareCodePoints(b[0], a[0]);
}

function podAddresses(pod: Pod): (AddressOwner & { addresses: string[] }) | undefined {
  const prefixes = podToWorkloadEndpoint(pod, { unscheduled: true })?.spec.ipNetworks ?? [];
  const { name, namespace = null, labels = NO_LABELS, creationTimestamp } = pod.metadata;
  const aggregate = ownedName(pod);
  return {
    owner: { type: 'workload', namespace, name, ...(aggregate && { aggregate }), labels },
    node: pod.spec.nodeName,
    created: creationTimestamp ?? '',
    addresses: prefixes.flatMap((prefix) => textOf(parsePrefix(prefix))),
  };
}

/** `web-7d9f8-*` of a pod that an owner made; undefined of one that stands for itself. */
function ownedName({ metadata }: Pod): string | undefined {
  if (metadata.generateName) return `${metadata.generateName}*`;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  const name = owner?.['name'];
  return typeof name === 'string' && name !== metadata.name ? `${name}-*` : undefined;
}

/** As Calico's flow logs have it: the endpoint's name, which the node's stands for. */
function hostEndpointOwner({ metadata }: HostEndpoint, node: string): AddressOwner {
  const { name, labels = NO_LABELS, creationTimestamp } = metadata;
  return {
    owner: { type: 'host', namespace: null, name, ...(node && { aggregate: node }), labels },
    node,
    created: creationTimestamp ?? '',
  };
}

function hostAddresses(node: KubernetesNode): AddressOwner & { addresses: string[] } {
  const { name, labels = NO_LABELS, creationTimestamp } = node.metadata;
  return {
    owner: { type: 'host', namespace: null, name, labels },
    node: name,
    created: creationTimestamp ?? '',
    addresses: (node.status?.addresses ?? []).flatMap(({ address }) =>
      textOf(parseAddress(address)),
    ),
  };
}

function textOf(address: Address | undefined): string[] {
  return address ? [formatAddress(address)] : [];
}

function networkSet({ metadata, spec }: NetworkSet) {
  const { name, namespace = null, labels = NO_LABELS } = metadata;
  const value: Owner = { type: 'network-set', namespace, name, labels };
  const prefixes = (spec?.nets ?? []).flatMap((net) => {
    const prefix = parsePrefix(net);
    return prefix ? [formatPrefix(maskPrefix(prefix))] : [];
  });
  return { value, prefixes };
}

function compareSets(a: Owner, b: Owner, viewer: string | null): number {
  const rank = ({ namespace }: Owner): number => {
    if (namespace === null) return 1;
    return namespace === viewer ? 0 : 2;
  };
  return (
    rank(a) - rank(b) ||
    compareCodePoints(a.name, b.name) ||
    compareCodePoints(a.namespace ?? '', b.namespace ?? '')
  );
}

/** RFC 1918, RFC 4193, loopback and link-local. */
const PRIVATE = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '127.0.0.0/8',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
  '::1/128',
];
const privateNets = new PrefixIndex<true>();
privateNets.set('private', { value: true, prefixes: PRIVATE });

function isPrivate(address: Address): boolean {
  return privateNets.longest(address).length > 0;
}

/** What an address that belongs to nothing known goes by. */
export function networkName(address: Address): 'pub' | 'pvt' {
  return isPrivate(address) ? 'pvt' : 'pub';
}

function network(name: 'pub' | 'pvt'): Owner {
  return { type: 'network', namespace: null, name, labels: NO_LABELS };
}
