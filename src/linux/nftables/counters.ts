// What the rules of a table have counted, by the prefixes that they log with.
import { type AttributeMap, parseAttributes } from '../netlink/attribute.ts';
import type { NetlinkMessage } from '../netlink/message.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import { NFT_MESSAGE, RULE, tableWriter } from './operation.ts';

/** Since the rule was made. A rule that does not log has no prefix, and one that does not count is left out. */
export interface CountedRule {
  readonly chain: string;
  readonly prefix: string | undefined;
  readonly packets: number;
  readonly bytes: number;
}

const HEADER_BYTES = 4;
const EXPRESSION = { NAME: 1, DATA: 2 } as const;
const COUNTER = { BYTES: 1, PACKETS: 2 } as const;
const LOG_PREFIX = 2;

/** Reads the counting rules of one chain of a table of family inet; none when there is no such chain. */
export function readCounters(socket: NetlinkSocket, table: string, chain: string): CountedRule[] {
  const body = tableWriter().string(RULE.TABLE, table).string(RULE.CHAIN, chain).finish();
  const action = `cannot read the counters of nftables table inet ${table}`;
  return socket
    .dump({ type: NFT_MESSAGE.GET_RULE, body, action })
    .flatMap((message) => countedRule(message, table, chain) ?? []);
}

function countedRule(
  message: NetlinkMessage,
  table: string,
  chain: string,
): CountedRule | undefined {
  const attributes = parseAttributes(message.body.subarray(HEADER_BYTES));
  if (attributes.string(RULE.TABLE) !== table) return undefined;
  if (attributes.string(RULE.CHAIN) !== chain) return undefined;
  let prefix: string | undefined;
  let counter: AttributeMap | undefined;
  for (const { data } of attributes.list(RULE.EXPRESSIONS)) {
    const expression = parseAttributes(data);
    const name = expression.string(EXPRESSION.NAME);
    if (name === 'log') prefix = expression.nested(EXPRESSION.DATA)?.string(LOG_PREFIX);
    if (name === 'counter') counter = expression.nested(EXPRESSION.DATA);
  }
  if (!counter) return undefined;
  return {
    chain,
    prefix,
    packets: Number(counter.be64(COUNTER.PACKETS) ?? 0n),
    bytes: Number(counter.be64(COUNTER.BYTES) ?? 0n),
  };
}
