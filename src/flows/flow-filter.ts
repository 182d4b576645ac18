// Which flows a user asks for: the filter's text form, its problems and its meaning.
import { type Address, parseAddress, parsePrefix, type Prefix, prefixContains } from '#lib';
import type { Flow, FlowEnd, PolicyHit } from './flow.ts';

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
  policy: readPolicy,
  since: readSince,
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

function readPolicy(text: string): FlowFilter | string {
  const parts = text.split('/');
  const [first, second] = parts;
  if (
    first === undefined ||
    parts.length > 2 ||
    parts.some((part) => part === '' || !isPattern(part))
  ) {
    return 'is no policy: write name, tier, tier/name or namespace/name';
  }
  return { policy: second === undefined ? [first] : [first, second] };
}

function readSince(text: string, nowMs: number): FlowFilter | string {
  const ago = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  const unit = UNITS_MS[ago?.[2] ?? ''];
  if (ago && unit) return { sinceMs: nowMs - Number(ago[1]) * unit };
  const time = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) return 'is no time: write 30s, 5m, 1h, or 2026-01-31T12:00:00Z';
  return { sinceMs: time };
}

/** Whether a flow meets every condition. */
export function matchesFlow(filter: FlowFilter, flow: Flow): boolean {
  const { from, to, verdict, policy, sinceMs, port, protocol } = filter;
  return (
    (from === undefined || endMatches(from, flow.source)) &&
    (to === undefined || endMatches(to, flow.destination)) &&
    (verdict === undefined || flow.verdict === verdict) &&
    (policy === undefined || flow.policies.some((hit) => policyMatches(policy, hit))) &&
    (sinceMs === undefined || flow.endTime >= sinceMs) &&
    (port === undefined || flow.port === port) &&
    (protocol === undefined || flow.protocol === protocol)
  );
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
