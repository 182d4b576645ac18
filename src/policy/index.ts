// The door of policy: may this packet pass, and why. The reference that every data plane is judged by.
export { diffResources } from './diff/diff-resources.ts';
export { formatDiff } from './diff/format-diff.ts';
export type {
  FlowGroup,
  FlowJudgement,
  FlowParties,
  FlowTraffic,
  IcmpRange,
  NotCompared,
  PolicyDiff,
} from './diff/policy-diff.ts';
export { evaluate } from './evaluate.ts';
export {
  type Direction,
  type Doubt,
  type Explanation,
  formatPolicyRef,
  type Half,
  type Judgement,
  type Outcome,
  type PolicyRef,
  type Ruling,
  type Step,
  type Verdict,
} from './explanation.ts';
export { formatExplanation } from './format-explanation.ts';
export { type HostPolicy, type HostRoute, walkHostEgress, walkHostIngress } from './host-stages.ts';
export {
  EPHEMERAL_PORT,
  type End,
  type Packet,
  type Party,
  protocolName,
  type Traffic,
} from './packet.ts';
export { type Finding, type LintCheck, type Severity } from './lint/finding.ts';
export { lint } from './lint/lint.ts';
export {
  type FieldProblem,
  type PacketFields,
  type ReadPacket,
  readPacketFields,
  type WrittenPacket,
} from './packet-fields.ts';
export { parseParty, PartyError } from './party.ts';
export {
  type Assertion,
  type Decider,
  isPolicyTest,
  type PolicyTest,
  type ReadPolicyTest,
  readPolicyTest,
} from './policy-test.ts';
export { type Reachability, type ReachabilityProbe, reachability } from './reachability.ts';
export { type AssertionResult, checkAssertion } from './run-policy-test.ts';
export {
  type AddressSet,
  ANYTHING,
  type MatchEntity,
  type MatchRule,
  mismatches,
  type PortSet,
} from './rule-match.ts';
export {
  type Decision,
  type TraceStep,
  type Walk,
  type WalkPolicy,
  type WalkProfile,
  walkProfiles,
  type WalkTier,
  walkTiers,
} from './tier-walk.ts';
export { buildWorld, type World } from './world.ts';
export { WorldError, type WorldProblem } from './world-problem.ts';
