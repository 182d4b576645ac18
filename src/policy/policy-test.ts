// The PolicyTest: what a set of policies must allow and deny, as its author writes it down.
import type { Problem } from '#api';
import { closestName, isObject } from '#lib';
import type { Direction, Verdict } from './explanation.ts';
import { protocolName } from './packet.ts';
import { type PacketFields, readPacketFields } from './packet-fields.ts';

const API_VERSION = 'tortie.dev/v1';
const KIND = 'PolicyTest';
/** Combinations that one test may make. */
const CASES_MAX = 100_000;

/** What must have decided; absent fields may be anything. */
export interface Decider {
  /** Absent: either half with the expected verdict. */
  readonly direction?: Direction;
  /** null: no tier, but profiles or no policy at all. */
  readonly tier?: string | null;
  /** `shop/web`, or with its kind before it; null: the tier's default action. */
  readonly policy?: string | null;
  /** From 0. */
  readonly rule?: number;
}

/** One packet with its expected verdict. */
export interface Assertion {
  /** Field path of what it came from. */
  readonly path: string;
  readonly name: string | undefined;
  readonly from: string;
  readonly to: string;
  /** `tcp/8080`, for people. */
  readonly traffic: string;
  readonly packet: PacketFields;
  readonly expect: Verdict;
  /** The verdict if staged policies were enforced; undefined: whatever it would be. */
  readonly pending: Verdict | undefined;
  readonly by: Decider | undefined;
}

export interface PolicyTest {
  readonly name: string;
  /** Files and folders relative to the test's own. */
  readonly manifests: readonly string[];
  /** Lists written in one place are many here. */
  readonly assertions: readonly Assertion[];
}

export interface ReadPolicyTest {
  /** undefined where a problem was found. */
  readonly test: PolicyTest | undefined;
  readonly problems: readonly Problem[];
}

/** Whether a document of YAML means to be a PolicyTest. */
export function isPolicyTest(value: unknown): value is Record<string, unknown> {
  return (
    isObject(value) &&
    String(value['apiVersion']).startsWith('tortie.dev/') &&
    value['kind'] === KIND
  );
}

/** Reads a document of kind PolicyTest; every mistake at once, with its field path. */
export function readPolicyTest(value: Record<string, unknown>): ReadPolicyTest {
  const problems: Problem[] = [];
  const report: Report = (path, message) =>
    void problems.push({ path, message, severity: 'error' });
  if (value['apiVersion'] !== API_VERSION) {
    report('apiVersion', `${quoted(value['apiVersion'])} is not known; write "${API_VERSION}"`);
  }
  known(value, '', ['apiVersion', 'kind', 'metadata', 'spec'], report);
  const metadata = isObject(value['metadata']) ? value['metadata'] : {};
  const { spec } = value;
  if (!isObject(spec)) {
    report('spec', 'is required, with assertions');
    return { test: undefined, problems };
  }
  known(spec, 'spec', ['manifests', 'assertions'], report);
  const manifests = texts(spec['manifests'], 'spec.manifests', report);
  const assertions = readAssertions(spec['assertions'], report);
  if (problems.length > 0) return { test: undefined, problems };
  const name = typeof metadata['name'] === 'string' ? metadata['name'] : 'policy';
  return { test: { name, manifests, assertions }, problems };
}

type Report = (path: string, message: string) => void;

function readAssertions(value: unknown, report: Report): Assertion[] {
  const path = 'spec.assertions';
  if (!Array.isArray(value) || value.length === 0) {
    report(path, 'is required: a list of {from, to, port, expect}');
    return [];
  }
  const found: Assertion[] = [];
  for (const [index, item] of value.entries()) {
    const at = `${path}[${index}]`;
    if (!isObject(item)) report(at, `must be an object, is ${quoted(item)}`);
    else for (const assertion of readAssertion(item, at, report)) found.push(assertion);
    if (found.length > CASES_MAX) {
      report(at, tooMany());
      return [];
    }
  }
  return found;
}

function tooMany(): string {
  return `there are more than ${CASES_MAX} combinations; write several tests`;
}

const FIELDS = ['name', 'from', 'to', 'protocol', 'port', 'sourcePort', 'icmpType', 'icmpCode'];
const MORE_FIELDS = ['family', 'expect', 'pending', 'by'];

/** One for each combination of its lists. */
function readAssertion(item: Record<string, unknown>, path: string, report: Report): Assertion[] {
  known(item, path, [...FIELDS, ...MORE_FIELDS], report);
  const { expect, pending, name } = item;
  if (!isVerdict(expect)) {
    report(
      `${path}.expect`,
      expect === undefined
        ? 'is required: allow or deny'
        : `${quoted(expect)} is neither allow nor deny`,
    );
  }
  if (pending !== undefined && !isVerdict(pending)) {
    report(`${path}.pending`, `${quoted(pending)} is neither allow nor deny`);
  }
  if (name !== undefined && typeof name !== 'string') report(`${path}.name`, 'must be text');
  const from = required(item, 'from', path, report);
  const to = required(item, 'to', path, report);
  const packets = readPackets(item, path, report);
  const by = item['by'] === undefined ? undefined : readDecider(item['by'], `${path}.by`, report);
  if (!isVerdict(expect)) return [];
  if (from.length * to.length * packets.length > CASES_MAX) {
    report(path, tooMany());
    return [];
  }
  return from.flatMap((source) =>
    to.flatMap((destination) =>
      packets.map(({ packet, traffic }) => ({
        path,
        name: typeof name === 'string' ? name : undefined,
        from: source,
        to: destination,
        traffic,
        packet,
        expect,
        pending: isVerdict(pending) ? pending : undefined,
        by,
      })),
    ),
  );
}

function isVerdict(value: unknown): value is Verdict {
  return value === 'allow' || value === 'deny';
}

/** `port` may be a list; each is a number or `udp/53`. */
function readPackets(
  item: Record<string, unknown>,
  path: string,
  report: Report,
): { packet: PacketFields; traffic: string }[] {
  const { port } = item;
  const ports: unknown[] = Array.isArray(port) ? port : [port];
  if (ports.length === 0) report(`${path}.port`, 'is an empty list; name a port');
  return ports.flatMap((written, index) => {
    const at = Array.isArray(port) ? `${path}.port[${index}]` : `${path}.port`;
    const both = /^([A-Za-z0-9]+)\/(.*)$/.exec(typeof written === 'string' ? written : '');
    if (both && item['protocol'] !== undefined) {
      report(at, `${quoted(written)} names a protocol, and so does protocol; leave one out`);
      return [];
    }
    const protocol = both ? both[1] : (item['protocol'] ?? 'tcp');
    const { fields, problems } = readPacketFields({
      ...item,
      protocol,
      port: both ? both[2] : written,
    });
    for (const { field, message } of problems) {
      report(field === 'port' || (both && field === 'protocol') ? at : `${path}.${field}`, message);
    }
    if (!fields) return [];
    const name = protocolName(fields.protocol).toLowerCase();
    const traffic = fields.port === undefined ? name : `${name}/${fields.port}`;
    return [{ packet: fields, traffic }];
  });
}

function readDecider(value: unknown, path: string, report: Report): Decider | undefined {
  if (!isObject(value)) {
    report(
      path,
      `must be an object such as {tier: default, policy: shop/web, rule: 0}, is ${quoted(value)}`,
    );
    return undefined;
  }
  known(value, path, ['direction', 'tier', 'policy', 'rule'], report);
  const { direction, tier, policy, rule } = value;
  if (direction !== undefined && direction !== 'ingress' && direction !== 'egress') {
    report(`${path}.direction`, `${quoted(direction)} is neither ingress nor egress`);
  }
  for (const [field, text] of Object.entries({ tier, policy })) {
    if (text === undefined || text === null || typeof text === 'string') continue;
    report(`${path}.${field}`, `must be text, or null for none, is ${quoted(text)}`);
  }
  if (rule !== undefined && !(typeof rule === 'number' && Number.isInteger(rule) && rule >= 0)) {
    report(`${path}.rule`, `${quoted(rule)} is no index of a rule: they count from 0`);
  }
  return {
    ...(direction === 'ingress' || direction === 'egress' ? { direction } : {}),
    ...(typeof tier === 'string' || tier === null ? { tier } : {}),
    ...(typeof policy === 'string' || policy === null ? { policy } : {}),
    ...(typeof rule === 'number' ? { rule } : {}),
  };
}

function required(
  item: Record<string, unknown>,
  field: string,
  path: string,
  report: Report,
): string[] {
  const found = texts(item[field], `${path}.${field}`, report);
  const value = item[field];
  if (value === undefined || (Array.isArray(value) && value.length === 0)) {
    const forms = 'namespace/pod, node:NAME, an address, or a list of them';
    report(`${path}.${field}`, `is required: ${forms}`);
  }
  return found;
}

/** A text or a list of texts. */
function texts(value: unknown, path: string, report: Report): string[] {
  if (value === undefined) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.flatMap((it, index) => {
    if (typeof it === 'string' && it !== '') return [it];
    report(Array.isArray(value) ? `${path}[${index}]` : path, `must be text, is ${quoted(it)}`);
    return [];
  });
}

function known(
  value: Record<string, unknown>,
  path: string,
  fields: readonly string[],
  report: Report,
): void {
  for (const field of Object.keys(value)) {
    if (fields.includes(field)) continue;
    const near = closestName(field, fields);
    const hint = near === undefined ? `there are ${fields.join(', ')}` : `did you mean ${near}?`;
    report(path === '' ? field : `${path}.${field}`, `is not known: ${hint}`);
  }
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
