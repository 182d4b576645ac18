// Parsers of parameters that are one thing: a switch, a number, a duration, a word, an address, a pattern.
import { formatAddress, type Family, parseAddress } from '#lib';
import { isDscp, readDscp } from '../number-or-text.ts';
import { quoted } from '../problem.ts';
import { ParameterError, type ParameterParser, type ParameterValue } from './parameter.ts';

const TRUE: readonly string[] = ['true', '1', 'yes', 'y', 't'];
const FALSE: readonly string[] = ['false', '0', 'no', 'n', 'f'];
const REGION_MAX = 46;

function refuse(text: string, wanted: string): never {
  throw new ParameterError(`${quoted(text)} is not allowed: use ${wanted}`);
}

export const boolean: ParameterParser = { zero: false, parse: parseBoolean };
/** Unset is a third value: the agent decides. */
export const optionalBoolean: ParameterParser = { zero: null, parse: parseBoolean };

function parseBoolean(text: string): boolean {
  const word = text.toLowerCase();
  if (TRUE.includes(word)) return true;
  return FALSE.includes(word) ? false : refuse(text, 'true or false');
}

/** A whole number within bounds. */
export function integer(
  minimum = Number.MIN_SAFE_INTEGER,
  maximum = Number.MAX_SAFE_INTEGER,
): ParameterParser {
  return {
    zero: 0,
    parse: (text) => {
      const value = Number(text);
      const whole = /^[-+]?\d{1,16}$/.test(text);
      if (whole && value >= minimum && value <= maximum) return value;
      return refuse(text, `a whole number from ${minimum} to ${maximum}`);
    },
  };
}

export const port = integer(0, 65_535);
export const routePriority = integer(1, 2_147_483_646);

/** Decimal or hexadecimal, at least two bits of 32: the agent needs them apart. */
export const markMask: ParameterParser = {
  zero: 0,
  parse: (text) => {
    const value = /^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/.test(text) ? Number(text) : Infinity;
    const bits = Number.isFinite(value) ? value.toString(2).replaceAll('0', '').length : 0;
    return value <= 0xffffffff && bits >= 2 ? value : refuse(text, 'at least two of 32 bits');
  },
};

/** A number of units with or without fraction, as milliseconds. */
function duration(unitMs: number, unit: string): ParameterParser {
  return {
    zero: 0,
    unitMs,
    parse: (text) =>
      /^[-+]?(\d+\.?\d*|\.\d+)$/.test(text)
        ? Number(text) * unitMs
        : refuse(text, `a number of ${unit}`),
  };
}

export const seconds = duration(1000, 'seconds');
export const milliseconds = duration(1, 'milliseconds');

export const text: ParameterParser = { zero: '', parse: (value) => value };
/** The agent looks whether it is there. */
export const path: ParameterParser = text;

export function matching(pattern: RegExp): ParameterParser {
  return {
    zero: '',
    parse: (value) => (pattern.test(value) ? value : refuse(value, `text like ${pattern.source}`)),
  };
}

export const hostName = matching(/^[a-zA-Z0-9_.-]+$/);
export const hostAddress = matching(/^[a-zA-Z0-9:._+-]{1,64}$/);
export const hostPort = matching(/^[^:/]+:\d+$/);
export const interfaceName = matching(/^[a-zA-Z0-9:._+-]{1,15}$/);

/** One of the words, in any letter case; the value is as they are spelt here. */
export function oneOf(...words: readonly string[]): ParameterParser {
  return {
    zero: '',
    words,
    parse: (value) =>
      words.find((word) => word.toLowerCase() === value.toLowerCase()) ??
      refuse(value, words.join(', ')),
  };
}

export const toggle = oneOf('Enabled', 'Disabled');
export const logLevel = oneOf('TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'FATAL');

export function address(family: Family): ParameterParser {
  return {
    zero: '',
    parse: (value) => {
      const parsed = parseAddress(value);
      return parsed?.family === family
        ? formatAddress(parsed)
        : refuse(value, `an IPv${family} address`);
    },
  };
}

export const regexp: ParameterParser = {
  zero: '',
  parse: (value) => (isRegexp(value) ? value : refuse(value, 'a regular expression')),
};

/** Go's regular expressions, as far as JavaScript's are the same. */
export function isRegexp(value: string): boolean {
  try {
    new RegExp(value.replace(/^\(\?[imsU]+\)/, ''), 'u');
    return true;
  } catch {
    return false;
  }
}

export const dscp: ParameterParser = {
  zero: 0,
  parse: (value): ParameterValue => {
    const mark = readDscp(value);
    return mark !== undefined && isDscp(mark) ? mark : refuse(value, '0 to 63 or a name like AF11');
  },
};

/** With `openstack-region-` before it, it must be a DNS label. */
export const region: ParameterParser = {
  zero: '',
  parse: (value) =>
    value.length <= REGION_MAX && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value)
      ? value
      : refuse(value, `at most ${REGION_MAX} of a-z, 0-9 and "-"`),
};
