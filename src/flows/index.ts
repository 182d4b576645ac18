// The door of flows: from the kernel's events to what users see of connections.
export {
  type ConnectionEvent,
  connectionKey,
  type ConnectionTuple,
  type ConntrackCounter,
  type HitPacket,
  type RuleHit,
} from './connection.ts';
export { ConnectionTracker, type ConnectionTrackerOptions } from './connection-tracker.ts';
export { type ConnectionReport, describeReport, type ReportContext } from './connection-report.ts';
export { Directory } from './directory.ts';
export { FileLogEntries } from './file-log-entries.ts';
export { type FileLogEntry, type FileLogSettings } from './file-log-entry.ts';
export {
  countsAtReporter,
  decidingHit,
  type Flow,
  type FlowConnections,
  type FlowCounts,
  type FlowEnd,
  flowKey,
  type FlowProcess,
  type FlowService,
  type FlowTcp,
  type FlowTranslation,
  flowProtocol,
  type PolicyHit,
  type PolicyTrigger,
} from './flow.ts';
export { FlowAggregator, type FlowAggregatorOptions } from './flow-aggregator.ts';
export {
  conditionOf,
  type EndFilter,
  type FlowFilter,
  type FlowFilterParams,
  InvalidFlowFilter,
  matchesFlow,
  parseFlowFilter,
} from './flow-filter.ts';
export { type FlowFormat, formatFlow, formatFlowHeader, hitText } from './flow-format.ts';
export { InvalidFlow, parseFlow, parseFlows } from './flow-json.ts';
export { MergedFlows, type MergedFlowsOptions } from './flow-merged.ts';
export { FlowLog, type FlowLogOptions } from './flow-log.ts';
export {
  type FlowCondition,
  type FlowQueryWindow,
  type FlowRecordsQuery,
  type FlowSummaryQuery,
  type FlowSummaryRow,
  isLike,
  type ListField,
  LISTS,
  matchesRecord,
  type Measure,
  MEASURES,
  type RecordSide,
  type ScalarField,
  SCALARS,
  selectRecords,
  summarise,
  sumsOf,
} from './flow-query.ts';
export {
  type AggregationLevel,
  type FlowRecord,
  policyName,
  policyText,
  type RecordEnd,
  recordKey,
  type RecordTcp,
} from './flow-record.ts';
export {
  graphQuery,
  type RecordGraph,
  recordGraph,
  type RecordGraphEdge,
  type RecordGraphNode,
} from './record-graph.ts';
export { parseRecordsQuery, parseSummaryQuery, parseWindow } from './summary-params.ts';
export {
  type Denial,
  type GraphEdge,
  type GraphNode,
  serviceGraph,
  type ServiceGraph,
} from './service-graph.ts';
