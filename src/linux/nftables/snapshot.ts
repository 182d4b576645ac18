// What a table of the kernel holds, read by dumps: chains, marks of rules, sets and their elements.
import { parseAttributes } from '../netlink/attribute.ts';
import { ERRNO } from '../libc.ts';
import { NetlinkError, type NetlinkMessage } from '../netlink/message.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import { readBaseSignature } from './chain.ts';
import { decodeComment } from './comment.ts';
import {
  CHAIN,
  ELEMENTS,
  NFT_MESSAGE,
  RULE,
  SET,
  TABLE,
  familyHeader,
  tableWriter,
} from './operation.ts';
import { type SetElement, isAnonymous, readElement, readSetSignature } from './set.ts';

export interface RuleSnapshot {
  readonly handle: bigint;
  /** Handle of the rule before it; absent for the first. */
  readonly position?: bigint;
  readonly comment?: string;
}

export interface ChainSnapshot {
  /** As `baseSignature` gives it; empty for a regular chain. */
  readonly base: string;
  readonly rules: readonly RuleSnapshot[];
}

export interface SetSnapshot {
  /** As `setSignature` gives it. */
  readonly signature: string;
  readonly elements: readonly SetElement[];
}

export interface TableSnapshot {
  /** A dormant table's chains are not hooked in: nothing of it is enforced. */
  readonly dormant: boolean;
  readonly chains: ReadonlyMap<string, ChainSnapshot>;
  /** Named sets only. */
  readonly sets: ReadonlyMap<string, SetSnapshot>;
}

const GENFLAG_DORMANT = 1;
const GENERATION_ID = 1;
const HEADER_BYTES = 4;

/** The number that grows with each change of any table of the namespace. */
export function readGeneration(socket: NetlinkSocket): number {
  const [message] = socket.request({
    type: NFT_MESSAGE.GET_GENERATION,
    body: familyHeader(0),
    action: 'cannot read the nftables generation',
  });
  const id = message && attributesOf(message).be32(GENERATION_ID);
  if (id === undefined) throw new Error('cannot read the nftables generation: no number came back');
  return id;
}

/** Reads a table of family inet; undefined when there is none. */
export function readTable(socket: NetlinkSocket, name: string): TableSnapshot | undefined {
  const table = readTableFlags(socket, name);
  if (table === undefined) return undefined;
  const rules = new Map<string, RuleSnapshot[]>();
  for (const message of dump(socket, NFT_MESSAGE.GET_RULE, name)) {
    const attributes = attributesOf(message);
    if (attributes.string(RULE.TABLE) !== name) continue;
    const chain = attributes.string(RULE.CHAIN) ?? '';
    const list = rules.get(chain) ?? [];
    list.push(readRule(message));
    rules.set(chain, list);
  }
  const chains = new Map<string, ChainSnapshot>();
  for (const message of dump(socket, NFT_MESSAGE.GET_CHAIN, name)) {
    const attributes = attributesOf(message);
    if (attributes.string(CHAIN.TABLE) !== name) continue;
    const chain = attributes.string(CHAIN.NAME) ?? '';
    chains.set(chain, { base: readBaseSignature(attributes), rules: rules.get(chain) ?? [] });
  }
  const dormant = (table & GENFLAG_DORMANT) !== 0;
  return { dormant, chains, sets: readSets(socket, name) };
}

function readTableFlags(socket: NetlinkSocket, name: string): number | undefined {
  const body = tableWriter().string(TABLE.NAME, name).finish();
  const action = `cannot read nftables table inet ${name}`;
  try {
    const [message] = socket.request({ type: NFT_MESSAGE.GET_TABLE, body, action });
    return message && (attributesOf(message).be32(TABLE.FLAGS) ?? 0);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return undefined;
    throw error;
  }
}

function readRule(message: NetlinkMessage): RuleSnapshot {
  const attributes = attributesOf(message);
  const position = attributes.be64(RULE.POSITION);
  const comment = decodeComment(attributes.bytes(RULE.USERDATA));
  return {
    handle: attributes.be64(RULE.HANDLE) ?? 0n,
    ...(position !== undefined && { position }),
    ...(comment !== undefined && { comment }),
  };
}

function readSets(socket: NetlinkSocket, table: string): Map<string, SetSnapshot> {
  const sets = new Map<string, SetSnapshot>();
  for (const message of dump(socket, NFT_MESSAGE.GET_SET, table)) {
    const attributes = attributesOf(message);
    const name = attributes.string(SET.NAME);
    if (name === undefined || attributes.string(SET.TABLE) !== table) continue;
    if (isAnonymous(attributes)) continue;
    const elements = readElements(socket, table, name);
    sets.set(name, { signature: readSetSignature(attributes), elements });
  }
  return sets;
}

function readElements(socket: NetlinkSocket, table: string, set: string): SetElement[] {
  const body = tableWriter().string(ELEMENTS.TABLE, table).string(ELEMENTS.SET, set).finish();
  const action = `cannot read nftables set inet ${table} ${set}`;
  const elements: SetElement[] = [];
  for (const message of socket.dump({ type: NFT_MESSAGE.GET_ELEMENTS, body, action })) {
    for (const attribute of attributesOf(message).list(ELEMENTS.LIST)) {
      const element = readElement(attribute);
      if (element) elements.push(element);
    }
  }
  return elements;
}

/** Dumps what belongs to a table; kernels that do not filter send other tables' things too. */
function dump(socket: NetlinkSocket, type: number, table: string): NetlinkMessage[] {
  const body = tableWriter().string(1, table).finish();
  return socket.dump({ type, body, action: `cannot read nftables table inet ${table}` });
}

function attributesOf(message: NetlinkMessage): ReturnType<typeof parseAttributes> {
  return parseAttributes(message.body.subarray(HEADER_BYTES));
}
