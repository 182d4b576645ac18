// Changes of an nftables table as plain data, and their encoding as netlink messages.
import { AttributeWriter } from '../netlink/attribute.ts';
import { MESSAGE_FLAG, type NetlinkRequest } from '../netlink/message.ts';
import { type BaseChain, writeBaseChain } from './chain.ts';
import { encodeComment } from './comment.ts';
import { type Expression, writeExpressions } from './expressions/expression.ts';
import { ANONYMOUS_NAME } from './expressions/lookup.ts';
import { FLOWTABLE, FLOWTABLE_MESSAGE, flowtableBodies } from './flowtable.ts';
import {
  SET_FLAG,
  type SetContent,
  type SetElement,
  type SetType,
  writeElement,
  writeSetType,
} from './set.ts';

/** One change. Tables are of the family inet: they see IPv4 and IPv6. */
export type NftOperation =
  /** Makes the table, or wakes it when it is dormant. */
  | { readonly kind: 'add-table'; readonly table: string }
  | { readonly kind: 'delete-table'; readonly table: string }
  | {
      readonly kind: 'add-chain';
      readonly table: string;
      readonly chain: string;
      readonly base?: BaseChain;
      readonly comment?: string;
    }
  /** Deletes a chain with its rules; nothing may refer to it any more. */
  | { readonly kind: 'delete-chain'; readonly table: string; readonly chain: string }
  /** Deletes the rules of a chain. */
  | { readonly kind: 'flush-chain'; readonly table: string; readonly chain: string }
  /** Appends a rule. */
  | {
      readonly kind: 'add-rule';
      readonly table: string;
      readonly chain: string;
      readonly expressions: readonly Expression[];
      readonly comment?: string;
    }
  | {
      readonly kind: 'delete-rule';
      readonly table: string;
      readonly chain: string;
      readonly handle: bigint;
    }
  | {
      readonly kind: 'add-set';
      readonly table: string;
      readonly set: string;
      readonly type: SetType;
    }
  | { readonly kind: 'delete-set'; readonly table: string; readonly set: string }
  | {
      readonly kind: 'add-elements' | 'delete-elements';
      readonly table: string;
      readonly set: string;
      readonly elements: readonly SetElement[];
    }
  | FlowtableOperation;

/** Adding makes the flowtable where there is none; the devices that it has it keeps. */
interface FlowtableOperation {
  readonly kind: 'add-flowtable' | 'delete-devices';
  readonly table: string;
  readonly flowtable: string;
  readonly priority: number;
  readonly devices: readonly string[];
}

/** Says in an error what was attempted. */
export function describeOperation(operation: NftOperation): string {
  const table = `inet ${operation.table}`;
  switch (operation.kind) {
    case 'add-table':
    case 'delete-table':
      return `${operation.kind} ${table}`;
    case 'add-chain':
    case 'delete-chain':
    case 'flush-chain':
      return `${operation.kind} ${table} ${operation.chain}`;
    case 'add-rule':
      return `${operation.kind} ${table} ${operation.chain} (${operation.comment ?? 'no comment'})`;
    case 'delete-rule':
      return `${operation.kind} ${table} ${operation.chain} handle ${operation.handle}`;
    case 'add-set':
    case 'delete-set':
      return `${operation.kind} ${table} ${operation.set}`;
    case 'add-elements':
    case 'delete-elements':
      return `${operation.kind} ${table} ${operation.set} (${operation.elements.length} elements)`;
    case 'add-flowtable':
    case 'delete-devices':
      return `${operation.kind} ${table} ${operation.flowtable}`;
    default:
      return operation satisfies never;
  }
}

const NFNL_SUBSYS_NFTABLES = 10;
const NFPROTO_INET = 1;

/** Numbers of the messages, with the subsystem in their high byte. */
export const NFT_MESSAGE = {
  NEW_TABLE: 0xa00,
  GET_TABLE: 0xa01,
  DELETE_TABLE: 0xa02,
  NEW_CHAIN: 0xa03,
  GET_CHAIN: 0xa04,
  DELETE_CHAIN: 0xa05,
  NEW_RULE: 0xa06,
  GET_RULE: 0xa07,
  DELETE_RULE: 0xa08,
  NEW_SET: 0xa09,
  GET_SET: 0xa0a,
  DELETE_SET: 0xa0b,
  NEW_ELEMENTS: 0xa0c,
  GET_ELEMENTS: 0xa0d,
  DELETE_ELEMENTS: 0xa0e,
  GET_GENERATION: 0xa10,
} as const;

export const TABLE = { NAME: 1, FLAGS: 2 } as const;
export const CHAIN = { TABLE: 1, NAME: 3, USERDATA: 12 } as const;
export const RULE = {
  TABLE: 1,
  CHAIN: 2,
  HANDLE: 3,
  EXPRESSIONS: 4,
  POSITION: 6,
  USERDATA: 7,
} as const;
export const SET = { TABLE: 1, NAME: 2, ID: 10 } as const;
export const ELEMENTS = { TABLE: 1, SET: 2, LIST: 3, SET_ID: 4 } as const;
const LIST_ELEMENT = 1;

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;

/** Elements of one message: their nest must stay under 64 KiB, at 100 bytes an element. */
const ELEMENTS_PER_MESSAGE = 500;

/** struct nfgenmsg: address family, version 0, resource. */
export function familyHeader(family: number, resource = 0): Uint8Array {
  return Uint8Array.of(family, 0, resource >> 8, resource & 0xff);
}

/** A writer that has begun with the header of a table's family. */
export function tableWriter(): AttributeWriter {
  return new AttributeWriter(familyHeader(NFPROTO_INET));
}

/** The messages of one transaction; `owners[i]` is the index of the operation of message i. */
export interface EncodedTransaction {
  readonly requests: readonly NetlinkRequest[];
  readonly owners: readonly number[];
}

/** Encodes a transaction with its begin and end messages, which no operation owns (-1). */
export function encodeTransaction(operations: readonly NftOperation[]): EncodedTransaction {
  const mark = (type: number): NetlinkRequest => ({
    type,
    body: familyHeader(0, NFNL_SUBSYS_NFTABLES),
  });
  const requests: NetlinkRequest[] = [mark(BATCH_BEGIN)];
  const owners = [-1];
  const ids = new SetIds();
  for (const [index, operation] of operations.entries()) {
    for (const request of encodeOperation(operation, ids)) {
      requests.push(request);
      owners.push(index);
    }
  }
  return { requests: [...requests, mark(BATCH_END)], owners: [...owners, -1] };
}

/** Numbers of the sets made in one transaction. */
class SetIds {
  #last = 0;

  take(count: number): number {
    const first = this.#last + 1;
    this.#last += count;
    return first;
  }
}

function encodeOperation(operation: NftOperation, ids: SetIds): NetlinkRequest[] {
  const { CREATE, APPEND } = MESSAGE_FLAG;
  const named = tableWriter().string(1, operation.table);
  switch (operation.kind) {
    case 'add-table':
      named.be32(TABLE.FLAGS, 0);
      return [{ type: NFT_MESSAGE.NEW_TABLE, flags: CREATE, body: named.finish() }];
    case 'delete-table':
      return [{ type: NFT_MESSAGE.DELETE_TABLE, body: named.finish() }];
    case 'add-chain':
      named.string(CHAIN.NAME, operation.chain);
      if (operation.base) writeBaseChain(named, operation.base);
      if (operation.comment) named.bytes(CHAIN.USERDATA, encodeComment(operation.comment));
      return [{ type: NFT_MESSAGE.NEW_CHAIN, flags: CREATE, body: named.finish() }];
    case 'delete-chain':
      named.string(CHAIN.NAME, operation.chain);
      return [{ type: NFT_MESSAGE.DELETE_CHAIN, body: named.finish() }];
    case 'flush-chain':
      named.string(RULE.CHAIN, operation.chain);
      return [{ type: NFT_MESSAGE.DELETE_RULE, body: named.finish() }];
    case 'add-rule':
      return encodeRule(operation, ids);
    case 'delete-rule':
      named.string(RULE.CHAIN, operation.chain).be64(RULE.HANDLE, operation.handle);
      return [{ type: NFT_MESSAGE.DELETE_RULE, body: named.finish() }];
    case 'add-set':
      named.string(SET.NAME, operation.set);
      writeSetType(named, operation.type, ids.take(1), 0);
      return [{ type: NFT_MESSAGE.NEW_SET, flags: CREATE, body: named.finish() }];
    case 'delete-set':
      named.string(SET.NAME, operation.set);
      return [{ type: NFT_MESSAGE.DELETE_SET, body: named.finish() }];
    case 'add-elements':
      return encodeElements(operation.table, operation.set, operation.elements).map((body) => ({
        type: NFT_MESSAGE.NEW_ELEMENTS,
        flags: CREATE | APPEND,
        body,
      }));
    case 'delete-elements':
      return encodeElements(operation.table, operation.set, operation.elements).map((body) => ({
        type: NFT_MESSAGE.DELETE_ELEMENTS,
        body,
      }));
    case 'add-flowtable':
    case 'delete-devices':
      return encodeFlowtable(operation);
    default:
      return operation satisfies never;
  }
}

function encodeFlowtable(operation: FlowtableOperation): NetlinkRequest[] {
  const { kind, table, flowtable } = operation;
  const begin = () =>
    tableWriter().string(FLOWTABLE.TABLE, table).string(FLOWTABLE.NAME, flowtable);
  const message =
    kind === 'add-flowtable'
      ? { type: FLOWTABLE_MESSAGE.NEW, flags: MESSAGE_FLAG.CREATE }
      : { type: FLOWTABLE_MESSAGE.DELETE };
  return flowtableBodies(begin, operation).map((body) => ({ ...message, body }));
}

function encodeRule(
  operation: Extract<NftOperation, { kind: 'add-rule' }>,
  ids: SetIds,
): NetlinkRequest[] {
  const { CREATE, APPEND } = MESSAGE_FLAG;
  const { table, chain, expressions, comment } = operation;
  const ownSets: SetContent[] = [];
  for (const expression of expressions) {
    if (expression.kind === 'lookup' && typeof expression.set !== 'string') {
      ownSets.push(expression.set);
    }
  }
  const firstId = ids.take(ownSets.length);
  const rule = tableWriter().string(RULE.TABLE, table).string(RULE.CHAIN, chain);
  writeExpressions(rule, RULE.EXPRESSIONS, expressions, firstId);
  if (comment) rule.bytes(RULE.USERDATA, encodeComment(comment));
  return [
    ...ownSets.flatMap((set, index) => encodeOwnSet(table, set, firstId + index)),
    { type: NFT_MESSAGE.NEW_RULE, flags: CREATE | APPEND, body: rule.finish() },
  ];
}

/** A rule's own set comes before the rule, which finds it by its number. */
function encodeOwnSet(table: string, set: SetContent, id: number): NetlinkRequest[] {
  const definition = tableWriter().string(SET.TABLE, table).string(SET.NAME, ANONYMOUS_NAME);
  writeSetType(definition, set.type, id, SET_FLAG.ANONYMOUS | SET_FLAG.CONSTANT);
  return [
    { type: NFT_MESSAGE.NEW_SET, flags: MESSAGE_FLAG.CREATE, body: definition.finish() },
    ...encodeElements(table, ANONYMOUS_NAME, set.elements, id).map((body) => ({
      type: NFT_MESSAGE.NEW_ELEMENTS,
      flags: MESSAGE_FLAG.CREATE,
      body,
    })),
  ];
}

function encodeElements(
  table: string,
  set: string,
  elements: readonly SetElement[],
  id?: number,
): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  for (let start = 0; start < elements.length; start += ELEMENTS_PER_MESSAGE) {
    const writer = tableWriter().string(ELEMENTS.TABLE, table).string(ELEMENTS.SET, set);
    if (id !== undefined) writer.be32(ELEMENTS.SET_ID, id);
    const some = elements.slice(start, start + ELEMENTS_PER_MESSAGE);
    writer.list(ELEMENTS.LIST, LIST_ELEMENT, some, writeElement);
    bodies.push(writer.finish());
  }
  return bodies;
}
