// The door of calc: the calculation graph and the value that it produces.
export * from './dataplane-update.ts';
export { isInputKind } from './input-kinds.ts';
export { CalcGraph } from './graph.ts';
export type { CalcProblem } from './problem-log.ts';
