// The door of metrics: what agent and server say of themselves to Prometheus.
export { AGENT_METRICS } from './agent-definitions.ts';
export {
  AgentMetrics,
  type AgentSources,
  type AppliedCounts,
  type ResourceChange,
} from './agent-metrics.ts';
export type { MetricDefinition } from './metric-definition.ts';
export { type MetricLabels, MetricRegistry } from './metric-registry.ts';
export {
  type MetricsListener,
  MetricsServer,
  type MetricsServerOptions,
  type MetricsTls,
} from './metrics-server.ts';
export { measureProcess, PROCESS_METRICS } from './process-metrics.ts';
export { RULE_METRICS, RuleMetrics, type RuleMetricsOptions } from './rule-metrics.ts';
export {
  type AddressCount,
  type AddressCounts,
  flowMeter,
  measureServer,
  SERVER_METRICS,
  type ServerSources,
} from './server-metrics.ts';
