// Reports what this node enforces as its AgentStatus: endpoints, policies and their versions, writes.
import type { DataplaneState } from '#calc/dataplane-update';
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
  readonly policyCount: number;
  readonly endpoints: readonly { readonly id: string; readonly interfaceName: string }[];
  readonly policies: readonly { readonly key: string; readonly tier: string }[];
  readonly errors: readonly string[];
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

export class StatusReporter {
  readonly #options: StatusReporterOptions;
  readonly #startTime = new Date().toISOString();
  #last: AgentStatusBody | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failing = false;

  constructor(options: StatusReporterOptions) {
    this.#options = options;
  }

  onApplied(state: DataplaneState, report: ApplyReport): void {
    const policies = [...state.policies].map(([key, policy]) => ({ key, tier: policy.tier }));
    this.#last = {
      ready: this.#options.ready(),
      version: this.#options.version,
      startTime: this.#startTime,
      lastAppliedTime: new Date().toISOString(),
      kernelWrites: this.#options.kernelWrites(),
      endpointCount: state.endpoints.size,
      policyCount: policies.filter((policy) => !policy.key.startsWith('Profile/')).length,
      endpoints: [...state.endpoints.values()].map(({ id, interfaceName }) => ({
        id,
        interfaceName,
      })),
      policies,
      errors: report.errors.slice(0, ERRORS_MAX).map(({ what, message }) => `${what}: ${message}`),
    };
    this.#schedule(INTERVAL_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => void this.#report(), delayMs);
  }

  async #report(): Promise<void> {
    const status = this.#last;
    if (!status) return;
    try {
      await this.#options.send(status);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#options.log(`Cannot report status, trying again: ${String(error)}`);
      this.#failing = true;
    }
    this.#timer = undefined;
    if (this.#failing || this.#last !== status)
      this.#schedule(this.#failing ? RETRY_MS : INTERVAL_MS);
  }
}
