// The agent's parameters from all places that may set them, and what is wrong with them together.
import { closestName } from '#lib';
import { BPF_PARAMETERS } from './bpf-parameters.ts';
import { DATAPLANE_PARAMETERS } from './dataplane-parameters.ts';
import { ENTERPRISE_PARAMETERS } from './enterprise-parameters.ts';
import { defaultValue, type Parameter, ParameterError, type ParameterValue } from './parameter.ts';
import { PROCESS_PARAMETERS } from './process-parameters.ts';

export const AGENT_PARAMETERS: readonly Parameter[] = [
  ...PROCESS_PARAMETERS,
  ...DATAPLANE_PARAMETERS,
  ...BPF_PARAMETERS,
  ...ENTERPRISE_PARAMETERS,
];

const ENVIRONMENT_PREFIX = 'felix_';
const byName = new Map(AGENT_PARAMETERS.map((one) => [one.name.toLowerCase(), one]));

/** One place that sets parameters, by name in any letter case. */
export interface ParameterSource {
  /** For people: `environment variables`, `FelixConfiguration default`. */
  readonly name: string;
  /** Whether it belongs to this node, so that it may set local parameters. */
  readonly local: boolean;
  readonly values: Readonly<Record<string, string>>;
}

export interface ParameterProblem {
  /** The parameter; empty where several are wrong together. */
  readonly parameter: string;
  readonly message: string;
  /** Whether the agent must not run so; else the parameter keeps its default. */
  readonly fatal: boolean;
}

export interface ResolvedParameters {
  /** Of every parameter, by its name. */
  readonly values: ReadonlyMap<string, ParameterValue>;
  readonly problems: readonly ParameterProblem[];
}

/**
 * Each parameter from the first source that gives it a text: environment, file, FelixConfiguration of the node, of
 * its selector, `default` (spec 04). What cannot be read leaves the default; empty text is no text.
 */
export function resolveParameters(sources: readonly ParameterSource[]): ResolvedParameters {
  const problems: ParameterProblem[] = [];
  const given = new Map<string, { readonly text: string; readonly source: ParameterSource }>();
  for (const source of sources) {
    for (const [name, value] of Object.entries(source.values)) {
      const known = byName.get(name.toLowerCase());
      const text = value.trim();
      if (!known) problems.push(unknownParameter(name, source));
      else if (text === '' || given.has(known.name)) continue;
      else if (known.traits.includes('local') && !source.local) {
        const message = `may not be set in ${source.name}; use the environment or the node's file`;
        problems.push({ parameter: known.name, message, fatal: false });
      } else given.set(known.name, { text, source });
    }
  }
  const values = new Map(
    AGENT_PARAMETERS.map((one) => {
      const found = given.get(one.name);
      return [one.name, found ? readText(one, found.text, problems) : defaultValue(one)];
    }),
  );
  return { values, problems: [...problems, ...clashes(values)] };
}

function unknownParameter(name: string, source: ParameterSource): ParameterProblem {
  const meant = closestName(
    name,
    AGENT_PARAMETERS.map((one) => one.name),
  );
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  return { parameter: name, message: `is no parameter (${source.name})${hint}`, fatal: false };
}

function readText(one: Parameter, text: string, problems: ParameterProblem[]): ParameterValue {
  const { name, parser, traits } = one;
  if (text.toLowerCase() === 'none' && !parser.words?.includes('None')) {
    if (!traits.includes('required')) return parser.zero;
    problems.push({ parameter: name, message: 'is required: it may not be none', fatal: true });
    return defaultValue(one);
  }
  try {
    return parser.parse(text);
  } catch (error) {
    if (!(error instanceof ParameterError)) throw error;
    problems.push({ parameter: name, message: error.message, fatal: traits.includes('fatal') });
    return defaultValue(one);
  }
}

const TYPHA_FILES = ['TyphaKeyFile', 'TyphaCertFile', 'TyphaCAFile'];
const TYPHA_PEER = ['TyphaCN', 'TyphaURISAN'];

/** What values forbid each other. */
function clashes(values: ReadonlyMap<string, ParameterValue>): ParameterProblem[] {
  const isSet = (name: string) => values.get(name) !== '';
  const problems: ParameterProblem[] = [];
  if ([...TYPHA_FILES, ...TYPHA_PEER].some(isSet)) {
    const complete = TYPHA_FILES.every(isSet) && TYPHA_PEER.some(isSet);
    const message = `TLS to Typha needs ${TYPHA_FILES.join(', ')} and one of ${TYPHA_PEER.join(', ')}`;
    if (!complete) problems.push({ parameter: '', message, fatal: true });
  }
  const ranges = values.get('RouteTableRanges');
  if (values.get('RouteTableRange') !== null && Array.isArray(ranges) && ranges.length > 0) {
    const message = 'RouteTableRange excludes RouteTableRanges; remove one';
    problems.push({ parameter: '', message, fatal: true });
  }
  return problems;
}

/** The variables that set parameters, `FELIX_` taken off their names. */
export function parametersInEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const entries = Object.entries(environment).flatMap(([name, value]) =>
    name.toLowerCase().startsWith(ENVIRONMENT_PREFIX) && value !== undefined
      ? [[name.slice(ENVIRONMENT_PREFIX.length), value] as const]
      : [],
  );
  return Object.fromEntries(entries);
}

/** `Name = value` a line; sections and lines that begin with # or ; are passed over. */
export function parametersInFile(text: string): Record<string, string> {
  const entries = text.split('\n').flatMap((line) => {
    const match = /^\s*([A-Za-z]\w*)\s*[=:]\s*(.*?)\s*$/.exec(line);
    return match?.[1] === undefined ? [] : [[match[1], match[2] ?? ''] as const];
  });
  return Object.fromEntries(entries);
}

/** Whether the node belongs to OpenStack, as far as the given texts tell. */
export function openStackActive(values: Readonly<Record<string, string>>): boolean {
  const lower = new Map(
    Object.entries(values).map(([name, value]) => [name.toLowerCase(), value.trim().toLowerCase()]),
  );
  const listed = (name: string) => (lower.get(name) ?? '').split(',').map((item) => item.trim());
  const says = (name: string) => !['', 'none'].includes(lower.get(name) ?? '');
  return (
    listed('clustertype').includes('openstack') ||
    says('metadataaddr') ||
    says('metadataport') ||
    listed('interfaceprefix').includes('tap')
  );
}
