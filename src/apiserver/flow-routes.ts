// The flows endpoint: nodes post what they saw, administrators query and follow it.
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { InvalidFlowFilter } from '#flows';
import { isObject } from '#lib';
import type { FlowQuery, FlowStore } from './flow-store.ts';
import { QUESTIONS } from './kept-flows.ts';
import { badRequest, noSuchPath } from './request-error.ts';
import { TakenBatches } from './taken-batches.ts';

export const FLOWS_PATH = '/apis/flows.tortie.dev/v1/flows';

/** A follower hears an empty line at least this often, so that a dead connection is noticed. */
const HEARTBEAT_MS = 15_000;
const MAX_WAITING = 16 * 1024 * 1024;

const taken = new WeakMap<FlowStore, TakenBatches>();

/** Another one tells agents that what this server had not kept yet may be lost. */
const SERVER_LIFE = randomUUID();

/**
 * Takes `{ flows: [...] }` in; with a `batch: { agent, number }` once, however often it comes. Answers with
 * what tells this life of the server from others.
 */
export function appendFlows(store: FlowStore, body: unknown): { readonly server: string } {
  const flows = isObject(body) ? body['flows'] : body;
  if (!Array.isArray(flows)) throw badRequest('the body must be {"flows": [...]}');
  const batch = isObject(body) ? body['batch'] : undefined;
  const batches = taken.get(store) ?? new TakenBatches();
  taken.set(store, batches);
  if (batches.isNew(batch)) {
    attempt(() => store.append(flows));
    batches.note(batch);
  }
  return { server: SERVER_LIFE };
}

/** `{ flows: [...] }`. */
export async function queryFlows(store: FlowStore, params: FlowQuery): Promise<unknown> {
  return { flows: await attempt(() => store.query(params)) };
}

/** Answers `records`, `summary`, `graph` or `state` about kept flows. */
export async function askKeptFlows(
  store: FlowStore,
  question: string,
  params: FlowQuery,
): Promise<unknown> {
  const known = QUESTIONS.find((it) => it === question);
  if (!known) throw noSuchPath(`${FLOWS_PATH}/${question}`);
  if (!store.kept)
    throw badRequest('this server keeps no flows; start it with --flow-storage duckdb');
  try {
    return await store.kept.ask(known, params);
  } catch (error) {
    if (error instanceof InvalidFlowFilter) throw badRequest(error.message);
    throw error;
  }
}

/** One flow a line, until the client goes or the server stops. */
export async function followFlows(
  store: FlowStore,
  params: FlowQuery,
  response: ServerResponse,
): Promise<void> {
  const abort = new AbortController();
  response.once('close', () => abort.abort());
  // A wrong parameter must be refused before the answer begins.
  await attempt(() => store.query({ ...params, limit: '1' }));
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-cache' });
  response.flushHeaders();
  const heartbeat = setInterval(() => response.write('\n'), HEARTBEAT_MS);
  try {
    for await (const flow of store.follow(params, abort.signal)) {
      response.write(`${JSON.stringify(flow)}\n`);
      if (response.writableLength > MAX_WAITING) break;
    }
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}

function attempt<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw badRequest(error instanceof Error ? error.message : String(error));
  }
}
