// Parsers of parameters that are several things, separated by commas: ports, networks, ranges, pairs, patterns.
import { formatPrefix, maskPrefix, parsePrefix } from '#lib';
import { parseDuration } from '../duration.ts';
import { quoted } from '../problem.ts';
import { ParameterError, type ParameterParser, type ParameterValue } from './parameter.ts';
import { isRegexp } from './text-parsers.ts';

/** Each rule of the older kernel interface holds 15 ports, a range counts twice. */
const PORT_RANGES_MAX = 7;
const TABLES_MAX = 65_535;
const INTERFACE = /^[a-zA-Z0-9:._+-]{1,15}$/;

function refuse(text: string, wanted: string): never {
  throw new ParameterError(`${quoted(text)} is not allowed: use ${wanted}`);
}

function listOf(
  parseItem: (text: string) => ParameterValue,
  separator: RegExp = /,/,
): ParameterParser {
  return {
    zero: [],
    parse: (text) =>
      text
        .split(separator)
        .map((item) => item.trim())
        .filter((item) => item !== '')
        .map(parseItem),
  };
}

export const networks = listOf((item) => {
  const prefix = parsePrefix(item);
  return prefix ? formatPrefix(maskPrefix(prefix)) : refuse(item, 'a CIDR or address');
});

export const interfaceWildcards = listOf((item) =>
  INTERFACE.test(item) ? item : refuse(item, 'the name of an interface, "+" at its end for any'),
);

export const endpoints = listOf((item) => {
  const match = /^(https?):\/\/([^:/]+):(\d{1,5})\/?$/.exec(item);
  return match ? `${match[1]}://${match[2]}:${match[3]}/` : refuse(item, 'http(s)://host:port');
});

/** Names, and patterns between slashes; as regular expressions. */
export const interfacePatterns = listOf((item) => {
  const pattern = /^\/(.*)\/$/.exec(item)?.[1];
  if (pattern !== undefined) {
    return pattern !== '' && isRegexp(pattern) ? pattern : refuse(item, 'a regular expression');
  }
  return INTERFACE.test(item) ? `^${item}$` : refuse(item, "an interface's name or /pattern/");
});

/** `80` as a number, `80:90` as text. */
export const portRange: ParameterParser = { zero: 0, parse: parsePortRange };

function parsePortRange(text: string): number | string {
  const match = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1] ?? -1);
  const last = Number(match?.[2] ?? first);
  if (first < 0 || last > 65_535 || first > last) {
    return refuse(text, 'a port or "first:last" from 0 to 65535');
  }
  return first === last ? first : `${first}:${last}`;
}

export const portRanges: ParameterParser = limited(listOf(parsePortRange), PORT_RANGES_MAX);

function limited(parser: ParameterParser, itemsMax: number): ParameterParser {
  return {
    ...parser,
    parse: (text) => {
      const value = parser.parse(text);
      if (!Array.isArray(value) || value.length <= itemsMax) return value;
      return refuse(text, `at most ${itemsMax} items`);
    },
  };
}

/** `80`, `udp:53`, `tcp:10.0.0.0/8:22` or `tcp:[fd00::/8]:22`. */
export const protocolPorts = listOf((item) => {
  const match = /^(?:(\w+):)?(?:\[([^\]]+)\]:|([^:[\]]+):)?(\d{1,5})$/.exec(item);
  const protocol = (match?.[1] ?? 'tcp').toLowerCase();
  const port = Number(match?.[4] ?? Infinity);
  const wanted = 'port, protocol:port or protocol:network:port';
  if (!['tcp', 'udp', 'sctp'].includes(protocol) || port > 65_535) return refuse(item, wanted);
  const network = match?.[2] ?? match?.[3];
  if (network === undefined) return { protocol, port };
  const prefix = parsePrefix(network);
  if (!prefix) return refuse(item, wanted);
  return { protocol, port, net: formatPrefix(maskPrefix(prefix)) };
});

/** A range of routing tables, `1-250`; no more than those that no one else uses. */
export const tableRange: ParameterParser = {
  zero: null,
  parse: (text) => {
    const range = parseTableRange(text);
    return range.min >= 1 && range.max <= 250 ? range : refuse(text, 'a range within 1-250');
  },
};

/** Ranges of routing tables; not more tables than an agent can want. */
export const tableRanges: ParameterParser = {
  zero: [],
  parse: (text) => {
    const ranges = text
      .split(/[, ]+/)
      .filter((item) => item !== '')
      .map(parseTableRange);
    const count = ranges.reduce((sum, { min, max }) => sum + max - min + 1, 0);
    return count <= TABLES_MAX ? ranges : refuse(text, `at most ${TABLES_MAX} tables in all`);
  },
};

function parseTableRange(text: string): { readonly min: number; readonly max: number } {
  const match = /^(\d{1,10})-(\d{1,10})$/.exec(text);
  const [min, max] = [Number(match?.[1] ?? NaN), Number(match?.[2] ?? NaN)];
  if (min <= max && max <= 0xffffffff) return { min, max };
  return refuse(text, 'a range "first-last"');
}

/** `a=1,b=2`; the keys are free. */
export const pairs: ParameterParser = pairsOf((value) => value);

/** `name=90s,other=1m`, as milliseconds. */
export const durationPairs: ParameterParser = pairsOf(
  (value) => parseDuration(value) ?? refuse(value, 'a duration like 90s or 1h30m'),
);

function pairsOf(parseValue: (text: string) => ParameterValue): ParameterParser {
  return {
    zero: {},
    parse: (text) =>
      Object.fromEntries(
        text
          .split(',')
          .map((item) => item.trim())
          .filter((item) => item !== '')
          .map((item) => {
            const at = item.indexOf('=');
            if (at < 1) return refuse(item, 'name=value');
            return [item.slice(0, at).trim(), parseValue(item.slice(at + 1).trim())] as const;
          }),
      ),
  };
}
