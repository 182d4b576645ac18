// The agent's metrics: what fills them, and their server as the agent's parameters say.
import type { Calculation, Enforcer } from '#agent';
import type { ParameterValue } from '#api';
import {
  AGENT_METRICS,
  AgentMetrics,
  type AgentSources,
  measureProcess,
  MetricRegistry,
  MetricsServer,
  type MetricsServerOptions,
  type MetricsTls,
  PROCESS_METRICS,
  RuleMetrics,
} from '#metrics';

type Values = ReadonlyMap<string, ParameterValue>;

export interface NodeMetricsOptions {
  readonly node: string;
  readonly sources: AgentSources;
  readonly log: (message: string) => void;
}

/** Where metrics are served, as text that differs when anything does; undefined where they are not. */
interface Place {
  readonly text: string;
  readonly options: Omit<MetricsServerOptions, 'metrics' | 'log'>;
}

export class NodeMetrics {
  readonly agent: AgentMetrics;
  readonly rules: RuleMetrics;
  readonly #metrics = new MetricRegistry([...AGENT_METRICS, ...PROCESS_METRICS]);
  readonly #log: (message: string) => void;
  readonly #stopMeasuring: () => void;
  #server: MetricsServer | undefined;
  #served: string | undefined;
  #values: Values | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor({ node, sources, log }: NodeMetricsOptions) {
    this.#log = log;
    this.agent = new AgentMetrics(this.#metrics, node, sources);
    this.rules = new RuleMetrics(this.#metrics, { instance: node });
    this.#stopMeasuring = measureProcess(this.#metrics);
  }

  /** The calculation, with its time measured. */
  calculation(calc: Calculation): Calculation {
    return {
      onUpdates: (updates) => {
        this.agent.onChanges(updates);
        calc.onUpdates(updates);
      },
      state: () => {
        const begun = performance.now();
        const state = calc.state();
        this.agent.onCalculated((performance.now() - begun) / 1_000);
        return state;
      },
    };
  }

  /** The dataplane, with each apply measured. */
  enforcer(dataplane: Enforcer): Enforcer {
    return {
      apply: (state) => {
        const begun = performance.now();
        const report = dataplane.apply(state);
        this.agent.onApplied({
          seconds: (performance.now() - begun) / 1_000,
          writes: report.writes,
          errors: report.errors.length,
          repaired: report.repaired.length,
          unfiltered: report.unfiltered.length,
          endpoints: state.endpoints.size,
          policies: state.policies.size,
          ipSets: state.ipSets.size,
        });
        return report;
      },
      isEnforced: (endpointId) => dataplane.isEnforced(endpointId),
      resync: (part) => dataplane.resync(part),
    };
  }

  /** Serves where the parameters say, and nowhere else. */
  onParameters(values: Values): void {
    if (values === this.#values) return;
    this.#values = values;
    this.#metrics.hide(hiddenOf(values));
    const place = this.#placeOf(values);
    if (place?.text === this.#served) return;
    this.#served = place?.text;
    this.#work = this.#work.then(() => this.#move(place));
  }

  async stop(): Promise<void> {
    this.#served = undefined;
    await this.#work;
    this.#stopMeasuring();
    await this.#server?.close();
  }

  #placeOf(values: Values): Place | undefined {
    try {
      return placeOf(values);
    } catch (error) {
      this.#log(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  async #move(place: Place | undefined): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
    if (!place) return;
    try {
      this.#server = await MetricsServer.listen({
        metrics: this.#metrics,
        log: this.#log,
        ...place.options,
      });
      this.#log(`metrics are served at port ${this.#server.port}`);
    } catch (error) {
      this.#log(error instanceof Error ? error.message : String(error));
    }
  }
}

/** The process collector, and in the place of Go's that of Node. */
function hiddenOf(values: Values): string[] {
  const off = (name: string): boolean => values.get(name) === false;
  return [
    ...(off('PrometheusProcessMetricsEnabled') ? ['process_'] : []),
    ...(off('PrometheusGoMetricsEnabled') ? ['nodejs_'] : []),
  ];
}

/**
 * Felix' parameters PrometheusMetrics*: every address where no host is given, as with Felix. Throws an
 * Error where TLS is meant but not complete: it is never served without then.
 */
function placeOf(values: Values): Place | undefined {
  if (values.get('PrometheusMetricsEnabled') !== true) return undefined;
  const text = (name: string): string => {
    const value = values.get(`PrometheusMetrics${name}`);
    return typeof value === 'string' ? value : '';
  };
  const port = Number(values.get('PrometheusMetricsPort') ?? 9091);
  const host = text('Host');
  const tls = tlsOf(text);
  const options = { where: { port, ...(host && { host }) }, ...(tls && { tls }) };
  return { text: JSON.stringify(options), options };
}

function tlsOf(text: (name: string) => string): MetricsTls | undefined {
  const [certFile = '', keyFile = '', caFile = ''] = ['CertFile', 'KeyFile', 'CAFile'].map(text);
  const auth = text('ClientAuth');
  const wantsClients = auth !== '' && auth !== 'NoClientCert';
  if (!certFile && !keyFile && !caFile && !wantsClients) return undefined;
  if (!certFile || !keyFile) {
    throw new Error(
      'Cannot serve metrics with TLS: prometheusMetricsCertFile and prometheusMetricsKeyFile are both needed',
    );
  }
  if (wantsClients && !caFile) {
    throw new Error(
      `Cannot serve metrics: prometheusMetricsClientAuth ${JSON.stringify(auth)} needs prometheusMetricsCAFile`,
    );
  }
  const clientAuth = !wantsClients ? 'none' : auth.startsWith('Require') ? 'require' : 'ask';
  return { certFile, keyFile, ...(caFile && { caFile }), clientAuth };
}
