// Time of one change in a cluster of 5,000 pods and 500 policies, against calculating it all anew.
import { kindOf, type Resource } from '#api';
import { CalcGraph } from '#calc';
import type { SyncerUpdate } from '#datastore/syncer';
import { median, printFigure, printMachine, timed } from './measurement.ts';

const NAMESPACES = 100;
const PODS_A_NAMESPACE = 50;
const POLICIES_A_NAMESPACE = 5;
const NODES = 50;
const CHANGES = 20;
const APPS = ['web', 'api', 'cart', 'db', 'jobs'];

function appOf(index: number): string {
  return APPS[index % APPS.length] ?? '';
}

function pod(namespace: number, index: number, labels: object = {}): Resource {
  const number = namespace * PODS_A_NAMESPACE + index;
  const name = `pod-${index}`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: `n${namespace}`, labels: { app: appOf(index), ...labels } },
    spec: { nodeName: `node-${number % NODES}`, containers: [{ name: 'main' }] },
    status: { phase: 'Running', podIPs: [{ ip: `10.65.${number >> 8}.${number & 255}` }] },
  } as Resource;
}

/** Who selects one app may be reached by another one, of its own namespace or of the next. */
function policy(namespace: number, index: number, port: number): Resource {
  const other = `app == "${appOf(index + 1)}"`;
  const next = `kubernetes.io/metadata.name == "n${(namespace + 1) % NAMESPACES}"`;
  const destination = { ports: [port] };
  const ingress = [
    { action: 'Allow', protocol: 'TCP', source: { selector: other }, destination },
    { action: 'Allow', protocol: 'TCP', source: { selector: other, namespaceSelector: next } },
  ];
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name: `policy-${index}`, namespace: `n${namespace}` },
    spec: { selector: `app == "${appOf(index)}"`, types: ['Ingress'], ingress },
  } as Resource;
}

function cluster(): Resource[] {
  return Array.from({ length: NAMESPACES }, (_, namespace) => {
    const name = `n${namespace}`;
    const labels = { 'kubernetes.io/metadata.name': name };
    return [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
      ...Array.from({ length: PODS_A_NAMESPACE }, (_, index) => pod(namespace, index)),
      ...Array.from({ length: POLICIES_A_NAMESPACE }, (_, index) => policy(namespace, index, 80)),
    ];
  }).flat();
}

function updateOf(resource: Resource): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  if (!kind) throw new Error(`${resource.kind} is no kind`);
  const { namespace, name } = resource.metadata;
  return { kind, key: namespace === undefined ? name : `${namespace}/${name}`, resource };
}

function calculated(resources: readonly Resource[]): CalcGraph {
  const graph = new CalcGraph('node-1');
  graph.onUpdates(resources.map(updateOf));
  graph.state();
  return graph;
}

printMachine();
const resources = cluster();
const anew = median(Array.from({ length: 5 }, () => timed(() => calculated(resources)))) * 1000;
const graph = calculated(resources);
const { endpoints, policies } = graph.state();
printFigure('endpoints of the node', endpoints.size, 'endpoints');
printFigure('policies of the node', policies.size, 'policies and profiles');
printFigure('all calculated anew', anew, 'ms');

function change(name: string, make: (turn: number) => Resource): void {
  const times = Array.from({ length: CHANGES }, (_, turn) => {
    const update = updateOf(make(turn));
    return timed(() => {
      graph.onUpdates([update]);
      graph.state();
    });
  });
  const figure = median(times) * 1000;
  printFigure(name, figure, 'ms', { name: 'all anew', figure: anew });
}

// Pod 1 of namespace 0 is on the node; pod 2 of it is not, but its address is in sets of the node.
change('label of a pod of the node', (turn) => pod(0, 1, { turn: String(turn) }));
change('app of a pod elsewhere', (turn) => pod(0, 2, { app: appOf(turn) }));
change('rule of a policy', (turn) => policy(0, 1, 1000 + turn));
