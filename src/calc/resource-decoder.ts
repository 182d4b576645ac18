// Resources as the datastore has them, read into the graph's model.
import {
  type BGPConfiguration,
  type ClusterNetworkPolicy,
  type EndpointSlice,
  type FelixConfiguration,
  type HostEndpoint,
  type IPAMBlock,
  type IPPool,
  type KindDefinition,
  type KubernetesNode,
  type LiveMigration,
  type Namespace,
  namespaceToProfile,
  type NetworkSet,
  type Pod,
  type Profile,
  type Resource,
  type Service,
  type ServiceAccount,
  serviceAccountToProfile,
  type Tier,
} from '#api';
import { compareCodePoints, jsonEqual } from '#lib';
import type { CompilePolicy } from './active-rules.ts';
import type { PolicyId } from './dataplane-update.ts';
import type { HostGraph } from './host-graph.ts';
import { namesNodes } from './kubernetes-policies.ts';
import { decodeBlock, decodeNode, decodePool } from './node-decoder.ts';
import { balancerAddresses } from './balancer-decoder.ts';
import { decodeMigration } from './migration-decoder.ts';
import { decodeHostEndpoint, decodeNetworkSet, decodePod, reuse } from './object-decoder.ts';
import { POLICY_KINDS, policyCompiler, policyIdOf } from './policy-decoder.ts';
import type { CalcProblem } from './problem-log.ts';
import { ProfileBook } from './profile-book.ts';

type Read = (key: string, resource: Resource | undefined) => void;

interface KnownPolicy {
  readonly id: PolicyId;
  readonly spec: unknown;
  readonly compile: CompilePolicy | undefined;
  readonly namesNodes: boolean;
}

const SERVICE_LABEL = 'kubernetes.io/service-name';

export class ResourceDecoder {
  readonly #graph: HostGraph;
  readonly #profiles: ProfileBook;
  readonly #readers: ReadonlyMap<string, Read>;
  /** Names by kind and key: a deletion comes without its resource. */
  readonly #names = new Map<string, string>();
  readonly #policies = new Map<string, KnownPolicy>();
  readonly #peers = new Map<string, KubernetesNode>();
  readonly #podProblems = new Map<string, readonly CalcProblem[]>();
  #peersChanged = false;

  constructor(graph: HostGraph) {
    this.#graph = graph;
    this.#profiles = new ProfileBook((name, source) => graph.setProfile(name, source));
    this.#readers = new Map<string, Read>([
      ['/Pod', (key, it) => this.#readPod(key, it as Pod | undefined)],
      ['/Namespace', (key, it) => this.#readNamespace(key, it as Namespace | undefined)],
      ['/ServiceAccount', (key, it) => this.#readAccount(key, it as ServiceAccount | undefined)],
      ['/Node', (key, it) => this.#readNode(key, it as KubernetesNode | undefined)],
      ['discovery.k8s.io/EndpointSlice', (key, it) => this.#readSlice(key, it as EndpointSlice)],
      ['projectcalico.org/Tier', (key, it) => this.#readTier(key, it as Tier | undefined)],
      ['projectcalico.org/NetworkSet', (key, it) => this.#readSet(`n ${key}`, it as NetworkSet)],
      [
        'projectcalico.org/GlobalNetworkSet',
        (key, it) => this.#readSet(`g ${key}`, it as NetworkSet),
      ],
      ['projectcalico.org/HostEndpoint', (key, it) => this.#readHost(key, it as HostEndpoint)],
      ['projectcalico.org/Profile', (key, it) => this.#readProfile(key, it as Profile)],
      ['projectcalico.org/IPPool', (key, it) => this.#readPool(key, it as IPPool)],
      ['projectcalico.org/IPAMBlock', (key, it) => this.#readBlock(key, it as IPAMBlock)],
      [
        'projectcalico.org/FelixConfiguration',
        (key, it) => this.#readFelix(key, it as FelixConfiguration | undefined),
      ],
      [
        'projectcalico.org/BGPConfiguration',
        (key, it) => this.#readBgp(key, it as BGPConfiguration | undefined),
      ],
      ['/Service', (key, it) => this.#readService(key, it as Service | undefined)],
      [
        'projectcalico.org/LiveMigration',
        (key, it) => graph.setMigration(key, it && decodeMigration(it as LiveMigration)),
      ],
    ]);
  }

  /** Takes a value in, or with undefined away; kinds that nothing reads are passed over. */
  read(kind: KindDefinition, key: string, resource: Resource | undefined): void {
    const id = `${kind.group}/${kind.kind}`;
    const policy = POLICY_KINDS.get(id);
    if (policy) this.#readPolicy(policy, `${policy} ${key}`, resource);
    else this.#readers.get(id)?.(key, resource);
  }

  /** Compiles anew what names nodes, once for any number of changes of these. */
  settle(): void {
    if (!this.#peersChanged) return;
    this.#peersChanged = false;
    for (const policy of this.#policies.values()) {
      if (policy.namesNodes) this.#graph.setPolicy(policy.id, policy.compile);
    }
  }

  /** In no particular order. */
  problems(): CalcProblem[] {
    return [...this.#podProblems.values()].flat();
  }

  #readPod(key: string, pod: Pod | undefined): void {
    const { workload, problems } = pod
      ? decodePod(pod, this.#graph.hostname)
      : { workload: undefined, problems: [] as readonly CalcProblem[] };
    if (problems.length > 0) this.#podProblems.set(key, problems);
    else this.#podProblems.delete(key);
    const before = this.#graph.workload(key);
    this.#graph.setWorkload(key, workload && reuse(before, workload));
  }

  #readNamespace(key: string, namespace: Namespace | undefined): void {
    this.#profiles.setDerived(`namespace ${key}`, namespace && namespaceToProfile(namespace));
  }

  #readAccount(key: string, account: ServiceAccount | undefined): void {
    this.#profiles.setDerived(`account ${key}`, account && serviceAccountToProfile(account));
  }

  #readProfile(key: string, profile: Profile | undefined): void {
    this.#profiles.setWritten(key, profile);
  }

  #readNode(key: string, node: KubernetesNode | undefined): void {
    const name = this.#nameOf(`Node ${key}`, node);
    const decoded = node && decodeNode(node);
    this.#graph.setNode(name, decoded?.node);
    this.#graph.setVxlan(name, decoded?.vxlan);
    this.#graph.setWireguard(name, decoded?.wireguard);
    const peer = node && asPeer(node);
    if (jsonEqual(peer, this.#peers.get(name))) return;
    if (peer) this.#peers.set(name, peer);
    else this.#peers.delete(name);
    this.#peersChanged = true;
  }

  #readSlice(key: string, slice: EndpointSlice | undefined): void {
    const { namespace = '', labels } = slice?.metadata ?? {};
    this.#graph.setSlice(
      key,
      slice && {
        service: `${namespace}/${labels?.[SERVICE_LABEL] ?? ''}`,
        endpoints: slice.endpoints,
        ports: slice.ports,
      },
    );
  }

  #readService(key: string, service: Service | undefined): void {
    const addresses = service && balancerAddresses(service);
    this.#graph.setBalancer(key, addresses?.length === 0 ? undefined : addresses);
  }

  #readTier(key: string, tier: Tier | undefined): void {
    const { order = null, defaultAction = 'Deny' } = tier?.spec ?? {};
    this.#graph.setTier(this.#nameOf(`Tier ${key}`, tier), tier && { order, defaultAction });
  }

  #readSet(key: string, set: NetworkSet | undefined): void {
    const before = this.#graph.networkSet(key);
    this.#graph.setNetworkSet(key, set && reuse(before, decodeNetworkSet(set)));
  }

  #readHost(key: string, endpoint: HostEndpoint | undefined): void {
    this.#graph.setHostInterface(key, endpoint && decodeHostEndpoint(endpoint));
  }

  #readPool(key: string, pool: IPPool | undefined): void {
    this.#graph.setPool(key, pool && decodePool(pool));
  }

  #readBlock(key: string, block: IPAMBlock | undefined): void {
    this.#graph.setBlock(key, block && decodeBlock(block));
  }

  #readFelix(key: string, configuration: FelixConfiguration | undefined): void {
    const name = this.#nameOf(`FelixConfiguration ${key}`, configuration);
    this.#graph.setFelixConfiguration(name, configuration);
  }

  /** Of the whole cluster alone: nodes do not advertise different services. */
  #readBgp(key: string, configuration: BGPConfiguration | undefined): void {
    const name = this.#nameOf(`BGPConfiguration ${key}`, configuration);
    if (name !== 'default') return;
    const { serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs } =
      configuration?.spec ?? {};
    const blocks = [serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs];
    const nets = blocks.flatMap((list) => list ?? []).flatMap(({ cidr }) => cidr ?? []);
    this.#graph.setServiceNets(name, configuration && nets);
  }

  #readPolicy(kind: PolicyId['kind'], key: string, resource: Resource | undefined): void {
    const before = this.#policies.get(key);
    if (!resource) {
      this.#policies.delete(key);
      if (before) this.#graph.setPolicy(before.id, undefined);
      return;
    }
    const { spec } = resource as { readonly spec?: unknown };
    if (before && jsonEqual(before.spec, spec)) return;
    const id = policyIdOf(kind, resource);
    const compile = policyCompiler(id, resource, () => this.#sortedPeers());
    const isByNodes =
      kind === 'ClusterNetworkPolicy' && namesNodes(resource as ClusterNetworkPolicy);
    this.#policies.set(key, { id, spec, compile, namesNodes: isByNodes });
    this.#graph.setPolicy(id, compile);
  }

  #sortedPeers(): KubernetesNode[] {
    return [...this.#peers.values()].sort((a, b) =>
      compareCodePoints(a.metadata.name, b.metadata.name),
    );
  }

  #nameOf(key: string, resource: Resource | undefined): string {
    if (resource) this.#names.set(key, resource.metadata.name);
    const name = this.#names.get(key) ?? '';
    if (!resource) this.#names.delete(key);
    return name;
  }
}

/** A node as far as it is a peer of policies: heartbeats in its status change nothing. */
function asPeer({ apiVersion, metadata, status }: KubernetesNode): KubernetesNode {
  const { name, labels } = metadata;
  return {
    apiVersion,
    kind: 'Node',
    metadata: { name, ...(labels && { labels }) },
    status: { ...(status?.addresses && { addresses: status.addresses }) },
  };
}
