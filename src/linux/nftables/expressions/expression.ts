// All nftables expressions as one union, and the encoding of a rule's list of them.
import type { AttributeWriter } from '../../netlink/attribute.ts';
import { type Bitwise, writeBitwise } from './bitwise.ts';
import { type Cmp, writeCmp } from './cmp.ts';
import { type Counter, writeCounter } from './counter.ts';
import { type Ct, writeCt } from './ct.ts';
import { type Fib, writeFib } from './fib.ts';
import { type FlowOffload, writeFlowOffload } from './flow-offload.ts';
import { type ImmediateValue, type ImmediateVerdict, writeImmediate } from './immediate.ts';
import { type Limit, writeLimit } from './limit.ts';
import { type Log, writeLog } from './log.ts';
import { type Lookup, writeLookup } from './lookup.ts';
import { type Meta, type MetaSet, writeMeta } from './meta.ts';
import { type Masquerade, type Nat, writeMasquerade, writeNat } from './nat.ts';
import type { NoTrack } from './notrack.ts';
import { type Payload, writePayload } from './payload.ts';
import { type Range, writeRange } from './range.ts';
import { type Reject, writeReject } from './reject.ts';

/** One step of a rule. Plain data: its JSON text says all of it. */
export type Expression =
  | Bitwise
  | Cmp
  | Counter
  | Ct
  | Fib
  | FlowOffload
  | ImmediateValue
  | ImmediateVerdict
  | Limit
  | Log
  | Lookup
  | Masquerade
  | Meta
  | MetaSet
  | Nat
  | NoTrack
  | Payload
  | Range
  | Reject;

const KERNEL_NAME: Readonly<Record<Expression['kind'], string>> = {
  bitwise: 'bitwise',
  cmp: 'cmp',
  counter: 'counter',
  ct: 'ct',
  fib: 'fib',
  'flow-offload': 'flow_offload',
  value: 'immediate',
  verdict: 'immediate',
  limit: 'limit',
  log: 'log',
  lookup: 'lookup',
  masquerade: 'masq',
  meta: 'meta',
  'meta-set': 'meta',
  nat: 'nat',
  notrack: 'notrack',
  payload: 'payload',
  range: 'range',
  reject: 'reject',
};

const ATTRIBUTE = { NAME: 1, DATA: 2 } as const;
const LIST_ELEMENT = 1;

/**
 * Writes a rule's expressions as the nest `type`. `firstSetId` numbers the rule's own sets, in the
 * order of the expressions that hold them.
 */
export function writeExpressions(
  writer: AttributeWriter,
  type: number,
  expressions: readonly Expression[],
  firstSetId: number,
): void {
  let setId = firstSetId;
  writer.list(type, LIST_ELEMENT, expressions, (nest, expression) => {
    nest.string(ATTRIBUTE.NAME, KERNEL_NAME[expression.kind]);
    nest.nested(ATTRIBUTE.DATA, (data) => writeExpression(data, expression, setId));
    if (expression.kind === 'lookup' && typeof expression.set !== 'string') setId++;
  });
}

function writeExpression(writer: AttributeWriter, expression: Expression, setId: number): void {
  switch (expression.kind) {
    case 'bitwise':
      return writeBitwise(writer, expression);
    case 'cmp':
      return writeCmp(writer, expression);
    case 'counter':
      return writeCounter(writer);
    case 'ct':
      return writeCt(writer, expression);
    case 'fib':
      return writeFib(writer, expression);
    case 'flow-offload':
      return writeFlowOffload(writer, expression);
    case 'value':
    case 'verdict':
      return writeImmediate(writer, expression);
    case 'limit':
      return writeLimit(writer, expression);
    case 'log':
      return writeLog(writer, expression);
    case 'lookup':
      return writeLookup(writer, expression, setId);
    case 'masquerade':
      return writeMasquerade(writer, expression);
    case 'meta':
    case 'meta-set':
      return writeMeta(writer, expression);
    case 'nat':
      return writeNat(writer, expression);
    case 'notrack':
      return undefined;
    case 'payload':
      return writePayload(writer, expression);
    case 'range':
      return writeRange(writer, expression);
    case 'reject':
      return writeReject(writer, expression);
    default:
      return expression satisfies never;
  }
}
