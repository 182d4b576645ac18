// Which flows a user asks for: the filter's text form, its problems and its meaning.
import { type Address, parseAddress, parsePrefix, type Prefix, prefixContains } from '#lib';
import { parseSelector, type Selector, SelectorError } from '#selector';
import type { Flow, FlowEnd, PolicyHit } from './flow.ts';
import type { FlowCondition, RecordSide } from './flow-query.ts';

/** One side: by address, or by namespace and name (`*` at the end of a pattern matches any rest). */
export type EndFilter =
  | { readonly prefix: Prefix }
  | { readonly namespace: string | undefined; readonly name: string | undefined };

/** Every condition present must hold. */
export interface FlowFilter {
  readonly from?: EndFilter;
  readonly to?: EndFilter;
  readonly verdict?: 'allow' | 'deny';
  /** `name`, `tier`, `tier/name` or `namespace/name`, met by any step of the trace. */
  readonly policy?: readonly [string] | readonly [string, string];
  /** Flows that were active at or after this time. */
  readonly sinceMs?: number;
  /** Flows that began before this time. */
  readonly untilMs?: number;
  /** Of either end, as a pattern. */
  readonly namespace?: string;
  /** Matches the labels of either end. */
  readonly selector?: Selector;
  readonly fromSelector?: Selector;
  readonly toSelector?: Selector;
  /** `name` or `namespace/name` of the service that was called. */
  readonly service?: readonly [string] | readonly [string, string];
  /** Name of a process at the reporting end. */
  readonly process?: string;
  /** A policy on the way if the staged ones were enforced, in the same words as `policy`. */
  readonly pending?: readonly [string] | readonly [string, string];
  readonly reporter?: 'src' | 'dst';
  readonly port?: number;
  readonly protocol?: string;
  /** The newest so many. */
  readonly limit?: number;
}

/** The text form, as in a command line or a query string; see `parseFlowFilter` for the names. */
export type FlowFilterParams = Readonly<Record<string, string | undefined>>;

/** All that is wrong with a filter at once. */
export class InvalidFlowFilter extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`parse flow filter: ${problems.join('; ')}`);
    this.name = 'InvalidFlowFilter';
    this.problems = problems;
  }
}

const TEXT_MAX = 512;
const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

type Reader = (text: string, nowMs: number) => FlowFilter | string;

const PARAMETERS: Readonly<Record<string, Reader>> = {
  from: (text) => readEnd(text, (from) => ({ from })),
  to: (text) => readEnd(text, (to) => ({ to })),
  verdict: (text) =>
    text === 'allow' || text === 'deny' ? { verdict: text } : 'is neither allow nor deny',
  policy: (text) => readPolicy(text, (policy) => ({ policy })),
  pending: (text) => readPolicy(text, (pending) => ({ pending })),
  since: (text, nowMs) => readTime(text, nowMs, (sinceMs) => ({ sinceMs })),
  until: (text, nowMs) => readTime(text, nowMs, (untilMs) => ({ untilMs })),
  namespace: (text) => (isPattern(text) ? { namespace: text } : 'is no name of a namespace'),
  selector: (text) => readSelector(text, (selector) => ({ selector })),
  'from-selector': (text) => readSelector(text, (fromSelector) => ({ fromSelector })),
  'to-selector': (text) => readSelector(text, (toSelector) => ({ toSelector })),
  service: (text) =>
    readPolicy(text, (service) => ({ service }), 'service: write name or namespace/name'),
  process: (text) => ({ process: text }),
  reporter: (text) =>
    text === 'src' || text === 'dst' ? { reporter: text } : 'is neither src nor dst',
  port: (text) => {
    const port = Number(text);
    const valid = /^\d{1,5}$/.test(text) && port >= 1 && port <= 65535;
    return valid ? { port } : 'is no port from 1 to 65535';
  },
  limit: (text) => {
    const limit = Number(text);
    const valid = /^\d{1,7}$/.test(text) && limit >= 1;
    return valid ? { limit } : 'is no number from 1 to 9999999';
  },
  protocol: (text) =>
    /^[a-zA-Z0-9]{1,16}$/.test(text)
      ? { protocol: text.toLowerCase() }
      : 'is no protocol: write tcp, udp, icmp, icmpv6, sctp or a number',
};

/**
 * Reads `from`, `to`, `verdict`, `policy`, `since`, `port`, `protocol` and `limit`. Empty values are as if
 * absent; `nowMs` is what `since=5m` counts back from. Throws InvalidFlowFilter.
 */
export function parseFlowFilter(params: FlowFilterParams, nowMs: number): FlowFilter {
  const problems: string[] = [];
  let filter: FlowFilter = {};
  for (const [name, text] of Object.entries(params)) {
    if (text === undefined || text === '') continue;
    const read = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    const result =
      text.length > TEXT_MAX
        ? `is longer than ${TEXT_MAX} characters`
        : (read?.(text, nowMs) ?? `is no filter; use ${Object.keys(PARAMETERS).join(', ')}`);
    if (typeof result === 'string') problems.push(`${name} ${JSON.stringify(text)} ${result}`);
    else filter = { ...filter, ...result };
  }
  if (problems.length > 0) throw new InvalidFlowFilter(problems);
  return filter;
}

function readEnd(text: string, wrap: (end: EndFilter) => FlowFilter): FlowFilter | string {
  const prefix = parsePrefix(text);
  if (prefix) return wrap({ prefix });
  const parts = text.split('/');
  if (parts.length > 2 || !parts.every(isPattern)) {
    return 'is no namespace/name, namespace/, name, address or prefix; * may only end a pattern';
  }
  const [first = '', second] = parts;
  if (second === undefined) return wrap({ namespace: undefined, name: first });
  return wrap({ namespace: first || undefined, name: second || undefined });
}

function isPattern(text: string): boolean {
  return /^[A-Za-z0-9._:-]*\*?$/.test(text);
}

type NamePair = readonly [string] | readonly [string, string];

function readPolicy(
  text: string,
  wrap: (pair: NamePair) => FlowFilter,
  what = 'policy: write name, tier, tier/name or namespace/name',
): FlowFilter | string {
  const parts = text.split('/');
  const [first, second] = parts;
  if (
    first === undefined ||
    parts.length > 2 ||
    parts.some((part) => part === '' || !isPattern(part))
  ) {
    return `is no ${what}`;
  }
  return wrap(second === undefined ? [first] : [first, second]);
}

function readTime(
  text: string,
  nowMs: number,
  wrap: (timeMs: number) => FlowFilter,
): FlowFilter | string {
  const ago = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  const unit = UNITS_MS[ago?.[2] ?? ''];
  if (ago && unit) return wrap(nowMs - Number(ago[1]) * unit);
  const time = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) return 'is no time: write 30s, 5m, 1h, or 2026-01-31T12:00:00Z';
  return wrap(time);
}

function readSelector(text: string, wrap: (selector: Selector) => FlowFilter): FlowFilter | string {
  try {
    return wrap(parseSelector(text));
  } catch (error) {
    if (error instanceof SelectorError) return `is no selector: ${error.message}`;
    throw error;
  }
}

/** Whether a flow meets every condition. */
export function matchesFlow(filter: FlowFilter, flow: Flow): boolean {
  const { from, to, verdict, policy, sinceMs, untilMs, port, protocol, pending } = filter;
  return (
    (from === undefined || endMatches(from, flow.source)) &&
    (to === undefined || endMatches(to, flow.destination)) &&
    (verdict === undefined || flow.verdict === verdict) &&
    (policy === undefined || flow.policies.some((hit) => policyMatches(policy, hit))) &&
    (pending === undefined || flow.pending?.some((hit) => policyMatches(pending, hit)) === true) &&
    (sinceMs === undefined || flow.endTime >= sinceMs) &&
    (untilMs === undefined || flow.startTime < untilMs) &&
    (port === undefined || flow.port === port) &&
    (protocol === undefined || flow.protocol === protocol) &&
    matchesParties(filter, flow)
  );
}

function matchesParties(filter: FlowFilter, flow: Flow): boolean {
  const { namespace, selector, fromSelector, toSelector, service, process, reporter } = filter;
  const { source, destination } = flow;
  const ends = [source, destination];
  return (
    (namespace === undefined || ends.some((end) => matchesPattern(namespace, end.namespace))) &&
    (selector === undefined || ends.some(({ labels }) => selector.evaluate(labels))) &&
    (fromSelector === undefined || fromSelector.evaluate(source.labels)) &&
    (toSelector === undefined || toSelector.evaluate(destination.labels)) &&
    (service === undefined || serviceMatches(service, flow)) &&
    (process === undefined || flow.process?.name === process) &&
    (reporter === undefined || flow.reporter === reporter || flow.reporter === 'both')
  );
}

function serviceMatches([first, second]: NamePair, { service }: Flow): boolean {
  if (!service) return false;
  if (second === undefined) return matchesPattern(first, service.name);
  return matchesPattern(first, service.namespace) && matchesPattern(second, service.name);
}

/**
 * The same filter as a condition on kept records; time and limit are the query's own. A policy is
 * found by its name with its tier, as Calico's flow logs write it.
 */
export function conditionOf(filter: FlowFilter): FlowCondition {
  const { from, to, verdict, policy, pending, port, protocol, namespace, reporter } = filter;
  const { selector, fromSelector, toSelector, service, process } = filter;
  const all: FlowCondition[] = [];
  if (from) all.push(endCondition(from, 'source'));
  if (to) all.push(endCondition(to, 'destination'));
  if (verdict) all.push({ field: 'verdict', in: [verdict] });
  if (policy) all.push(policyCondition(policy, 'policy'));
  if (pending) all.push(policyCondition(pending, 'pendingPolicy'));
  if (port !== undefined) all.push({ field: 'port', in: [port] });
  if (protocol !== undefined) all.push({ field: 'protocol', in: [protocol] });
  if (reporter) all.push({ field: 'reporter', in: [reporter] });
  if (namespace !== undefined) {
    all.push({
      any: [
        namespaceCondition('sourceNamespace', namespace),
        namespaceCondition('destinationNamespace', namespace),
      ],
    });
  }
  if (selector) {
    all.push({
      any: [
        { side: 'source', selector },
        { side: 'destination', selector },
      ],
    });
  }
  if (fromSelector) all.push({ side: 'source', selector: fromSelector });
  if (toSelector) all.push({ side: 'destination', selector: toSelector });
  if (service) {
    const [first, second] = service;
    all.push({ field: 'serviceName', like: second ?? first });
    if (second !== undefined) all.push({ field: 'serviceNamespace', like: first });
  }
  if (process !== undefined) all.push({ list: 'process', in: [process] });
  return { all };
}

/** Ends without a namespace match no pattern. */
function namespaceCondition(
  field: 'sourceNamespace' | 'destinationNamespace',
  like: string,
): FlowCondition {
  return { all: [{ field, like }, { not: { field, in: [''] } }] };
}

function endCondition(filter: EndFilter, side: RecordSide): FlowCondition {
  if ('prefix' in filter) return { side, prefix: filter.prefix };
  const { namespace, name } = filter;
  const fields =
    side === 'source'
      ? (['sourceNamespace', 'sourceName', 'sourceAggregate'] as const)
      : (['destinationNamespace', 'destinationName', 'destinationAggregate'] as const);
  const [namespaceField, nameField, aggregateField] = fields;
  const all: FlowCondition[] = [];
  if (namespace !== undefined) all.push(namespaceCondition(namespaceField, namespace));
  if (name !== undefined) {
    all.push({
      any: [
        { field: nameField, like: name },
        { field: aggregateField, like: name },
      ],
    });
  }
  return { all };
}

/** Names in kept records are `tier.name`, with the namespace before where there is one. */
function policyCondition(
  [first, second]: NamePair,
  list: 'policy' | 'pendingPolicy',
): FlowCondition {
  if (second !== undefined) {
    return {
      any: [
        { list, like: `${first}/*.${second}` },
        { list, like: `${first}.${second}` },
        { list, like: `*/${first}.${second}` },
      ],
    };
  }
  const tier: FlowCondition[] = list === 'policy' ? [{ list: 'policyTier', like: first }] : [];
  return {
    any: [
      ...tier,
      { list, like: first },
      { list, like: `*.${first}` },
      { list, like: `*/${first}` },
    ],
  };
}

function endMatches(filter: EndFilter, end: FlowEnd): boolean {
  if ('prefix' in filter) {
    const address: Address | undefined = parseAddress(end.address);
    return address !== undefined && prefixContains(filter.prefix, address);
  }
  const { namespace, name } = filter;
  if (namespace !== undefined && !matchesPattern(namespace, end.namespace)) return false;
  return name === undefined || matchesPattern(name, end.name);
}

function policyMatches(policy: NonNullable<FlowFilter['policy']>, hit: PolicyHit): boolean {
  const [first, second] = policy;
  if (second === undefined)
    return matchesPattern(first, hit.name) || matchesPattern(first, hit.tier);
  const within = matchesPattern(first, hit.tier) || matchesPattern(first, hit.namespace);
  return within && matchesPattern(second, hit.name);
}

function matchesPattern(pattern: string, text: string | null): boolean {
  if (text === null) return false;
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}
