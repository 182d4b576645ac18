// Label and field selectors of list, watch and delete requests, in Kubernetes' syntax.
import type { KindDefinition } from '#api';
import { isObject } from '#lib';
import { storedPath } from './kind-version.ts';
import { badRequest } from './request-error.ts';

/** Whether an object is selected. */
export type ObjectSelector = (object: Readonly<Record<string, unknown>>) => boolean;

type Labels = Readonly<Record<string, unknown>>;
type Requirement = (labels: Labels) => boolean;

const NAME = String.raw`[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?`;
const PREFIX = String.raw`[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?`;
const KEY = String.raw`(?:${PREFIX}/)?${NAME}`;
const VALUE = String.raw`(?:${NAME})?`;
const EQUALITY = new RegExp(
  String.raw`^(?<key>${KEY})\s*(?<operator>==?|!=)\s*(?<value>${VALUE})$`,
);
const ORDER = new RegExp(String.raw`^(?<key>${KEY})\s*(?<operator>[<>])\s*(?<value>-?\d{1,18})$`);
const SET = new RegExp(
  String.raw`^(?<key>${KEY})\s+(?<operator>in|notin)\s*\((?<values>[^()]*)\)$`,
);
const SET_VALUE = new RegExp(`^${VALUE}$`);
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
      const advice =
        'write key=value, key!=value, key in (a,b), key notin (a,b), key, !key, key>1 or key<1';
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
  const order = ORDER.exec(text)?.groups;
  if (order) {
    const { key = '', operator } = order;
    const limit = BigInt(order['value'] ?? '');
    return (labels) => {
      const value = own(labels, key);
      if (typeof value !== 'string' || !/^-?\d{1,18}$/.test(value)) return false;
      return operator === '<' ? BigInt(value) < limit : BigInt(value) > limit;
    };
  }
  const set = SET.exec(text)?.groups;
  if (set) {
    const items = (set['values'] ?? '').split(',').map((item) => item.trim());
    if (!items.every((item) => SET_VALUE.test(item))) return undefined;
    const values = new Set<unknown>(items);
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
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.podIPs',
    'status.nominatedNodeName',
  ],
  Node: ['spec.unschedulable'],
  Namespace: ['status.phase'],
  Service: ['spec.clusterIP', 'spec.type'],
  Secret: ['type'],
  NetworkPolicy: ['spec.tier'],
  GlobalNetworkPolicy: ['spec.tier'],
  StagedNetworkPolicy: ['spec.tier'],
  StagedGlobalNetworkPolicy: ['spec.tier'],
};

const REFERENCE = [
  'kind',
  'namespace',
  'name',
  'uid',
  'apiVersion',
  'resourceVersion',
  'fieldPath',
];
/** By group: the versions of events call them by other names. */
const EVENT_FIELDS: Readonly<Record<string, readonly string[]>> = {
  '': [
    ...REFERENCE.map((name) => `involvedObject.${name}`),
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  'events.k8s.io': [
    ...REFERENCE.map((name) => `regarding.${name}`),
    'reason',
    'reportingController',
    'type',
  ],
};

/** What the absence of a field means, where that is not the empty text. */
const ABSENT: Readonly<Record<string, string>> = {
  'spec.unschedulable': 'false',
  'spec.hostNetwork': 'false',
};

function fieldSelector(kind: KindDefinition, text: string): ObjectSelector {
  const own = kind.kind === 'Event' ? EVENT_FIELDS[kind.group] : FIELDS[kind.kind];
  const allowed = ['metadata.name', 'metadata.namespace', ...(own ?? [])];
  const requirements = splitFields(text).map((part) => {
    const match = /^(?<path>[^=!]+?)\s*(?<operator>==?|!=)\s*(?<value>.*)$/s.exec(part.trim());
    const { path = '', operator, value = '' } = match?.groups ?? {};
    if (!allowed.includes(path)) {
      const advice = `use ${allowed.join(', ')} with = or !=`;
      throw badRequest(`cannot select "${part.trim()}" by field; ${advice}`);
    }
    const steps = storedPath(kind, path).split('.');
    const absent = ABSENT[path] ?? '';
    return { steps, absent, value: unescaped(value, text), equal: operator !== '!=' };
  });
  return (object) =>
    requirements.every(({ steps, absent, value, equal }) => {
      const found = fieldTexts(object, steps);
      return (found.length > 0 ? found.includes(value) : value === absent) === equal;
    });
}

/** At commas that no backslash stands before. */
function splitFields(text: string): string[] {
  return text.match(/(?:\\.|[^\\,])+/gs) ?? [];
}

/** A backslash makes a comma, an equals sign and itself a part of a value. */
function unescaped(value: string, text: string): string {
  if (/(^|[^\\])(\\\\)*(\\[^\\,=]|\\$)/s.test(value)) {
    throw badRequest(`cannot read the field selector "${text}": escape only ",", "=" and "\\"`);
  }
  return value.replaceAll(/\\(.)/gs, '$1');
}

/** The texts at a path: none where there is nothing, several for the addresses of a pod. */
function fieldTexts(object: unknown, steps: readonly string[]): string[] {
  let value = object;
  for (const step of steps) value = isObject(value) ? value[step] : undefined;
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values
    .map((item) => (isObject(item) ? (item['ip'] ?? item['component']) : item))
    .filter((item) => ['string', 'number', 'boolean'].includes(typeof item))
    .map(String);
}
