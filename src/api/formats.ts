// The formats that schemas give to texts: each says what is wrong with a text, or nothing.
import { type Family, formatPrefix, maskPrefix, parseAddress, parsePrefix } from '#lib';
import { parseSelector, SelectorError, type SelectorNode } from '#selector';
import { parseDuration } from './duration.ts';
import { readAsNumber } from './number-or-text.ts';
import { quoted } from './problem.ts';

type Format = (text: string) => string | undefined;

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const QUALIFIED_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const PORT_NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const SUBDOMAIN_MAX = 253;

/** Problem of a text in a format; an unknown format is a mistake of ours. */
export function formatProblem(format: string, text: string): string | undefined {
  const check = FORMATS[format];
  if (!check) throw new Error(`no format "${format}"`);
  return check(text);
}

const FORMATS: Readonly<Record<string, Format>> = {
  address: (text) => (parseAddress(text) ? undefined : `${quoted(text)} is no IP address`),
  'optional-address': (text) =>
    text === '' || parseAddress(text) ? undefined : `${quoted(text)} is no IP address`,
  'address-4': (text) => addressOf(text, 4),
  'address-6': (text) => addressOf(text, 6),
  'peer-address': peerAddress,
  'as-number': asNumber,
  community,
  duration: (text) =>
    parseDuration(text) !== undefined
      ? undefined
      : `${quoted(text)} is no duration; write it like "90s" or "1h30m"`,
  network: (text) => (parsePrefix(text) ? undefined : `${quoted(text)} is no CIDR or IP address`),
  'network-4': (text) =>
    parsePrefix(text)?.family === 4 ? undefined : `${quoted(text)} is no IPv4 CIDR or address`,
  'port-range': portRange,
  regexp,
  'masked-network': maskedNetwork,
  port: portText,
  'port-name': (text) => (isPortName(text) ? undefined : `${quoted(text)} is no port name`),
  selector: (text) => selectorProblem(text, false),
  'entity-namespace-selector': (text) => selectorProblem(text, true),
  subdomain: (text) =>
    isSubdomain(text)
      ? undefined
      : `${quoted(text)} is no name: use at most ${SUBDOMAIN_MAX} of a-z, 0-9, "-" and "."`,
  'label-key': (text) => (isLabelKey(text) ? undefined : `${quoted(text)} is no label key`),
  'label-value': (text) =>
    LABEL_VALUE.test(text)
      ? undefined
      : `${quoted(text)} is no label value: use at most 63 letters, digits, "-", "_" and "."`,
};

/** RFC 1123 subdomain. */
export function isSubdomain(text: string): boolean {
  return text.length <= SUBDOMAIN_MAX && SUBDOMAIN.test(text);
}

/** Key of a label or annotation: a name, with a DNS prefix or without. */
export function isLabelKey(text: string): boolean {
  const slash = text.lastIndexOf('/');
  if (!QUALIFIED_NAME.test(text.slice(slash + 1))) return false;
  return slash < 0 || isSubdomain(text.slice(0, slash));
}

function addressOf(text: string, family: Family): string | undefined {
  return parseAddress(text)?.family === family
    ? undefined
    : `${quoted(text)} is no IPv${family} address`;
}

/** An address, or one with a port; IPv6 with a port in brackets. */
function peerAddress(text: string): string | undefined {
  if (parseAddress(text)) return undefined;
  const match = /^(?:([\d.]+)|\[([0-9a-fA-F:.]+)\]):(\d{1,5})$/.exec(text);
  const family = match?.[1] === undefined ? 6 : 4;
  const address = parseAddress(match?.[1] ?? match?.[2] ?? '');
  const port = Number(match?.[3] ?? 0);
  if (address?.family === family && port >= 1 && port <= 65535) return undefined;
  return `${quoted(text)} is no peer; write "192.0.2.1", "192.0.2.1:179" or "[2001:db8::1]:179"`;
}

function asNumber(text: string): string | undefined {
  if (readAsNumber(text) !== undefined) return undefined;
  return `${quoted(text)} is no AS number: use 0 to 4294967295, or high.low`;
}

/** RFC 1997 with two 16-bit parts, RFC 8092 with three 32-bit parts. */
function community(text: string): string | undefined {
  const parts = text.split(':').map((part) => (/^\d{1,10}$/.test(part) ? Number(part) : Infinity));
  const most = parts.length === 2 ? 0xffff : 0xffffffff;
  const many = parts.length === 2 || parts.length === 3;
  if (many && parts.every((part) => part <= most)) return undefined;
  return `${quoted(text)} is no community; write two 16-bit numbers "a:b" or three 32-bit ones "a:b:c"`;
}

function isPortName(text: string): boolean {
  return PORT_NAME.test(text) && !/^\d+$/.test(text);
}

function maskedNetwork(text: string): string | undefined {
  const prefix = parsePrefix(text);
  if (!prefix) return `${quoted(text)} is no CIDR or IP address`;
  const masked = maskPrefix(prefix);
  if (masked.bits === prefix.bits) return undefined;
  return `${quoted(text)} has host bits set; write ${quoted(formatPrefix(masked))}`;
}

function portRange(text: string): string | undefined {
  return /^\d+:\d+$/.test(text) ? portText(text) : `${quoted(text)} is no port range "first:last"`;
}

/** Go's regular expressions, as far as JavaScript's are the same. */
function regexp(text: string): string | undefined {
  try {
    new RegExp(text.replace(/^\(\?[imsU]+\)/, ''));
    return undefined;
  } catch {
    return `${quoted(text)} is no regular expression`;
  }
}

function portText(text: string): string | undefined {
  const range = /^(\d+):(\d+)$/.exec(text);
  if (!range) {
    return isPortName(text)
      ? undefined
      : `${quoted(text)} is no port: use a number, a range "first:last" or a port's name`;
  }
  const first = Number(range[1]);
  const last = Number(range[2]);
  if (first < 1 || last > 65535) return `${quoted(text)} is no port range within 1 to 65535`;
  return first <= last
    ? undefined
    : `${quoted(text)} ends before it begins; write "${last}:${first}"`;
}

function selectorProblem(text: string, globalAlone: boolean): string | undefined {
  try {
    const { tree } = parseSelector(text);
    if (!usesGlobal(tree) || (globalAlone && tree.kind === 'global')) return undefined;
  } catch (error) {
    if (error instanceof SelectorError) return error.message;
    throw error;
  }
  const place = "the whole namespaceSelector of a rule's source or destination";
  return `${quoted(text)} uses global(), which may only be ${place}`;
}

function usesGlobal(node: SelectorNode): boolean {
  if (node.kind === 'not') return usesGlobal(node.operand);
  if (node.kind === 'and' || node.kind === 'or') return node.operands.some(usesGlobal);
  return node.kind === 'global';
}
