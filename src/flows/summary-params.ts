// Reads a question for sums from the text form of a command line or a query string.
import {
  type FlowFilterParams,
  InvalidFlowFilter,
  parseFlowFilter,
  conditionOf,
} from './flow-filter.ts';
import {
  type FlowRecordsQuery,
  type FlowSummaryQuery,
  LISTS,
  type ListField,
  type Measure,
  MEASURES,
  type ScalarField,
  SCALARS,
} from './flow-query.ts';

/** Words for several fields at once. */
const GROUPS: Readonly<Record<string, readonly ScalarField[]>> = {
  source: ['sourceType', 'sourceNamespace', 'sourceAggregate'],
  destination: ['destinationType', 'destinationNamespace', 'destinationAggregate'],
  service: ['serviceNamespace', 'serviceName'],
};
const DURATION = /^(\d{1,9})(s|m|h|d)$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const LIMIT = { default: 100, max: 10_000 } as const;
const SPAN_MS = 3_600_000;
const FIELDS_MAX = 12;

/**
 * Reads `by` (fields with commas between, or source, destination, service), `each`, `step`, `order`,
 * `limit`, `once` (default true: each packet once) and every filter of `parseFlowFilter`. Without
 * `since` it is the last hour. Throws InvalidFlowFilter with every problem.
 */
export function parseSummaryQuery(params: FlowFilterParams, nowMs: number): FlowSummaryQuery {
  const { by, each, step, order, limit, once, ...rest } = params;
  const problems: string[] = [];
  const read = <T>(value: T | string): T | undefined => {
    if (typeof value !== 'string') return value;
    problems.push(value);
    return undefined;
  };
  const groupBy = read(readFields(by ?? 'source,destination'));
  const list = each === undefined || each === '' ? undefined : read(readList(each));
  const stepMs = step === undefined || step === '' ? undefined : read(readStep(step));
  const orderBy = read(readMeasure(order ?? 'bytesOut'));
  const window = readWindow(rest, { nowMs, problems });
  const all = read(readLimit(limit));
  if (problems.length > 0 || !groupBy || !orderBy || !window || all === undefined) {
    throw new InvalidFlowFilter(problems);
  }
  const where = once === 'false' ? window.where : { all: [window.where, { once: true as const }] };
  return {
    ...window,
    where,
    groupBy,
    ...(list && { each: list.field }),
    ...(stepMs && { step: stepMs.step }),
    orderBy: orderBy.measure,
    limit: all,
  };
}

/** Reads `limit` and every filter of `parseFlowFilter`. Throws InvalidFlowFilter with every problem. */
export function parseRecordsQuery(params: FlowFilterParams, nowMs: number): FlowRecordsQuery {
  const { limit, ...rest } = params;
  const problems: string[] = [];
  const window = readWindow(rest, { nowMs, problems });
  const most = readLimit(limit);
  if (typeof most === 'string') problems.push(most);
  if (problems.length > 0 || !window || typeof most === 'string') {
    throw new InvalidFlowFilter(problems);
  }
  return { ...window, limit: most };
}

/** The window and condition of a graph. Throws InvalidFlowFilter. */
export function parseWindow(params: FlowFilterParams, nowMs: number): Window {
  const problems: string[] = [];
  const window = readWindow(params, { nowMs, problems });
  if (!window) throw new InvalidFlowFilter(problems);
  return window;
}

type Window = Required<Pick<FlowSummaryQuery, 'from' | 'to' | 'where'>>;

function readWindow(
  params: FlowFilterParams,
  { nowMs, problems }: { nowMs: number; problems: string[] },
): Window | undefined {
  try {
    const filter = parseFlowFilter(params, nowMs);
    const to = Math.floor(filter.untilMs ?? nowMs + 1);
    const from = Math.floor(filter.sinceMs ?? to - SPAN_MS);
    return { from, to, where: conditionOf(filter) };
  } catch (error) {
    if (!(error instanceof InvalidFlowFilter)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

function readFields(text: string): ScalarField[] | string {
  const words = text.split(',').filter((word) => word !== '');
  const fields: ScalarField[] = [];
  const unknown: string[] = [];
  for (const word of words) {
    if (Object.hasOwn(GROUPS, word)) fields.push(...(GROUPS[word] ?? []));
    else if (Object.hasOwn(SCALARS, word)) fields.push(word as ScalarField);
    else unknown.push(word);
  }
  if (unknown.length === 0 && fields.length <= FIELDS_MAX) return [...new Set(fields)];
  const all = [...Object.keys(GROUPS), ...Object.keys(SCALARS)].join(', ');
  return `by ${JSON.stringify(text)} is no list of at most ${FIELDS_MAX} fields; use ${all}`;
}

function readList(text: string): { field: ListField } | string {
  if (Object.hasOwn(LISTS, text)) return { field: text as ListField };
  return `each ${JSON.stringify(text)} is no list; use ${Object.keys(LISTS).join(', ')}`;
}

function readStep(text: string): { step: number } | string {
  const [, count, unit] = DURATION.exec(text) ?? [];
  const step = Number(count) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  return step > 0 ? { step } : `step ${JSON.stringify(text)} is no duration; write 15s, 1m or 1h`;
}

function readMeasure(text: string): { measure: Measure } | string {
  const measure = MEASURES.find((it) => it === text);
  if (measure) return { measure };
  return `order ${JSON.stringify(text)} is no measure; use ${MEASURES.join(', ')}`;
}

function readLimit(text: string | undefined): number | string {
  if (text === undefined || text === '') return LIMIT.default;
  const limit = Number(text);
  if (/^\d{1,7}$/.test(text) && limit >= 1 && limit <= LIMIT.max) return limit;
  return `limit ${JSON.stringify(text)} is no number from 1 to ${LIMIT.max}`;
}
