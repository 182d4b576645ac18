// The part of the door of linux that speaks nftables.
export { type BaseChain, type HookName, baseSignature } from './chain.ts';
export type { CountedRule } from './counters.ts';
export type { Flowtable } from './flowtable.ts';
export type { Expression } from './expressions/expression.ts';
export { CT_STATE } from './expressions/ct.ts';
export type { Hex, Verdict } from './expressions/register.ts';
export { type NftOperation, describeOperation } from './operation.ts';
export {
  type FieldType,
  type SetContent,
  type SetElement,
  type SetType,
  keyLength,
  setSignature,
} from './set.ts';
export type { ChainSnapshot, RuleSnapshot, SetSnapshot, TableSnapshot } from './snapshot.ts';
export { NftError, NftablesSocket } from './socket.ts';
