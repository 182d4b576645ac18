// The door of flows: from the kernel's events to what users see of connections.
export {
  type ConnectionEvent,
  type ConnectionTuple,
  type ConntrackCounter,
  type HitPacket,
  type RuleHit,
} from './connection.ts';
export { ConnectionTracker, type ConnectionTrackerOptions } from './connection-tracker.ts';
export { Directory } from './directory.ts';
export {
  decidingHit,
  type Flow,
  type FlowConnections,
  type FlowCounts,
  type FlowEnd,
  flowKey,
  flowProtocol,
  type PolicyHit,
} from './flow.ts';
export {
  type EndFilter,
  type FlowFilter,
  type FlowFilterParams,
  InvalidFlowFilter,
  matchesFlow,
  parseFlowFilter,
} from './flow-filter.ts';
export { type FlowFormat, formatFlow, formatFlowHeader, hitText } from './flow-format.ts';
export { InvalidFlow, parseFlow, parseFlows } from './flow-json.ts';
export { FlowLog, type FlowLogOptions } from './flow-log.ts';
export {
  type Denial,
  type GraphEdge,
  type GraphNode,
  serviceGraph,
  type ServiceGraph,
} from './service-graph.ts';
