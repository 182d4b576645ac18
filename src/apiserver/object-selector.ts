// Label and field selectors of list, watch and delete requests, in Kubernetes' syntax.
import type { KindDefinition } from '#api';
import { isObject } from '#lib';
import { badRequest } from './request-error.ts';

/** Whether an object is selected. */
export type ObjectSelector = (object: Readonly<Record<string, unknown>>) => boolean;

type Labels = Readonly<Record<string, unknown>>;
type Requirement = (labels: Labels) => boolean;

const KEY = String.raw`[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?`;
const VALUE = String.raw`[-A-Za-z0-9_.]*`;
const EQUALITY = new RegExp(
  String.raw`^(?<key>${KEY})\s*(?<operator>==?|!=)\s*(?<value>${VALUE})$`,
);
const SET = new RegExp(
  String.raw`^(?<key>${KEY})\s+(?<operator>in|notin)\s*\((?<values>[^()]*)\)$`,
);
const EXISTS = new RegExp(String.raw`^(?<not>!?)\s*(?<key>${KEY})$`);

/** Selectors of a request's query; undefined where there are none. Throws a 400 that quotes them. */
export function objectSelector(
  kind: KindDefinition,
  query: { labelSelector?: string | undefined; fieldSelector?: string | undefined },
): ObjectSelector | undefined {
  const labels = query.labelSelector ? labelSelector(query.labelSelector) : undefined;
  const fields = query.fieldSelector ? fieldSelector(kind, query.fieldSelector) : undefined;
  if (!labels || !fields) return labels ?? fields;
  return (object) => labels(object) && fields(object);
}

/** Equality and set based requirements, joined by commas. */
export function labelSelector(text: string): ObjectSelector {
  const requirements = splitOutsideParentheses(text).map((part) => {
    const requirement = labelRequirement(part.trim());
    if (!requirement) {
      const advice = 'write key=value, key!=value, key in (a,b), key notin (a,b), key or !key';
      throw badRequest(`cannot read "${part.trim()}" in the label selector "${text}"; ${advice}`);
    }
    return requirement;
  });
  return (object) => {
    const metadata = isObject(object['metadata']) ? object['metadata'] : {};
    const labels = isObject(metadata['labels']) ? metadata['labels'] : {};
    return requirements.every((holds) => holds(labels));
  };
}

function labelRequirement(text: string): Requirement | undefined {
  const equality = EQUALITY.exec(text)?.groups;
  if (equality) {
    const { key = '', operator, value } = equality;
    return operator === '!='
      ? (labels) => own(labels, key) !== value
      : (labels) => own(labels, key) === value;
  }
  const set = SET.exec(text)?.groups;
  if (set) {
    const values = new Set<unknown>((set['values'] ?? '').split(',').map((item) => item.trim()));
    const { key = '', operator } = set;
    return operator === 'notin'
      ? (labels) => !values.has(own(labels, key))
      : (labels) => values.has(own(labels, key));
  }
  const exists = EXISTS.exec(text)?.groups;
  if (!exists) return undefined;
  const { key = '', not } = exists;
  return (labels) => Object.hasOwn(labels, key) === (not === '');
}

function own(labels: Labels, key: string): unknown {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function splitOutsideParentheses(text: string): string[] {
  return text.split(/,(?![^(]*\))/);
}

/** Fields that may be selected, besides the name and the namespace. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  Pod: ['spec.nodeName', 'status.phase', 'status.podIP'],
  NetworkPolicy: ['spec.tier'],
  GlobalNetworkPolicy: ['spec.tier'],
};

function fieldSelector(kind: KindDefinition, text: string): ObjectSelector {
  const allowed = ['metadata.name', 'metadata.namespace', ...(FIELDS[kind.kind] ?? [])];
  const requirements = text.split(',').map((part) => {
    const match = /^(?<path>[^=!]+?)\s*(?<operator>==?|!=)\s*(?<value>.*)$/.exec(part.trim());
    const { path = '', operator, value = '' } = match?.groups ?? {};
    if (!allowed.includes(path)) {
      const advice = `use ${allowed.join(', ')} with = or !=`;
      throw badRequest(`cannot select "${part.trim()}" by field; ${advice}`);
    }
    const steps = path.split('.');
    return { steps, value, equal: operator !== '!=' };
  });
  return (object) =>
    requirements.every(({ steps, value, equal }) => (fieldAt(object, steps) === value) === equal);
}

/** The text at a path, empty where there is nothing. */
function fieldAt(object: unknown, steps: readonly string[]): string {
  let value = object;
  for (const step of steps) value = isObject(value) ? value[step] : undefined;
  return typeof value === 'string' ? value : '';
}
