// The driver: makes one host's kernel enforce a desired state, in an order that is safe at each step.
import { setImmediate } from 'node:timers/promises';
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { jsonEqual, parsePrefix } from '#lib';
import { type CountedRule, type Route, SystemError } from '#linux';
import { type HostEndpointReport, hostEndpointReports } from './host-endpoint-reports.ts';
import { HostSysctls, type SysctlKernel } from './host-sysctls.ts';
import { FlowOffload, type FlowOffloadSize, type FlowtableKernel } from './nft/flow-offload.ts';
import { type NftablesKernel, NftTable } from './nft/table.ts';
import type { TableCalls, TableSize } from './nft/table-counts.ts';
import { desiredRoutes } from './routes/desired-routes.ts';
import { IpipDevice, type IpipKernel } from './routes/ipip-device.ts';
import { type Answered, ProxiedNeighbours, type ProxyKernel } from './routes/proxied-neighbours.ts';
import { readRoutesTo, type RouteKernel, RouteTable } from './routes/route-table.ts';
import { TunnelDevices, type TunnelKernel } from './routes/tunnel-devices.ts';
import { CounterSums, isCounted, type RuleCounter } from './rule-counters.ts';
import type { RuleHit } from './rules/log-prefix.ts';
import { areNamed, type InterfaceAddress } from './rules/host-interfaces.ts';
import { endpointChainName, IPIP_DEVICE, TUNNEL_DEVICE } from './rules/names.ts';
import type { Chain } from './rules/chain.ts';
import { PolicyCache } from './rules/policy-cache.ts';
import { type ApplyError, nextRendering, type Rendering } from './rules/ruleset.ts';

/** The nftables table that has all policy, of family inet. */
export const TABLE_NAME = 'tortie';

/** The packet filter, the routes, and the rest: tunnels and settings of the host. */
export type KernelPart = 'table' | 'routes' | 'host';

const RETIRED_HITS_MAX = 10_000;
/** So long one slice of reading counters takes. */
const SLICE_MS = 10;
const NO_ROUTES = { errors: [], repaired: [], pending: [] } as const;

/** What the driver needs to read what rules have counted. */
export interface CounterKernel {
  readCounters(table: string, chain: string): CountedRule[];
}

export interface DataplaneOptions {
  readonly nftables: NftablesKernel & FlowtableKernel & CounterKernel & { close(): void };
  readonly routes: RouteKernel & TunnelKernel & IpipKernel & ProxyKernel & { close(): void };
  readonly sysctls: SysctlKernel;
  /** Tells neighbours that an address is at an interface; throws where it cannot. */
  readonly announce?: (answered: Answered) => void;
  /** Told how many seconds it took to read the host's routes back. */
  readonly onRoutesRead?: (seconds: number) => void;
  /** Told once of each thing that is wrong with the state; the rest of the state is enforced. */
  readonly log?: (message: string) => void;
}

/** Names of interfaces that are made and looked after. */
export const OWN_INTERFACES: ReadonlySet<string> = new Set([
  ...Object.values(TUNNEL_DEVICE),
  IPIP_DEVICE,
]);

export interface ApplyReport {
  /** Changes made in the kernel. */
  readonly writes: number;
  /** What the kernel refused; everything else was done. */
  readonly errors: readonly ApplyError[];
  /** Routes that wait for their interface: not an error, made at a later apply. */
  readonly pending: readonly string[];
  /** What somebody else had changed in what is ours, and that is now as desired again. */
  readonly repaired: readonly string[];
  /** What is wished and cannot be had, though nothing is less safe without it. */
  readonly warnings: readonly string[];
  /** Whether the kernel took no change of the packet filter at all. */
  readonly stuck: boolean;
  /** IDs of the workload endpoints whose policy is not all in the kernel as desired. */
  readonly unfiltered: readonly string[];
  readonly hostEndpoints: readonly HostEndpointReport[];
}

export interface DataplaneCounts {
  readonly table: TableSize;
  readonly calls: TableCalls;
  /** Routes that are wanted, and the interfaces that they lead to. */
  readonly routes: number;
  readonly interfaces: number;
  readonly offload: FlowOffloadSize;
  /** Decisions that logged packets are told apart by. */
  readonly logPrefixes: number;
}

interface Desired extends Rendering {
  /** Empty where every host endpoint names its interface. */
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: ReadonlyMap<string, Route>;
}

/** All calls are synchronous. What the kernel enforces stays when the process ends. */
export class Dataplane {
  readonly #options: DataplaneOptions;
  readonly #table: NftTable;
  readonly #routes: RouteTable;
  readonly #policies = new PolicyCache();
  readonly #tunnels: TunnelDevices;
  readonly #ipip: IpipDevice;
  readonly #proxied: ProxiedNeighbours;
  readonly #sysctls: HostSysctls;
  readonly #offload: FlowOffload;
  #hits: ReadonlyMap<string, RuleHit> = new Map();
  readonly #retiredHits = new Map<string, RuleHit>();
  #desired: Desired | undefined;
  #told = new Set<string>();
  #warned: readonly string[] = [];

  constructor(options: DataplaneOptions) {
    this.#options = options;
    this.#table = new NftTable(options.nftables, TABLE_NAME);
    this.#routes = new RouteTable(options.routes);
    this.#tunnels = new TunnelDevices(options.routes);
    this.#ipip = new IpipDevice(options.routes);
    this.#proxied = new ProxiedNeighbours(options.routes, options.sysctls);
    this.#sysctls = new HostSysctls(options.sysctls);
    this.#offload = new FlowOffload(options.nftables, () => options.routes.links());
  }

  /** Changes made in the kernel since the start. */
  get writes(): number {
    const { nftables, routes } = this.#options;
    return nftables.writes + routes.writes + this.#sysctls.writes;
  }

  /** How much there is of it in the kernel, and what was asked of the kernel since the start. */
  get counts(): DataplaneCounts {
    return {
      table: this.#table.size,
      calls: this.#table.calls,
      ...this.#routes.size,
      offload: this.#offload.size,
      logPrefixes: this.#hits.size,
    };
  }

  /**
   * Makes the kernel enforce the state, writing only what differs. Tunnels, which nothing leads to yet, come
   * first; routes that must go, go then; the packet filter changes in one transaction; new routes come last.
   */
  apply(state: DataplaneState): ApplyReport {
    const before = this.writes;
    const { ruleset, routes, addresses } = this.#desiredOf(state);
    const sysctls = this.#sysctls.apply(state);
    const tunnels = this.#tunnels.apply(state.tunnels, state.settings);
    const ipip = this.#ipip.apply(state.ipip, state.settings);
    const listing = performance.now();
    const unread = this.#readRoutes(routes, state);
    this.#options.onRoutesRead?.((performance.now() - listing) / 1_000);
    const removed = unread ? NO_ROUTES : this.#routes.removeUnwanted();
    const filtered = this.#table.apply(ruleset);
    const added = unread ? NO_ROUTES : this.#routes.addWanted();
    const proxied = this.#proxied.apply(state);
    this.#announce(proxied.begun);
    const offload = this.#offload.apply(state);
    for (const warning of offload.warnings) {
      if (!this.#warned.includes(warning)) this.#options.log?.(warning);
    }
    this.#warned = offload.warnings;
    return {
      writes: this.writes - before,
      errors: [
        ...sysctls.errors,
        ...tunnels.errors,
        ...ipip.errors,
        ...(unread ? [unread] : []),
        ...removed.errors,
        ...filtered,
        ...added.errors,
        ...proxied.errors,
        ...offload.errors,
      ],
      pending: added.pending,
      repaired: [
        ...sysctls.repaired,
        ...tunnels.repaired,
        ...ipip.repaired,
        ...removed.repaired,
        ...this.#table.repaired,
        ...added.repaired,
        ...offload.repaired,
      ],
      warnings: offload.warnings,
      stuck: this.#table.isStuck,
      unfiltered: filtered.length > 0 ? this.#unfiltered(state) : [],
      hostEndpoints: hostEndpointReports(state, {
        addresses,
        ruleset,
        refused: filtered,
        holds: (chain) => this.#table.holds(chain),
      }),
    };
  }

  /** Where the host's routes cannot be read none is changed; policy does not wait for them. */
  #readRoutes(routes: Desired['routes'], { settings }: DataplaneState): ApplyError | undefined {
    try {
      this.#routes.update(routes, settings);
      return undefined;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return { what: 'routes of this host', message: error.message };
    }
  }

  /**
   * Whether the last apply left all of an endpoint in the kernel: the ways in and out through its
   * chains, every policy and set that they use, and the routes to its addresses.
   */
  isEnforced(endpointId: string): boolean {
    const endpoint = this.#desired?.state.endpoints.get(endpointId);
    if (!endpoint) return false;
    return this.#areRouted(endpoint) && this.#isFiltered(endpoint);
  }

  /** Whether the kernel has routes to all addresses of an endpoint, whoever made them. */
  isRouted({
    addresses,
    interfaceName,
  }: Pick<LocalEndpoint, 'addresses' | 'interfaceName'>): boolean {
    const own = readRoutesTo(this.#options.routes, interfaceName);
    return addresses.every((one) => own.some(({ destination }) => destination === one));
  }

  #isFiltered({ interfaceName }: LocalEndpoint): boolean {
    const name = this.#desired?.ruleset.workloads.get(interfaceName);
    if (name === undefined || !this.#table.dispatches(interfaceName)) return false;
    return (['ingress', 'egress'] as const).every((direction) => {
      return this.#table.holds(endpointChainName(name, direction)) && this.#table.holds(direction);
    });
  }

  #unfiltered({ endpoints }: DataplaneState): string[] {
    return [...endpoints.values()].filter((one) => !this.#isFiltered(one)).map(({ id }) => id);
  }

  /** Where routes are wanted: not while others make them, or a machine is still on its way here. */
  #areRouted({ addresses, routing }: LocalEndpoint): boolean {
    const settings = this.#desired?.state.settings;
    if (!settings?.routeSync || routing === 'none') return true;
    const wanted = addresses.filter((one) => settings.ipv6 || parsePrefix(one)?.family !== 6);
    return wanted.every((address) => this.#routes.holds(address, settings));
  }

  /** Forgets what the kernel is believed to hold, all or one part: the next apply reads it back and repairs it. */
  resync(part?: KernelPart): void {
    if (part !== 'routes' && part !== 'host') {
      this.#table.resync();
      this.#offload.resync();
    }
    if (part !== 'table' && part !== 'host') this.#routes.resync();
    if (part === 'table' || part === 'routes') return;
    this.#tunnels.resync();
    this.#ipip.resync();
    this.#proxied.resync();
    this.#sysctls.resync();
  }

  /** Tells neighbours once more which addresses are here. */
  announceAll(): void {
    this.#announce(this.#proxied.answered);
  }

  #announce(all: readonly Answered[]): void {
    for (const answered of all) {
      try {
        this.#options.announce?.(answered);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        this.#options.log?.(error.message);
      }
    }
  }

  /** Which rule a logged packet met, by the prefix of its log, also of rules that have just gone. */
  hitOf(logPrefix: string): RuleHit | undefined {
    const hit = this.#anyHitOf(logPrefix);
    return hit?.staged ? undefined : hit;
  }

  /** The same for rules of staged policies: what they would decide, did they count. */
  stagedHitOf(logPrefix: string): RuleHit | undefined {
    const hit = this.#anyHitOf(logPrefix);
    return hit?.staged ? hit : undefined;
  }

  /**
   * What each rule in force, staged ones too, and each default has decided about, read from the kernel now.
   * A rule counts from when the kernel got it; it begins anew when its action or its index changes.
   */
  readRuleCounters(): RuleCounter[] {
    const sums = new CounterSums(this.#hits);
    for (const counted of this.#counted()) sums.add(counted);
    return sums.all();
  }

  /** The same, but this thread does other things in between: it is never held for more than some milliseconds. */
  async readRuleCountersInSlices(): Promise<RuleCounter[]> {
    const sums = new CounterSums(this.#hits);
    let begun = performance.now();
    for (const counted of this.#counted()) {
      sums.add(counted);
      if (performance.now() - begun < SLICE_MS) continue;
      await setImmediate();
      begun = performance.now();
    }
    return sums.all();
  }

  /** Chain by chain: what others change meanwhile makes no difference to a chain. */
  *#counted(): Generator<CountedRule[], undefined> {
    const chains = this.#desired?.ruleset.chains ?? new Map<string, Chain>();
    for (const { name, rules } of chains.values()) {
      const counts = rules.some(({ actions }) => actions.some(isCounted));
      if (counts) yield this.#options.nftables.readCounters(TABLE_NAME, name);
    }
  }

  #anyHitOf(logPrefix: string): RuleHit | undefined {
    return this.#hits.get(logPrefix) ?? this.#retiredHits.get(logPrefix);
  }

  /** Closes the sockets; the kernel goes on enforcing what it has. */
  close(): void {
    this.#options.nftables.close();
    this.#options.routes.close();
  }

  /** A state is a value: the same object wants the same, as long as the host has the same addresses. */
  #desiredOf(state: DataplaneState): Desired {
    const addresses = areNamed(state.hostEndpoints) ? [] : this.#options.routes.addresses();
    const known = this.#desired;
    const before = known && jsonEqual(known.addresses, addresses) ? known : undefined;
    if (before?.state === state) return before;
    const problems = new Set<string>();
    const onProblem = (what: string, message: string) => problems.add(`${what}: ${message}`);
    const rendering = nextRendering(before, state, addresses, this.#policies);
    const { ruleset } = rendering;
    for (const { what, message } of ruleset.problems) onProblem(what, message);
    this.#desired = { ...rendering, addresses, routes: desiredRoutes(state, onProblem) };
    this.#tell(problems);
    if (ruleset.hits !== this.#hits) this.#rememberHits(ruleset.hits);
    return this.#desired;
  }

  /** Packets may still be on their way to the reader when their rule goes. */
  #rememberHits(hits: ReadonlyMap<string, RuleHit>): void {
    for (const [prefix, hit] of this.#hits) {
      if (!hits.has(prefix)) this.#retiredHits.set(prefix, hit);
    }
    for (const prefix of this.#retiredHits.keys()) {
      if (this.#retiredHits.size <= RETIRED_HITS_MAX) break;
      this.#retiredHits.delete(prefix);
    }
    this.#hits = hits;
  }

  #tell(problems: Set<string>): void {
    for (const problem of problems) if (!this.#told.has(problem)) this.#options.log?.(problem);
    this.#told = problems;
  }
}
