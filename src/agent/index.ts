// The door of agent: the loops of one node's agent.
export { DriftWatch } from './drift-watch.ts';
export { GuardedCalculation } from './guarded-calculation.ts';
export { UndoNoteFile } from './undo-note.ts';
export { HeldUpdates } from './held-updates.ts';
export { NodeAnnotator } from './node-annotator.ts';
export { PendingChanges } from './pending-changes.ts';
export {
  ApplyLoop,
  type ApplyReport,
  type AwaitedEndpoint,
  type Calculation,
  type Enforcer,
  type KernelPart,
} from './apply-loop.ts';
export { FlowCollector } from './flow-collector.ts';
export { FlowFileLog, type FlowFileLogOptions } from './flow-file-log.ts';
export type { FlowReadingState, FlowThreadOptions, SocketDetails } from './flow-messages.ts';
export { FlowWorker } from './flow-worker.ts';
export { PendingJudge } from './flow-pending.ts';
export { BatchRefused, type FlowBatch, type FlowReceipt, FlowShipper } from './flow-shipper.ts';
export { PoolSelection } from './pool-selection.ts';
export { type AgentStatusBody, StatusReporter } from './status-reporter.ts';
export { StaleConnections } from './stale-connections.ts';
export { EndpointStatusFiles } from './endpoint-status-files.ts';
export { HealthReport, type HealthTimeouts, WATCHED } from './health-report.ts';
export { HealthServer } from './health-server.ts';
export { listenForArrival } from './arrival-listener.ts';
export { LiveMigrations } from './live-migrations.ts';
export { MtuFile } from './mtu-file.ts';
export { RefreshTimers } from './refresh-timers.ts';
export { ToldProblems } from './told-problems.ts';
