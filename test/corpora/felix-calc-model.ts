// Entries of upstream's v1 model, as felix-calc-states gives them, put into our calculation.
import type { EntityRule, FelixConfiguration, GlobalNetworkPolicy, Rule } from '#api';
import { type HostGraph, policyCompiler, type ProfileSource, type WorkloadReference } from '#calc';
import { parseSelector } from '#selector';

/** `key` is a path in etcd, `keyType` what it names; `value` is of the type that the key type says. */
export interface Entry {
  readonly key: string;
  readonly keyType: string;
  readonly value: unknown;
}

interface ModelPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

interface ModelEndpoint {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly profile_ids?: readonly string[] | null;
  readonly ports?: readonly ModelPort[] | null;
  readonly ipv4_nets?: readonly string[] | null;
  readonly ipv6_nets?: readonly string[] | null;
  readonly expected_ipv4_addrs?: readonly string[] | null;
  readonly expected_ipv6_addrs?: readonly string[] | null;
  readonly nets?: readonly string[] | null;
}

interface ModelRule {
  readonly action?: Rule['action'];
  readonly protocol?: string;
  readonly http?: NonNullable<Rule['http']>;
  readonly src_selector?: string;
  readonly dst_selector?: string;
  readonly '!src_selector'?: string;
  readonly '!dst_selector'?: string;
  readonly src_ports?: (number | string)[];
  readonly dst_ports?: (number | string)[];
  readonly '!src_ports'?: (number | string)[];
  readonly '!dst_ports'?: (number | string)[];
  readonly src_service?: string;
  readonly src_service_ns?: string;
  readonly dst_service?: string;
  readonly dst_service_ns?: string;
  readonly orig_src_service_acct_selector?: string;
  readonly orig_dst_service_acct_selector?: string;
}

interface ModelOwner {
  readonly hostname: string;
  readonly orchestratorID: string;
  readonly workloadID: string;
  readonly endpointID?: string;
}

interface ModelMigration {
  readonly spec: {
    readonly source: Readonly<Partial<Record<'workload' | 'workloadEndpoint', ModelOwner>>>;
    readonly target: { readonly workloadEndpoint?: ModelOwner; readonly selector?: string };
  };
}

interface ModelPolicy {
  readonly inbound_rules?: readonly ModelRule[];
  readonly outbound_rules?: readonly ModelRule[];
  readonly order?: number;
  readonly selector: string;
  readonly tier: string;
  readonly types?: readonly string[];
  readonly untracked?: boolean;
  readonly pre_dnat?: boolean;
  readonly performance_hints?: 'AssumeNeededOnEveryNode'[];
}

interface ModelNode {
  readonly spec: {
    readonly bgp?: { readonly ipv4Address?: string; readonly ipv6Address?: string };
    readonly addresses?: readonly { readonly address: string }[];
    readonly wireguard?: {
      readonly interfaceIPv4Address?: string;
      readonly interfaceIPv6Address?: string;
    };
  };
}

interface ModelPool {
  readonly cidr: string;
  readonly masquerade: boolean;
  readonly vxlan_mode: string;
  readonly ipip_mode: string;
}

interface ModelBlock {
  readonly cidr: string;
  readonly affinity: string | null;
  readonly allocations: readonly (number | null)[];
  readonly attributes: readonly { readonly secondary?: { readonly node?: string } }[] | null;
}

interface ModelSlice {
  readonly metadata: {
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly endpoints: { readonly addresses: string[] }[];
  readonly ports?: { readonly port: number; readonly protocol: 'TCP' | 'UDP' | 'SCTP' }[];
}

interface ModelWireguard {
  readonly interfaceIPv4Addr?: string;
  readonly interfaceIPv6Addr?: string;
  readonly publicKey?: string;
  readonly publicKeyV6?: string;
}

/** Key types that say nothing to us. */
const SILENT: readonly string[] = ['ReadyFlagKey'];

/** Puts entries into a graph one by one; upstream's parameters of the run are its configuration. */
export class ModelWriter {
  readonly #graph: HostGraph;
  readonly #configuration = new Map<string, unknown>();
  readonly #profiles = new Map<string, { labels?: object; rules?: Partial<ProfileSource> }>();
  readonly #hostConfig = new Map<string, Map<string, string>>();

  constructor(graph: HostGraph, routeSource: string) {
    this.#graph = graph;
    this.#configuration.set('istioAmbientMode', 'Enabled');
    this.#configuration.set('routeSource', routeSource);
    this.#writeConfiguration();
  }

  /** Sets an entry, or with undefined takes it away. */
  write({ key, keyType }: Pick<Entry, 'key' | 'keyType'>, value: unknown): void {
    const parts = key.split('/').map(decodeURIComponent);
    const last = parts.at(-1) ?? '';
    const graph = this.#graph;
    switch (keyType) {
      case 'WorkloadEndpointKey':
        return this.#workload(parts, value as ModelEndpoint | undefined);
      case 'HostEndpointKey':
        return this.#host(parts, value as ModelEndpoint | undefined);
      case 'NetworkSetKey':
        return graph.setNetworkSet(key, value === undefined ? undefined : objectOf(value));
      case 'PolicyKey':
        return this.#policy(last, value as ModelPolicy | undefined);
      case 'TierKey':
        return this.#tier(parts.at(-2) ?? '', value as { readonly order?: number } | undefined);
      case 'ProfileRulesKey':
        return this.#profileRules(parts.at(-2) ?? '', value as ModelPolicy | undefined);
      case 'IPPoolKey':
        return graph.setPool(key, value === undefined ? undefined : poolOf(value as ModelPool));
      case 'BlockKey':
        return graph.setBlock(key, value === undefined ? undefined : blockOf(value as ModelBlock));
      case 'HostConfigKey':
        return this.#tunnel(parts[4] ?? '', last, value as string | undefined);
      case 'GlobalConfigKey':
        return this.#global(last, value);
      case 'WireguardKey':
        return this.#wireguard(parts[4] ?? '', value as ModelWireguard | undefined);
      case 'ResourceKey':
        return this.#resource(parts[5] ?? '', key, last, value);
      default:
        if (!SILENT.includes(keyType)) throw new Error(`no translation of ${keyType}`);
    }
  }

  #resource(kind: string, key: string, name: string, value: unknown): void {
    switch (kind) {
      case 'nodes':
        return this.#node(name, value as ModelNode | undefined);
      case 'profiles': {
        const profile = value as { readonly spec: { readonly labelsToApply: object } } | undefined;
        return this.#profile(name, { labels: profile?.spec.labelsToApply });
      }
      case 'kubernetesendpointslices':
        return this.#slice(key, value as ModelSlice | undefined);
      case 'livemigrations':
        return this.#migration(key, value as ModelMigration | undefined);
      default:
        throw new Error(`no translation of resources ${kind}`);
    }
  }

  #migration(key: string, value: ModelMigration | undefined): void {
    const { source, target } = value?.spec ?? { source: {}, target: {} };
    const from = source.workload ?? source.workloadEndpoint;
    const to = target.workloadEndpoint;
    this.#graph.setMigration(
      key,
      value && {
        ...(from && { source: referenceOf(from) }),
        ...(to && { target: referenceOf(to) }),
        ...(target.selector && { targetSelector: parseSelector(target.selector) }),
      },
    );
  }

  #workload(parts: readonly string[], value: ModelEndpoint | undefined): void {
    const [node, orchestrator, workload, endpoint] = [parts[4], parts[6], parts[7], parts[9]];
    const id = `${orchestrator}/${workload}/${endpoint}`;
    const key = `${node} ${id}`;
    this.#graph.setWorkload(
      key,
      value && {
        ...objectOf(value),
        id,
        node,
        interfaceName: value.name ?? '',
        allowedSources: [],
        floatingAddresses: [],
      },
    );
  }

  #host(parts: readonly string[], value: ModelEndpoint | undefined): void {
    const [node = '', id = ''] = [parts[4], parts[6]];
    const interfaceName = value?.name || null;
    this.#graph.setHostInterface(id, value && { ...objectOf(value), id, node, interfaceName });
  }

  #policy(name: string, value: ModelPolicy | undefined): void {
    const id = { kind: 'GlobalNetworkPolicy', namespace: null, name } as const;
    const policy = value && policyOf(name, value);
    this.#graph.setPolicy(id, policy && policyCompiler(id, policy, () => []));
  }

  #tier(name: string, value: { readonly order?: number } | undefined): void {
    this.#graph.setTier(name, value && { order: value.order ?? null, defaultAction: 'Deny' });
  }

  #profileRules(name: string, value: ModelPolicy | undefined): void {
    const rules = value && {
      ingress: (value.inbound_rules ?? []).map(ruleOf),
      egress: (value.outbound_rules ?? []).map(ruleOf),
    };
    this.#profile(name, { rules });
  }

  /** Labels and rules of a profile come apart. */
  #profile(
    name: string,
    part: { labels: object | undefined } | { rules: Partial<ProfileSource> | undefined },
  ): void {
    const known = { ...this.#profiles.get(name), ...part } as {
      labels?: Record<string, string>;
      rules?: Partial<ProfileSource>;
    };
    this.#profiles.set(name, known);
    const { labels, rules } = known;
    const { ingress = [], egress = [] } = rules ?? {};
    this.#graph.setProfile(
      name,
      labels || rules ? { labels: labels ?? {}, ingress, egress } : undefined,
    );
  }

  #node(name: string, value: ModelNode | undefined): void {
    const { bgp, addresses = [], wireguard } = value?.spec ?? {};
    const tunnels = [wireguard?.interfaceIPv4Address, wireguard?.interfaceIPv6Address];
    this.#graph.setNode(
      name,
      value && {
        networks: [bgp?.ipv4Address, bgp?.ipv6Address].flatMap((it) => it ?? []),
        addresses: addresses.map(({ address }) => address),
        labels: {},
        bgp: bgp !== undefined,
        tunnels: tunnels.flatMap((address) =>
          address === undefined ? [] : [{ type: 'wireguard' as const, address }],
        ),
      },
    );
  }

  #tunnel(node: string, name: string, value: string | undefined): void {
    const config = this.#hostConfig.get(node) ?? new Map<string, string>();
    this.#hostConfig.set(node, config);
    if (value === undefined) config.delete(name);
    else config.set(name, value);
    const addresses = [config.get('IPv4VXLANTunnelAddr'), config.get('IPv6VXLANTunnelAddr')];
    this.#graph.setVxlan(
      node,
      config.size === 0
        ? undefined
        : {
            addresses: addresses.flatMap((it) => it ?? []),
            mac: config.get('VXLANTunnelMACAddr'),
            macV6: config.get('VXLANTunnelMACAddrV6'),
          },
    );
  }

  #wireguard(node: string, value: ModelWireguard | undefined): void {
    const { interfaceIPv4Addr, interfaceIPv6Addr, publicKey, publicKeyV6 } = value ?? {};
    this.#graph.setWireguard(
      node,
      value && {
        addresses: [interfaceIPv4Addr, interfaceIPv6Addr].flatMap((it) => it ?? []),
        publicKey,
        publicKeyV6,
      },
    );
  }

  #slice(key: string, value: ModelSlice | undefined): void {
    const { namespace = '', labels } = value?.metadata ?? {};
    const service = `${namespace}/${labels?.['kubernetes.io/service-name'] ?? ''}`;
    this.#graph.setSlice(
      key,
      value && { service, endpoints: value.endpoints, ports: value.ports ?? null },
    );
  }

  #global(name: string, value: unknown): void {
    const field = `${name.charAt(0).toLowerCase()}${name.slice(1)}`;
    if (value === undefined && field !== 'routeSource') this.#configuration.delete(field);
    else if (value !== undefined) this.#configuration.set(field, value);
    this.#writeConfiguration();
  }

  #writeConfiguration(): void {
    const spec = Object.fromEntries(this.#configuration) as FelixConfiguration['spec'];
    this.#graph.setFelixConfiguration('default', {
      apiVersion: 'projectcalico.org/v3',
      kind: 'FelixConfiguration',
      metadata: { name: 'default' },
      spec,
    });
  }
}

function referenceOf(owner: ModelOwner): WorkloadReference {
  const { hostname: node, orchestratorID, workloadID, endpointID } = owner;
  const parts = [orchestratorID, workloadID, ...(endpointID ? [endpointID] : [])];
  return { node, id: parts.join('/') };
}

function objectOf(value: unknown) {
  const it = value as ModelEndpoint;
  const texts = [
    ...(it.ipv4_nets ?? []),
    ...(it.ipv6_nets ?? []),
    ...(it.nets ?? []),
    ...[...(it.expected_ipv4_addrs ?? [])].map((address) => `${address}/32`),
    ...[...(it.expected_ipv6_addrs ?? [])].map((address) => `${address}/128`),
  ];
  return {
    labels: it.labels ?? {},
    profiles: it.profile_ids ?? [],
    members: [...new Set(texts)],
    ports: (it.ports ?? []).map(({ name, protocol, port }) => ({ name, protocol, port })),
  };
}

function policyOf(name: string, value: ModelPolicy): GlobalNetworkPolicy {
  const types = { ingress: 'Ingress', egress: 'Egress' } as const;
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name },
    spec: {
      tier: value.tier,
      selector: value.selector,
      order: value.order ?? null,
      types: (value.types ?? ['ingress', 'egress']).map((type) => types[type as 'ingress']),
      ingress: (value.inbound_rules ?? []).map(ruleOf),
      egress: (value.outbound_rules ?? []).map(ruleOf),
      ...(value.untracked && { doNotTrack: true, applyOnForward: true }),
      ...(value.pre_dnat && { preDNAT: true, applyOnForward: true }),
      ...(value.performance_hints && { performanceHints: value.performance_hints }),
    },
  };
}

function ruleOf(rule: ModelRule): Rule {
  const source = entityOf(rule, 'src');
  const destination = entityOf(rule, 'dst');
  return {
    action: rule.action ?? 'Allow',
    ...(rule.protocol && { protocol: rule.protocol.toUpperCase() }),
    ...(rule.http && { http: rule.http }),
    source,
    destination,
  };
}

function entityOf(rule: ModelRule, end: 'src' | 'dst'): EntityRule {
  const name = rule[`${end}_service`];
  const namespace = rule[`${end}_service_ns`];
  const selector = rule[`${end}_selector`];
  const notSelector = rule[`!${end}_selector`];
  const ports = rule[`${end}_ports`];
  const notPorts = rule[`!${end}_ports`];
  const accounts = rule[`orig_${end}_service_acct_selector`];
  return {
    ...(accounts !== undefined && { serviceAccounts: { selector: accounts } }),
    ...(selector !== undefined && { selector }),
    ...(notSelector !== undefined && { notSelector }),
    ...(ports && { ports }),
    ...(notPorts && { notPorts }),
    ...(name && { services: { name, ...(namespace && { namespace }) } }),
  };
}

function poolOf({ cidr, masquerade, vxlan_mode, ipip_mode }: ModelPool) {
  const modes = { always: 'Always', 'cross-subnet': 'CrossSubnet' } as const;
  const mode = (text: string) => modes[text as keyof typeof modes] ?? 'Never';
  return {
    cidr,
    vxlanMode: mode(vxlan_mode),
    ipipMode: mode(ipip_mode),
    natOutgoing: masquerade,
  } as const;
}

function blockOf({ cidr, affinity, allocations, attributes }: ModelBlock) {
  const host = affinity?.startsWith('host:') ? affinity.slice('host:'.length) : undefined;
  const [network = '', last = ''] =
    /^(.*[.:])([^.:]*)$/.exec(cidr.split('/')[0] ?? '')?.slice(1) ?? [];
  const borrowed = allocations.flatMap((attribute, ordinal) => {
    const node = attribute === null ? undefined : attributes?.[attribute]?.secondary?.node;
    if (node === undefined || node === host) return [];
    return [{ address: `${network}${Number(last) + ordinal}`, node }];
  });
  return { cidr, host, borrowed };
}
