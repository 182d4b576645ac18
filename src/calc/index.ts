// The door of calc: the calculation graph, over resources and over Calico's own model, and what it produces.
export * from './dataplane-update.ts';
export { isInputKind } from './input-kinds.ts';
export { CalcGraph } from './graph.ts';
export { HostGraph } from './host-graph.ts';
export type { LabelIndexCounts, ScanStrategy } from './labels/label-index.ts';
export type * from './model.ts';
export type { Topology } from './network-graph.ts';
export { policyCompiler } from './policy-decoder.ts';
export type { CalcProblem } from './problem-log.ts';
export type { L3Route, RouteType } from './routes/l3-route.ts';
