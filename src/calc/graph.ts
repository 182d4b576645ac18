// Wires the calculation: cluster state in, the one value that this host's dataplane enforces out.
import type { SyncerUpdate } from '#datastore/syncer';
import { jsonEqual } from '#lib';
import { ActiveRulesCalculator } from './active-rules-calculator.ts';
import { ClusterInputs, type InputKind } from './cluster-inputs.ts';
import {
  BARE_STATE,
  type DataplanePolicy,
  type DataplaneState,
  type IpSet,
  type LocalEndpoint,
  policyKey,
} from './dataplane-update.ts';
import { EndpointLabels, type LabelledObjects, type Workload } from './endpoint-labels.ts';
import { IpSetIndex, ipSetsEqual } from './ip-set-index.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import type { CompiledPolicy } from './policy-compiler.ts';
import { resolvePolicies } from './policy-resolver.ts';
import { sortTiers } from './policy-sorter.ts';
import type { CalcProblem } from './problem-log.ts';
import { type CompiledProfile, ProfileDecoder } from './profile-decoder.ts';
import { resolveRoutes } from './route-resolver.ts';
import { ServiceIndex } from './service-index.ts';
import { share, shareMap } from './shared-values.ts';

/** What labels, addresses and named ports come from. */
const OBJECT_KINDS: readonly InputKind[] = [
  '/Pod',
  '/Namespace',
  '/ServiceAccount',
  'projectcalico.org/Profile',
  'projectcalico.org/HostEndpoint',
  'projectcalico.org/NetworkSet',
  'projectcalico.org/GlobalNetworkSet',
  'discovery.k8s.io/EndpointSlice',
];

/**
 * The calculation of one host. `onUpdates` only takes values in; `state` computes from what is there now.
 *
 *   updates ──> ClusterInputs
 *                 ├─ ProfileDecoder ──> EndpointLabels ──> IpSetIndex <── ServiceIndex
 *                 ├─ ActiveRulesCalculator (RuleScanner) ──> PolicySorter ──> PolicyResolver
 *                 └─ RouteResolver
 *
 *   local endpoints ─> their policies and profiles ─> the IP sets of those ──> DataplaneState
 */
export class CalcGraph {
  readonly #hostname: string;
  readonly #inputs = new ClusterInputs();
  readonly #profileDecoder = new ProfileDecoder();
  readonly #endpointLabels = new EndpointLabels();
  readonly #activeRules = new ActiveRulesCalculator();
  #objects: ObjectsVersion | undefined;
  #result: Result | undefined;
  #current = false;

  /** `hostname`: the `spec.nodeName` of the pods that this host runs. */
  constructor(hostname: string) {
    this.#hostname = hostname;
  }

  /** Takes new values in; updates of kinds that the calculation does not read are ignored. */
  onUpdates(updates: readonly SyncerUpdate[]): void {
    if (this.#inputs.onUpdates(updates)) this.#current = false;
  }

  /**
   * All that this host must enforce. Depends on the present resources only. Whatever equals its
   * predecessor is the same object as before, up to the state as a whole.
   */
  state(): DataplaneState {
    return this.#compute().state;
  }

  /** What is wrong with the resources, sorted by nothing but their kind, namespace and name. */
  problems(): readonly CalcProblem[] {
    return this.#compute().problems;
  }

  #compute(): Result {
    if (this.#result && this.#current) return this.#result;
    const next = this.#recompute();
    const state = this.#result ? shareState(this.#result.state, next.state) : next.state;
    this.#result = { state, problems: next.problems };
    this.#current = true;
    return this.#result;
  }

  #recompute(): Result {
    const inputs = this.#inputs;
    const version = this.#objectsVersion();
    const rules = this.#activeRules.rules(inputs);
    const collector = new StateCollector(this.#profileDecoder, version);
    const tiers = sortTiers(inputs.list('projectcalico.org/Tier'), rules.policies);
    for (const workload of version.objects.workloads) {
      if (workload.node !== this.#hostname) continue;
      const resolved = resolvePolicies(tiers, workload.labels);
      collector.add(endpointOf(workload, resolved), workload, resolved.policies);
    }
    const routes = resolveRoutes(
      this.#hostname,
      inputs.list('projectcalico.org/IPAMBlock'),
      inputs.list('/Node'),
    );
    return {
      state: {
        ...BARE_STATE,
        ipSets: collector.ipSets,
        policies: collector.policies,
        endpoints: collector.endpoints,
        ...routes,
        endpointToHostAction: this.#endpointToHostAction(),
      },
      problems: [...version.objects.problems, ...rules.problems, ...collector.problems],
    };
  }

  #objectsVersion(): ObjectsVersion {
    const epoch = this.#inputs.epoch(...OBJECT_KINDS);
    if (this.#objects?.epoch === epoch) return this.#objects;
    const profiles = this.#profileDecoder.profiles(this.#inputs);
    const objects = this.#endpointLabels.objects(this.#inputs, profiles);
    const services = new ServiceIndex(this.#inputs.list('discovery.k8s.io/EndpointSlice'));
    const ipSets = new IpSetIndex([...objects.workloads, ...objects.others], services);
    this.#objects = { epoch, profiles, objects, ipSets };
    return this.#objects;
  }

  /**
   * `node.<hostname>` beats `default`. Where neither says anything it is Accept: Felix itself would drop,
   * but every installation of Calico by operator or manifest sets Accept, and pods need their host.
   */
  #endpointToHostAction(): DataplaneState['endpointToHostAction'] {
    const configurations = new Map(
      this.#inputs
        .list('projectcalico.org/FelixConfiguration')
        .map(({ metadata, spec }) => [metadata.name, spec.defaultEndpointToHostAction]),
    );
    return (
      configurations.get(`node.${this.#hostname}`) ?? configurations.get('default') ?? 'Accept'
    );
  }
}

interface Result {
  readonly state: DataplaneState;
  readonly problems: readonly CalcProblem[];
}

/** The labelled objects as of one epoch of their kinds, with the sets computed from them. */
interface ObjectsVersion {
  readonly epoch: number;
  readonly profiles: ReturnType<ProfileDecoder['profiles']>;
  readonly objects: LabelledObjects;
  readonly ipSets: IpSetIndex;
}

function endpointOf(
  workload: Workload,
  { ingress, egress }: Pick<LocalEndpoint, 'ingress' | 'egress'>,
): LocalEndpoint {
  return {
    id: workload.id,
    interfaceName: workload.interfaceName,
    addresses: workload.members,
    allowedSources: [],
    floatingAddresses: [],
    ingress,
    egress,
    profiles: workload.profiles.map((name) =>
      policyKey({ kind: 'Profile', namespace: null, name }),
    ),
  };
}

/** Gathers the endpoints and, with them, exactly the policies, profiles and sets that they need. */
class StateCollector {
  readonly endpoints = new Map<string, LocalEndpoint>();
  readonly policies = new Map<string, DataplanePolicy>();
  readonly ipSets = new Map<string, IpSet>();
  readonly problems: CalcProblem[] = [];
  readonly #profileDecoder: ProfileDecoder;
  readonly #version: ObjectsVersion;

  constructor(profileDecoder: ProfileDecoder, version: ObjectsVersion) {
    this.#profileDecoder = profileDecoder;
    this.#version = version;
  }

  add(endpoint: LocalEndpoint, workload: Workload, policies: ReadonlySet<CompiledPolicy>): void {
    this.endpoints.set(endpoint.id, endpoint);
    for (const policy of policies) this.#addRules(policy.rules, policy.ipSets);
    for (const name of workload.profiles) this.#addProfile(name);
  }

  #addProfile(name: string): void {
    const { profiles } = this.#version;
    const compiled: CompiledProfile = this.#profileDecoder.compile(name, profiles.get(name));
    if (this.policies.has(policyKey(compiled.policy.id))) return;
    this.#addRules(compiled.policy, compiled.ipSets);
    this.problems.push(...compiled.problems);
  }

  #addRules(policy: DataplanePolicy, sets: ReadonlyMap<string, IpSetDefinition>): void {
    const key = policyKey(policy.id);
    if (this.policies.has(key)) return;
    this.policies.set(key, policy);
    for (const definition of sets.values()) {
      this.ipSets.set(definition.id, this.#version.ipSets.ipSet(definition));
    }
  }
}

function shareState(previous: DataplaneState, next: DataplaneState): DataplaneState {
  const state: DataplaneState = {
    ...next,
    ipSets: shareMap(previous.ipSets, next.ipSets, ipSetsEqual),
    policies: shareMap(previous.policies, next.policies, jsonEqual),
    endpoints: shareMap(previous.endpoints, next.endpoints, jsonEqual),
    routes: share(previous.routes, next.routes, jsonEqual),
    blackholes: share(previous.blackholes, next.blackholes, jsonEqual),
  };
  const unchanged = Object.entries(state).every(
    ([field, value]) => previous[field as keyof DataplaneState] === value,
  );
  return unchanged ? previous : state;
}
