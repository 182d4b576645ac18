// The door of dataplane: one host's desired state made real in its kernel.
export {
  type ApplyReport,
  Dataplane,
  type DataplaneCounts,
  type DataplaneOptions,
  OWN_INTERFACES,
  TABLE_NAME,
} from './dataplane.ts';
export type { SysctlKernel } from './host-sysctls.ts';
export type { RuleCounter } from './rule-counters.ts';
export { workloadMtu } from './routes/mtu.ts';
export type { RuleHit } from './rules/log-prefix.ts';
export { PASS_MARK } from './rules/mark.ts';
export type { ApplyError } from './rules/ruleset.ts';
