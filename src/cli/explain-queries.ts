// `tortie explain --queries`: many packets, a JSON object a line, and an answer a line in the same order.
import { closestName, isObject } from '#lib';
import {
  evaluate,
  type Party,
  parseParty,
  PartyError,
  readPacketFields,
  type World,
} from '#policy';
import { UsageError } from './cli-error.ts';
import { readLines } from './line-input.ts';
import type { Terminal } from './terminal.ts';

/** Answers are written in pieces of about this many characters. */
const PIECE = 64 * 1024;
const FIELDS = [
  'from',
  'to',
  'protocol',
  'port',
  'sourcePort',
  'icmpType',
  'icmpCode',
  'family',
  'through',
] as const;

/**
 * Answers every line; blank ones are passed over. A query that makes no sense is answered with `{"error": …}`, and in
 * the end throws UsageError, which says how many there were.
 */
export async function answerQueries(world: World, path: string, terminal: Terminal): Promise<void> {
  const parties = new Map<string, Party>();
  const partyOf = (text: string): Party => {
    const party = parties.get(text) ?? parseParty(world, text);
    parties.set(text, party);
    return party;
  };
  let piece = '';
  let line = 0;
  const failed: number[] = [];
  for await (const text of readLines(path, terminal)) {
    line++;
    if (text.trim() === '') continue;
    const answer = answerQuery(world, text, partyOf);
    if ('error' in answer) failed.push(line);
    piece += `${JSON.stringify(answer)}\n`;
    if (piece.length < PIECE) continue;
    terminal.out(piece);
    piece = '';
  }
  terminal.out(piece);
  if (failed.length === 0) return;
  const lines = failed.slice(0, 5).join(', ');
  const more = failed.length > 5 ? ` and ${failed.length - 5} more` : '';
  throw new UsageError(
    `Cannot answer ${failed.length} of the queries: line ${lines}${more}; their answers say why`,
  );
}

function answerQuery(world: World, text: string, partyOf: (text: string) => Party): object {
  const problems: string[] = [];
  const query = parseQuery(text, problems);
  if (!query) return { error: problems.join('; ') };
  for (const field of Object.keys(query)) {
    if (FIELDS.some((known) => known === field)) continue;
    const near = closestName(field, FIELDS);
    problems.push(
      `${field} is not known: ${near ? `did you mean ${near}?` : `there are ${FIELDS.join(', ')}`}`,
    );
  }
  const [from, to] = (['from', 'to'] as const).map((field) => {
    const value = query[field];
    if (typeof value === 'string') return party(value, partyOf, problems);
    problems.push(
      `${field} is ${value === undefined ? 'missing' : 'no text'}: write namespace/pod, node:NAME or an address`,
    );
    return undefined;
  });
  const { fields, problems: wrong } = readPacketFields(query);
  problems.push(...wrong.map(({ field, message }) => `${field} ${message}`));
  if (!from || !to || !fields || problems.length > 0) return { error: problems.join('; ') };
  try {
    return evaluate(world, { ...fields, from, to });
  } catch (error) {
    if (error instanceof PartyError) return { error: error.message };
    throw error;
  }
}

function parseQuery(text: string, problems: string[]): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
    problems.push(
      `${text.slice(0, 60)} is no JSON object such as {"from": "web/front-1", "to": "shop/cart", "port": 80}`,
    );
  } catch (error) {
    problems.push(`this is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  return undefined;
}

function party(
  text: string,
  partyOf: (text: string) => Party,
  problems: string[],
): Party | undefined {
  try {
    return partyOf(text);
  } catch (error) {
    if (!(error instanceof PartyError)) throw error;
    problems.push(error.message);
    return undefined;
  }
}
