// Reports what this node enforces as its AgentStatus: endpoints, policies and their versions, writes.
import { isEnforcedKind, kindKey } from '#api';
import type { DataplaneState, EndpointTier } from '#calc/dataplane-update';
import type { SyncerStatus, SyncerUpdate } from '#datastore/syncer';
import type { ApplyReport } from './apply-loop.ts';

/** The status of one AgentStatus object; `kubectl get agentstatuses` shows its sums. */
export interface AgentStatusBody {
  readonly ready: boolean;
  readonly version: string;
  readonly startTime: string;
  readonly lastAppliedTime: string | null;
  /** Messages that changed the kernel since this agent started: 0 after a restart into the same state. */
  readonly kernelWrites: number;
  readonly endpointCount: number;
  readonly hostEndpointCount: number;
  readonly policyCount: number;
  /** The first ones; `enforced`: its policy is in the kernel. */
  readonly endpoints: readonly {
    readonly id: string;
    readonly interfaceName: string;
    readonly enforced: boolean;
  }[];
  /** The first ones; `interfaceName` is absent where it governs none. */
  readonly hostEndpoints: readonly {
    readonly name: string;
    readonly interfaceName?: string;
    readonly enforced: boolean;
    readonly error?: string;
  }[];
  /** By kind, as `NetworkPolicy.projectcalico.org`: the newest revision that is applied. */
  readonly appliedRevisions: Readonly<Record<string, string>>;
  /** Policies of endpoints whose policy is not all in the kernel. */
  readonly refusedPolicies: readonly { readonly key: string; readonly message: string }[];
  readonly errors: readonly string[];
  /** What others changed in what is ours and was undone, since this agent started; absent where nothing was. */
  readonly repairs?: RepairStatus;
}

export interface RepairStatus {
  readonly count: number;
  /** RFC 3339. */
  readonly lastTime: string;
  /** What was undone last, the first ones. */
  readonly last: readonly string[];
  /** Milliseconds from when the change was heard until it was undone; absent where it was not heard but found. */
  readonly lastOpenMs?: number;
}

export interface StatusReporterOptions {
  /** Stores the status; rejects when the server did not take it. */
  readonly send: (status: AgentStatusBody) => Promise<void>;
  readonly log: (message: string) => void;
  readonly version: string;
  readonly kernelWrites: () => number;
  readonly ready: () => boolean;
}

/** The least time between two reports: a burst of applies is one report. */
const INTERVAL_MS = 200;
const RETRY_MS = 2_000;
const ERRORS_MAX = 20;
const LISTED_MAX = 1_000;

export class StatusReporter {
  readonly #options: StatusReporterOptions;
  readonly #startTime = new Date().toISOString();
  /** What is to be told; undefined: nothing, until the next apply. */
  #last: AgentStatusBody | undefined;
  #inSync = false;
  #timer: NodeJS.Timeout | undefined;
  #failing = false;
  #sentAt = 0;
  /** Of what the next apply works with, and of what the last one that went through worked with. */
  readonly #known = new Map<string, string>();
  #applied: Readonly<Record<string, string>> = {};
  #repairs: RepairStatus | undefined;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
  }

  /** Called with what the apply loop gets, before it. */
  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, resource } of updates) {
      const revision = resource?.metadata.resourceVersion;
      if (!isEnforcedKind(kind) || revision === undefined) continue;
      const key = kindKey(kind);
      if (Number(revision) > Number(this.#known.get(key) ?? 0)) this.#known.set(key, revision);
    }
  }

  /**
   * While the server's state is not known nothing is told: it may be another state, of which what the kernel holds
   * says nothing. The first report is of an apply after that.
   */
  onStatus(status: SyncerStatus): void {
    this.#inSync = status === 'in-sync';
    if (!this.#inSync) this.#last = undefined;
  }

  /** `openMs`: for how long what was repaired had been as others left it. */
  onApplied(state: DataplaneState, report: ApplyReport, openMs?: number): void {
    this.#noteRepairs(report.repaired, openMs);
    if (!this.#inSync) return;
    const unfiltered = new Set(report.unfiltered);
    if (!report.stuck) this.#applied = Object.fromEntries(this.#known);
    this.#last = {
      ready: this.#options.ready(),
      version: this.#options.version,
      startTime: this.#startTime,
      lastAppliedTime: new Date().toISOString(),
      kernelWrites: this.#options.kernelWrites(),
      endpointCount: state.endpoints.size,
      hostEndpointCount: state.hostEndpoints.size,
      policyCount: [...state.policies.keys()].filter((key) => !key.startsWith('Profile/')).length,
      endpoints: [...state.endpoints.values()]
        .slice(0, LISTED_MAX)
        .map(({ id, interfaceName }) => ({ id, interfaceName, enforced: !unfiltered.has(id) })),
      hostEndpoints: (report.hostEndpoints ?? []).slice(0, LISTED_MAX).map(hostEndpointStatus),
      appliedRevisions: this.#applied,
      refusedPolicies: refusedPolicies(state, report),
      ...(this.#repairs && { repairs: this.#repairs }),
      errors: [
        ...report.errors.map(({ what, message }) => `${what}: ${message}`),
        ...report.warnings,
      ].slice(0, ERRORS_MAX),
    };
    this.#schedule(Math.max(0, this.#sentAt + INTERVAL_MS - Date.now()));
  }

  #noteRepairs(repaired: readonly string[], openMs: number | undefined): void {
    if (repaired.length === 0) return;
    this.#repairs = {
      count: (this.#repairs?.count ?? 0) + repaired.length,
      lastTime: new Date().toISOString(),
      last: repaired.slice(0, ERRORS_MAX),
      ...(openMs !== undefined && { lastOpenMs: Math.ceil(openMs) }),
    };
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => void this.#report(), delayMs);
  }

  async #report(): Promise<void> {
    const status = this.#last;
    this.#sentAt = Date.now();
    try {
      if (status) await this.#options.send(status);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#options.log(`Cannot report status, trying again: ${String(error)}`);
      this.#failing = true;
    }
    this.#timer = undefined;
    if (this.#last && (this.#failing || this.#last !== status))
      this.#schedule(this.#failing ? RETRY_MS : INTERVAL_MS);
  }
}

function hostEndpointStatus({
  id: name,
  interfaceName,
  error,
}: NonNullable<ApplyReport['hostEndpoints']>[number]): AgentStatusBody['hostEndpoints'][number] {
  return {
    name,
    ...(interfaceName !== null && { interfaceName }),
    enforced: error === undefined,
    ...(error !== undefined && { error }),
  };
}

/** Every policy of an endpoint that lacks something: which of them it is, the kernel does not say. */
function refusedPolicies(
  { endpoints, hostEndpoints }: DataplaneState,
  { unfiltered, errors, hostEndpoints: hosts = [] }: ApplyReport,
): AgentStatusBody['refusedPolicies'] {
  const [first] = errors;
  const message = first ? `${first.what}: ${first.message}` : 'not all of it is in the kernel';
  const refused = new Map<string, string>();
  const refuse = (tiers: readonly EndpointTier[], why: string) => {
    for (const key of tiers.flatMap((tier) => tier.policies)) {
      if (!refused.has(key)) refused.set(key, why);
    }
  };
  for (const id of unfiltered) {
    const endpoint = endpoints.get(id);
    refuse([...(endpoint?.ingress ?? []), ...(endpoint?.egress ?? [])], message);
  }
  for (const { id, interfaceName, error } of hosts) {
    const endpoint = hostEndpoints.get(id);
    // One that governs no interface has no packets: its policies are in force wherever they can be.
    if (!endpoint || error === undefined || interfaceName === null) continue;
    const { untracked, forward, normal, preDnat } = endpoint;
    const stages = [untracked, forward, normal].flatMap((it) => [...it.ingress, ...it.egress]);
    refuse([...stages, ...preDnat], error);
  }
  return [...refused].slice(0, LISTED_MAX).map(([key, why]) => ({ key, message: why }));
}
