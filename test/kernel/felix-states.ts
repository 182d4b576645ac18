// Cases of corpus felix-policy-packets as states of the dataplane.
import type {
  DataplaneEntity,
  DataplanePolicy,
  DataplaneRule,
  DataplaneState,
  EndpointTier,
  HostEndpoint,
  IpSet,
  LocalEndpoint,
  PolicyId,
} from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';
import type {
  FelixPolicy,
  FelixProtocol,
  FelixRule,
  FelixTier,
  PacketCase,
} from '../corpora/felix-packets.ts';
import { protocolNumber } from '../corpora/policy-worlds.ts';

/** The workload's interface, and the host's. */
export const WORKLOAD = 'cali1';
export const UPLINK = 'eth0';

const ACTIONS: Readonly<Record<string, DataplaneRule['action']>> = {
  Allow: 'Allow',
  Deny: 'Deny',
  Pass: 'Pass',
  'next-tier': 'Pass',
  Log: 'Log',
};
const ANY: DataplaneEntity = { ipSets: [], notIpSets: [] };
const ALLOW: DataplaneRule = { action: 'Allow', index: 0, source: ANY, destination: ANY };
const NO_TIERS = { ingress: [], egress: [] };

/** Gathers policies and sets while it converts. */
class Converter {
  readonly policies = new Map<string, DataplanePolicy>();
  readonly ipSets = new Map<string, IpSet>();
  readonly #members: Readonly<Record<string, readonly string[]>>;
  #next = 0;

  constructor(members: Readonly<Record<string, readonly string[]>>) {
    this.#members = members;
  }

  tiers(tiers: readonly FelixTier[] = []): EndpointTier[] {
    return tiers
      .filter(({ Policies = [] }) => Policies.length > 0)
      .map(({ Name, EndAction, Policies = [] }) => ({
        name: Name,
        defaultAction: EndAction === 'pass' ? 'Pass' : 'Deny',
        policies: Policies.map((policy) => this.#policy(policy, 'GlobalNetworkPolicy', Name)),
      }));
  }

  profiles(profiles: readonly FelixPolicy[] = []): string[] {
    return profiles.map((profile) => this.#policy(profile, 'Profile', ''));
  }

  /** A profile that allows everything. */
  open(): string {
    const id: PolicyId = { kind: 'Profile', namespace: null, name: 'open' };
    this.policies.set(policyKey(id), { id, tier: '', ingress: [ALLOW], egress: [ALLOW] });
    return policyKey(id);
  }

  #policy({ Name, Rules = [] }: FelixPolicy, kind: PolicyId['kind'], tier: string): string {
    const id: PolicyId = { kind, namespace: null, name: `${Name}-${this.#next++}` };
    const rules = Rules.map((rule, index) => this.#rule(rule, index));
    this.policies.set(policyKey(id), { id, tier, ingress: rules, egress: rules });
    return policyKey(id);
  }

  #rule(rule: FelixRule, index: number): DataplaneRule {
    const action = ACTIONS[rule.action];
    if (!action) throw new Error(`unknown action ${rule.action}`);
    const { Icmp: icmp, NotIcmp: notIcmp } = rule;
    return {
      action,
      index,
      ...(rule.protocol && { protocol: numberOf(rule.protocol) }),
      ...(rule.not_protocol && { notProtocol: numberOf(rule.not_protocol) }),
      ...(icmp && { icmp: icmp.IcmpTypeCode ?? { type: icmp.IcmpType ?? 0 } }),
      ...(notIcmp && { notIcmp: notIcmp.NotIcmpTypeCode ?? { type: notIcmp.NotIcmpType ?? 0 } }),
      source: this.#entity(rule, 'src'),
      destination: this.#entity(rule, 'dst'),
    };
  }

  #entity(rule: FelixRule, side: 'src' | 'dst'): DataplaneEntity {
    const nets = rule[`${side}_net`];
    const notNets = rule[`not_${side}_net`];
    const ports = rule[`${side}_ports`];
    const named = rule[`${side}_named_port_ip_set_ids`];
    const notPorts = rule[`not_${side}_ports`];
    const notNamed = rule[`not_${side}_named_port_ip_set_ids`];
    const addresses = (ids: readonly string[] = []) => ids.map((id) => this.#set(id, 'net'));
    const services = (ids: readonly string[]) => ids.map((id) => this.#set(id, 'ip-port'));
    const ranges = (list: readonly { readonly first?: number; readonly last?: number }[]) =>
      list.map(({ first = 0, last = 0 }) => [first, last] as const);
    return {
      ...(nets && { nets }),
      ...(notNets && { notNets }),
      ipSets: addresses(rule[`${side}_ip_set_ids`]),
      notIpSets: addresses(rule[`not_${side}_ip_set_ids`]),
      ...(ports && { ports: ranges(ports) }),
      ...(named && { namedPortSets: services(named) }),
      ...(notPorts && { notPorts: ranges(notPorts) }),
      ...(notNamed && { notNamedPortSets: services(notNamed) }),
    };
  }

  #set(name: string, type: IpSet['type']): string {
    const id = `${type}:${name}`;
    const members = (this.#members[name] ?? []).map((member) =>
      type === 'net' ? member : member.replace(/\/\d+,/, ','),
    );
    this.ipSets.set(id, { id, type, members: new Set(members) });
    return id;
  }
}

function numberOf({ Name, Number: number }: FelixProtocol): number {
  return Name === undefined ? (number ?? 0) : protocolNumber(Name);
}

/**
 * `uplink`: a host endpoint on the uplink, behind which an open workload takes what is forwarded. `from workload`:
 * what the workload sends, past a host endpoint for all interfaces. `to workload`: what it receives.
 */
export type Way = 'uplink' | 'from workload' | 'to workload';

export function wayOf({ policy }: PacketCase): Way {
  if (policy.ForHostInterface || policy.ForXDP) return 'uplink';
  const stages = [policy.HostPreDnatTiers, policy.HostForwardTiers, policy.HostNormalTiers];
  return stages.some(Boolean) ? 'from workload' : 'to workload';
}

/** `unmatched`: what untracked policy does not decide is let pass, else it is dropped. */
export function felixState(one: PacketCase, unmatched: 'passes' | 'is dropped'): DataplaneState {
  const { policy } = one;
  const converter = new Converter(one.ipSets ?? {});
  const way = wayOf(one);
  const tiers = converter.tiers(policy.Tiers);
  const workload: LocalEndpoint = {
    id: 'default/pod',
    interfaceName: WORKLOAD,
    addresses: [],
    allowedSources: ['0.0.0.0/0', '::/0'],
    floatingAddresses: [],
    ingress: way === 'to workload' ? tiers : [],
    egress: way === 'from workload' ? tiers : [],
    profiles: way === 'uplink' ? [converter.open()] : converter.profiles(policy.Profiles),
  };
  const normal = converter.tiers(policy.HostNormalTiers);
  const forward = converter.tiers(policy.HostForwardTiers);
  const open = unmatched === 'passes' ? [converter.open()] : [];
  const host: HostEndpoint = {
    id: 'host',
    interfaceName: way === 'uplink' ? UPLINK : '*',
    addresses: [],
    untracked: policy.ForXDP ? { ingress: normal, egress: [] } : NO_TIERS,
    preDnat: converter.tiers(policy.HostPreDnatTiers),
    forward: { ingress: forward, egress: [] },
    normal: policy.ForXDP ? NO_TIERS : { ingress: normal, egress: [] },
    profiles: policy.ForXDP ? open : converter.profiles(policy.HostProfiles),
  };
  return {
    ...BARE_STATE,
    ipSets: converter.ipSets,
    policies: converter.policies,
    endpoints: new Map([[workload.id, workload]]),
    hostEndpoints: way === 'to workload' ? new Map() : new Map([[host.id, host]]),
    settings: {
      ...BARE_STATE.settings,
      dropInvalid: false,
      failsafeInbound: [],
      failsafeOutbound: [],
      // The test leads packets to the interfaces itself.
      routes: { ...BARE_STATE.settings.routes, removeExternal: false },
    },
  };
}
