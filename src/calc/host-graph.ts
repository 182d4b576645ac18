// The calculation over Calico's model: what is there now in, what this host must do out, at the cost of the change.
import type { FelixConfiguration, ParameterSource } from '#api';
import { jsonEqual } from '#lib';
import { ActiveRules, type CompilePolicy } from './active-rules.ts';
import { AMBIENT_SET } from './ambient-set.ts';
import { Configuration, type Parameters } from './configuration.ts';
import { type DataplaneState, policyKey, type PolicyId } from './dataplane-update.ts';
import { endpointToHostAction, hostSettings, serviceLoopPrevention } from './host-settings.ts';
import { IpSetIndex } from './ip-set-index.ts';
import type { LabelIndexCounts } from './labels/label-index.ts';
import type * as Model from './model.ts';
import { NetworkGraph, type Topology } from './network-graph.ts';
import { PolicyResolver } from './policy-resolver.ts';
import { isStaged } from './policy-compiler.ts';
import type { CalcProblem } from './problem-log.ts';

type Settings = Pick<DataplaneState, 'endpointToHostAction' | 'settings' | 'serviceLoopPrevention'>;

/**
 *   profiles, workloads, host endpoints, network sets ──> IpSetIndex (LabelIndex) <── slices
 *                     │ those of this host                     ^
 *                     v                                        │ sets of the rules in use
 *   tiers ──> PolicyResolver (LabelIndex) ── uses ──> ActiveRules <── policies, profiles
 *   pools, blocks, nodes ──> NetworkGraph          FelixConfiguration ──> Configuration
 *
 * Everything is keyed; a value replaces the one of its key, undefined takes it away. Setting works out who matches
 * whom; `state` and `topology` work out the rest of what has changed since they were last asked.
 */
export class HostGraph {
  readonly hostname: string;
  readonly #configuration: Configuration;
  readonly #ipSets = new IpSetIndex();
  readonly #rules = new ActiveRules(this.#ipSets);
  readonly #resolver = new PolicyResolver(this.#rules);
  readonly #network: NetworkGraph;
  readonly #serviceNets = new Map<string, readonly string[]>();
  #parameters: Parameters;
  #settingsAreOld = true;
  #hasAmbientSet = false;
  #settings: Settings | undefined;
  #state: DataplaneState | undefined;

  /** `local`: the host's own sources of parameters, the stronger first. */
  constructor(hostname: string, local: readonly ParameterSource[] = []) {
    this.hostname = hostname;
    this.#configuration = new Configuration(hostname, local);
    this.#parameters = this.#configuration.parameters;
    this.#network = new NetworkGraph(hostname, this.#parameters);
    this.#onParameters();
  }

  workload(key: string): Model.Workload | undefined {
    const object = this.#ipSets.object(workloadKey(key));
    return object && isWorkload(object) ? object : undefined;
  }

  setWorkload(key: string, workload: Model.Workload | undefined): void {
    const before = this.workload(key);
    if (before === workload) return;
    this.#ipSets.setObject(workloadKey(key), workload);
    const isLocal = workload?.node === this.hostname;
    if (isLocal || before?.node === this.hostname) {
      this.#resolver.setWorkload(key, isLocal ? workload : undefined);
    }
    const placed = workload?.node === undefined ? undefined : placedAt(workload, workload.node);
    if (before?.members !== workload?.members || before?.node !== workload?.node) {
      this.#network.setWorkload(key, placed);
    }
  }

  setHostInterface(key: string, object: Model.HostInterface | undefined): void {
    this.#ipSets.setObject(`host ${key}`, object);
    const isLocal = object?.node === this.hostname;
    this.#resolver.setHostInterface(key, isLocal ? object : undefined);
  }

  setNetworkSet(key: string, object: Model.LabelledObject | undefined): void {
    this.#ipSets.setObject(`set ${key}`, object);
  }

  networkSet(key: string): Model.LabelledObject | undefined {
    return this.#ipSets.object(`set ${key}`);
  }

  setProfile(name: string, source: Model.ProfileSource | undefined): void {
    this.#ipSets.setProfile(name, source?.labels);
    this.#resolver.setProfile(name, source?.labels);
    this.#rules.setProfile(name, source);
  }

  setTier(name: string, tier: Model.TierSource | undefined): void {
    this.#resolver.setTier(name, tier);
  }

  /** `compile` is called at once, and again whenever the policy comes into use. */
  setPolicy(id: PolicyId, compile: CompilePolicy | undefined): void {
    const key = policyKey(id);
    const policy = this.#rules.setPolicy(key, compile);
    this.#resolver.setPolicy(
      key,
      policy && {
        id,
        key,
        tier: policy.tier,
        order: policy.order,
        selector: policy.selector,
        directions: policy.directions,
        stage: policy.stage,
        onForward: policy.onForward,
        staged: isStaged(id),
      },
    );
  }

  setMigration(key: string, migration: Model.MigrationSource | undefined): void {
    this.#resolver.setMigration(key, migration);
  }

  setSlice(key: string, slice: Model.SliceSource | undefined): void {
    this.#ipSets.setSlice(key, slice);
  }

  setPool(key: string, pool: Model.PoolSource | undefined): void {
    this.#network.setPool(key, pool);
  }

  setBlock(key: string, block: Model.BlockSource | undefined): void {
    this.#network.setBlock(key, block);
  }

  setNode(name: string, node: Model.NodeSource | undefined): void {
    this.#network.setNode(name, node);
    if (name === this.hostname) this.#configuration.setNodeLabels(node?.labels ?? {});
  }

  /** Addresses of a Service's load balancer that any node may answer for. */
  setBalancer(key: string, addresses: readonly string[] | undefined): void {
    this.#network.setBalancer(key, addresses);
  }

  setVxlan(node: string, source: Model.VxlanSource | undefined): void {
    this.#network.setVxlan(node, source);
  }

  setWireguard(node: string, source: Model.WireguardSource | undefined): void {
    this.#network.setWireguard(node, source);
  }

  setFelixConfiguration(name: string, resource: FelixConfiguration | undefined): void {
    this.#configuration.setResource(name, resource);
  }

  /** Prefixes that the cluster advertises for its services. */
  setServiceNets(key: string, nets: readonly string[] | undefined): void {
    if (nets) this.#serviceNets.set(key, nets);
    else this.#serviceNets.delete(key);
    this.#settingsAreOld = true;
  }

  /** What matching the rules' selectors with workloads, host endpoints and network sets has cost. */
  get matching(): LabelIndexCounts {
    return this.#ipSets.matching;
  }

  /** How many workloads, host endpoints and network sets there are. */
  get objects(): number {
    return this.#ipSets.objects;
  }

  /** How many policies ask for what only the application layer can tell: HTTP, or the peer's service account. */
  get applicationLayerPolicies(): number {
    return this.#rules.applicationLayerPolicies;
  }

  /** The agent's parameters in force. */
  get parameters(): Parameters {
    return this.#configuration.parameters;
  }

  /** All that this host must enforce; what equals its predecessor is the same object. */
  state(): DataplaneState {
    this.#settle();
    const next: DataplaneState = {
      ipSets: this.#ipSets.sets(),
      policies: this.#rules.policies(),
      endpoints: this.#resolver.workloads(),
      hostEndpoints: this.#resolver.hosts(),
      ...this.#network.hostNetwork(),
      ...this.#currentSettings(),
    };
    const before = this.#state;
    const isSame =
      before !== undefined &&
      Object.entries(next).every(
        ([field, value]) => before[field as keyof DataplaneState] === value,
      );
    if (!isSame) this.#state = next;
    return this.#state ?? next;
  }

  topology(): Topology {
    this.#settle();
    return this.#network.topology();
  }

  /** In no particular order. */
  problems(): CalcProblem[] {
    this.#settle();
    const ofParameters = this.#parameters.problems.map(({ parameter, message }) => ({
      key: `parameter ${parameter}`,
      message,
    }));
    return [...this.#rules.problems(), ...ofParameters];
  }

  #settle(): void {
    if (this.#parameters !== this.#configuration.parameters) {
      this.#parameters = this.#configuration.parameters;
      this.#onParameters();
    }
    this.#resolver.settle();
    this.#rules.settle();
    this.#network.settle();
  }

  #onParameters(): void {
    const parameters = this.#parameters;
    this.#settingsAreOld = true;
    this.#network.setParameters(parameters, () => this.#placedWorkloads());
    this.#resolver.setOptions({
      allowedSources: parameters.is('WorkloadSourceSpoofing', 'Any'),
      floatingAddresses: parameters.is('FloatingIPs', 'Enabled'),
    });
    const isAmbient = parameters.is('IstioAmbientMode', 'Enabled');
    if (isAmbient && !this.#hasAmbientSet) this.#ipSets.acquire(AMBIENT_SET);
    if (!isAmbient && this.#hasAmbientSet) this.#ipSets.release(AMBIENT_SET.id);
    this.#hasAmbientSet = isAmbient;
  }

  *#placedWorkloads() {
    for (const [key, object] of this.#ipSets.entries()) {
      if (!isWorkload(object) || object.node === undefined) continue;
      yield [key.slice(workloadKey('').length), placedAt(object, object.node)] as const;
    }
  }

  #currentSettings(): Settings {
    if (this.#settings && !this.#settingsAreOld) return this.#settings;
    const parameters = this.#parameters;
    const next: Settings = {
      endpointToHostAction: endpointToHostAction(parameters),
      settings: hostSettings(parameters),
      serviceLoopPrevention: serviceLoopPrevention(
        parameters,
        [...this.#serviceNets.values()].flat(),
      ),
    };
    const before = this.#settings;
    this.#settings = {
      ...next,
      settings:
        before && jsonEqual(before.settings, next.settings) ? before.settings : next.settings,
      serviceLoopPrevention:
        before && jsonEqual(before.serviceLoopPrevention, next.serviceLoopPrevention)
          ? before.serviceLoopPrevention
          : next.serviceLoopPrevention,
    };
    this.#settingsAreOld = false;
    return this.#settings;
  }
}

function workloadKey(key: string): string {
  return `pod ${key}`;
}

function isWorkload(object: Model.LabelledObject): object is Model.Workload {
  return 'floatingAddresses' in object;
}

function placedAt({ members }: Model.Workload, node: string) {
  return { node, members };
}
