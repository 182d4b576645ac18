// The columns of `kubectl get` that Kubernetes computes for its own kinds, rather than reads at a path.
import {
  clusterRoleBindingKind,
  clusterRoleKind,
  configMapKind,
  endpointSliceKind,
  eventKind,
  eventsEventKind,
  type KindDefinition,
  nodeKind,
  podKind,
  type Resource,
  roleBindingKind,
  roleKind,
  secretKind,
  serviceAccountKind,
  serviceKind,
} from '#api';
import { isObject } from '#lib';
import { ageText } from './age-text.ts';
import { podReady, podRestarts, podStatus } from './pod-printer.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer';
  /** 0 is shown always, above 0 only with `-o wide`. */
  readonly priority: number;
  readonly description: string;
  /** `now`: milliseconds since 1970. */
  readonly cell: (object: Fields, now: number) => string | number;
}

const NONE = '<none>';

function column(
  name: string,
  description: string,
  cell: PrinterColumn['cell'],
  { priority = 0, type = 'string' }: Partial<Pick<PrinterColumn, 'priority' | 'type'>> = {},
): PrinterColumn {
  return { name, type, priority, description, cell };
}

const wide = { priority: 1 };
const integer = { type: 'integer' } as const;

const name = column('Name', 'Name of the object', (object) => text(at(object, 'metadata', 'name')));
const age = column('Age', 'Time since it was created', (object, now) =>
  since(at(object, 'metadata', 'creationTimestamp'), now),
);

const POD = [
  name,
  column('Ready', 'Containers that are ready, of all', podReady),
  column('Status', 'What it is doing, or why it is not', podStatus),
  column('Restarts', 'Restarts of its containers', podRestarts),
  age,
  column('IP', 'Address', (pod) => text(at(pod, 'status', 'podIP')) || NONE, wide),
  column('Node', 'Node', (pod) => text(at(pod, 'spec', 'nodeName')) || NONE, wide),
  column(
    'Nominated Node',
    'Node that makes room',
    (pod) => text(at(pod, 'status', 'nominatedNodeName')) || NONE,
    wide,
  ),
  column('Readiness Gates', 'Conditions of readiness that hold, of all', readinessGates, wide),
];

const NODE = [
  name,
  column('Status', 'Whether it is ready', nodeStatus),
  column('Roles', 'From its labels', nodeRoles),
  age,
  column('Version', 'Of its kubelet', (node) => info(node, 'kubeletVersion')),
  column('Internal-IP', 'Address', (node) => addressOf(node, 'InternalIP'), wide),
  column('External-IP', 'Address', (node) => addressOf(node, 'ExternalIP'), wide),
  column('OS-Image', 'Operating system', (node) => info(node, 'osImage') || '<unknown>', wide),
  column('Kernel-Version', 'Kernel', (node) => info(node, 'kernelVersion') || '<unknown>', wide),
  column(
    'Container-Runtime',
    'Runtime',
    (node) => info(node, 'containerRuntimeVersion') || '<unknown>',
    wide,
  ),
];

const SERVICE = [
  name,
  column(
    'Type',
    'How it is reached',
    (service) => text(at(service, 'spec', 'type')) || 'ClusterIP',
  ),
  column('Cluster-IP', 'Address', (service) => text(at(service, 'spec', 'clusterIP')) || NONE),
  column('External-IP', 'Addresses from outside', externalAddresses),
  column('Port(s)', 'Ports', servicePorts),
  age,
  column(
    'Selector',
    'Labels of its pods',
    (service) => labels(at(service, 'spec', 'selector')),
    wide,
  ),
];

const ENDPOINT_SLICE = [
  name,
  column('AddressType', 'Family', (slice) => text(slice['addressType'])),
  column('Ports', 'Ports', (slice) =>
    few(
      list(slice['ports']).map((port) => text(port['port']) || '*'),
      '<unset>',
    ),
  ),
  column('Endpoints', 'Addresses', (slice) =>
    few(
      list(slice['endpoints']).flatMap(({ addresses }) =>
        Array.isArray(addresses) ? addresses.slice(0, 1).map(text) : [],
      ),
      '<unset>',
    ),
  ),
  age,
];

const EVENT = [
  column('Last Seen', 'When it last happened', (event, now) => since(lastSeen(event), now)),
  column('Type', 'Normal or Warning', (event) => text(event['type'])),
  column('Reason', 'Why', (event) => text(event['reason'])),
  column('Object', 'What it is about', involved),
  column(
    'Subobject',
    'Part of it',
    (event) => text(at(event, 'involvedObject', 'fieldPath')),
    wide,
  ),
  column('Source', 'Who says so', eventSource, wide),
  column('Message', 'What happened', (event) => text(event['message']).trim()),
  column(
    'First Seen',
    'When it first happened',
    (event, now) => since(firstSeen(event), now),
    wide,
  ),
  column('Count', 'How often', eventCount, { ...integer, ...wide }),
  column('Name', 'Name of the event', (event) => text(at(event, 'metadata', 'name')), wide),
];

const ROLE = [
  name,
  column('Created At', 'When it was created', (role) =>
    text(at(role, 'metadata', 'creationTimestamp')),
  ),
];

const ROLE_BINDING = [
  name,
  column('Role', 'The role', (binding) =>
    ['kind', 'name'].map((field) => text(at(binding, 'roleRef', field))).join('/'),
  ),
  age,
  column('Users', 'Users', (binding) => subjects(binding, 'User'), wide),
  column('Groups', 'Groups', (binding) => subjects(binding, 'Group'), wide),
  column('ServiceAccounts', 'Accounts', (binding) => subjects(binding, 'ServiceAccount'), wide),
];

const PRINTERS = new Map<KindDefinition, readonly PrinterColumn[]>([
  [podKind, POD],
  [nodeKind, NODE],
  [serviceKind, SERVICE],
  [endpointSliceKind, ENDPOINT_SLICE],
  [roleKind, ROLE],
  [clusterRoleKind, ROLE],
  [roleBindingKind, ROLE_BINDING],
  [clusterRoleBindingKind, ROLE_BINDING],
  [eventKind, EVENT],
  [eventsEventKind, EVENT],
  [
    serviceAccountKind,
    [name, column('Secrets', 'Secrets', ({ secrets }) => list(secrets).length, integer), age],
  ],
  [
    configMapKind,
    [
      name,
      column('Data', 'Keys', ({ data, binaryData }) => count(data) + count(binaryData), integer),
      age,
    ],
  ],
  [
    secretKind,
    [
      name,
      column('Type', 'What it holds', ({ type }) => text(type)),
      column('Data', 'Keys', ({ data }) => count(data), integer),
      age,
    ],
  ],
]);

/** Undefined: the columns that the kind's definition has. */
export function printerColumns(kind: KindDefinition): readonly PrinterColumn[] | undefined {
  return PRINTERS.get(kind);
}

/** The cells of a row. */
export function printedCells(
  columns: readonly PrinterColumn[],
  resource: Resource,
  now: number,
): (string | number)[] {
  return columns.map(({ cell }) => cell({ ...resource }, now));
}

function readinessGates({ spec, status }: Fields): string {
  const gates = isObject(spec) ? list(spec['readinessGates']) : [];
  if (gates.length === 0) return NONE;
  const conditions = isObject(status) ? list(status['conditions']) : [];
  const holds = (type: unknown) =>
    conditions.some((entry) => entry['type'] === type && entry['status'] === 'True');
  return `${gates.filter(({ conditionType }) => holds(conditionType)).length}/${gates.length}`;
}

function nodeStatus(node: Fields): string {
  const ready = list(at(node, 'status', 'conditions')).find(({ type }) => type === 'Ready');
  const state = ready ? (ready['status'] === 'True' ? 'Ready' : 'NotReady') : 'Unknown';
  return at(node, 'spec', 'unschedulable') === true ? `${state},SchedulingDisabled` : state;
}

function nodeRoles(node: Fields): string {
  const found = at(node, 'metadata', 'labels');
  const roles = Object.entries(isObject(found) ? found : {}).flatMap(([key, value]) => {
    if (key.startsWith('node-role.kubernetes.io/')) return [key.slice(24)];
    return key === 'kubernetes.io/role' && value !== '' ? [text(value)] : [];
  });
  return (
    roles
      .filter((role) => role !== '')
      .sort()
      .join(',') || NONE
  );
}

function addressOf(node: Fields, type: string): string {
  const found = list(at(node, 'status', 'addresses')).find((entry) => entry['type'] === type);
  return text(found?.['address']) || NONE;
}

function info(node: Fields, field: string): string {
  return text(at(node, 'status', 'nodeInfo', field));
}

function externalAddresses(service: Fields): string {
  const type = at(service, 'spec', 'type');
  if (type === 'ExternalName') return text(at(service, 'spec', 'externalName'));
  const given = at(service, 'spec', 'externalIPs');
  const own = Array.isArray(given) ? given.map(text) : [];
  const ingress = list(at(service, 'status', 'loadBalancer', 'ingress'));
  const balanced = ingress.map((entry) => text(entry['ip']) || text(entry['hostname']));
  const all = [...(type === 'LoadBalancer' ? balanced : []), ...own].filter((item) => item !== '');
  return all.join(',') || (type === 'LoadBalancer' ? '<pending>' : NONE);
}

function servicePorts(service: Fields): string {
  const ports = list(at(service, 'spec', 'ports')).map(({ port, nodePort, protocol }) => {
    const outer = nodePort ? `:${text(nodePort)}` : '';
    return `${text(port)}${outer}/${text(protocol) || 'TCP'}`;
  });
  return ports.join(',') || NONE;
}

function subjects(binding: Fields, kind: string): string {
  const chosen = list(binding['subjects']).filter((subject) => subject['kind'] === kind);
  const texts = chosen.map((subject) => {
    const own = text(subject['name']);
    return kind === 'ServiceAccount' ? `${text(subject['namespace'])}/${own}` : own;
  });
  return texts.join(', ');
}

/** An event with a series was last seen when that was, else at its last time, else when it began. */
function lastSeen(event: Fields): unknown {
  return (
    at(event, 'series', 'lastObservedTime') ??
    event['lastTimestamp'] ??
    event['firstTimestamp'] ??
    event['eventTime']
  );
}

function firstSeen(event: Fields): unknown {
  return event['firstTimestamp'] ?? event['eventTime'];
}

function involved(event: Fields): string {
  const kind = text(at(event, 'involvedObject', 'kind')).toLowerCase();
  const object = text(at(event, 'involvedObject', 'name'));
  return object === '' ? kind : `${kind}/${object}`;
}

function eventSource(event: Fields): string {
  const component = text(at(event, 'source', 'component')) || text(event['reportingComponent']);
  const host = text(at(event, 'source', 'host'));
  return host === '' ? component : `${component}, ${host}`;
}

function eventCount(event: Fields): number {
  const times = at(event, 'series', 'count') ?? event['count'];
  return typeof times === 'number' && times > 0 ? times : 1;
}

function since(time: unknown, now: number): string {
  return time === undefined || time === null ? '<unknown>' : ageText(time, now);
}

/** Three, and how many more. */
function few(items: readonly string[], none: string): string {
  if (items.length === 0) return none;
  const more = items.length > 3 ? ` + ${items.length - 3} more...` : '';
  return `${items.slice(0, 3).join(',')}${more}`;
}

function labels(value: unknown): string {
  const pairs = Object.entries(isObject(value) ? value : {});
  const texts = pairs.map(([key, label]) => `${key}=${text(label)}`).sort();
  return texts.join(',') || NONE;
}

function count(value: unknown): number {
  return isObject(value) ? Object.keys(value).length : 0;
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function at(object: unknown, ...steps: readonly string[]): unknown {
  return steps.reduce<unknown>(
    (value, step) => (isObject(value) ? value[step] : undefined),
    object,
  );
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
