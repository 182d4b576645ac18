// Small clusters for tests: resources in few words, and the graph that has taken them in.
import { kindOf, type Resource } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { PersistentMap, PersistentSet } from '#lib';
import { CalcGraph } from './graph.ts';

export const HOST = 'one';

type Labels = Readonly<Record<string, string>>;

export function resource(
  apiVersion: string,
  kind: string,
  path: string,
  more: { readonly labels?: Labels; readonly [field: string]: unknown } = {},
): Resource {
  const { labels, ...fields } = more;
  const [name = '', namespace] = path.split('/').reverse();
  const metadata = { name, ...(namespace && { namespace }), ...(labels && { labels }) };
  return { apiVersion, kind, metadata, ...fields };
}

export const calico = (kind: string, path: string, spec: object, labels?: Labels): Resource =>
  resource('projectcalico.org/v3', kind, path, { spec, ...(labels && { labels }) });

export const namespace = (name: string, labels: Labels = {}): Resource =>
  resource('v1', 'Namespace', name, { labels });

export const serviceAccount = (path: string, labels: Labels = {}): Resource =>
  resource('v1', 'ServiceAccount', path, { labels });

interface PodOptions {
  readonly labels?: Labels;
  readonly node?: string;
  readonly account?: string;
  readonly spec?: object;
  readonly status?: object;
  readonly ports?: readonly object[];
}

export function pod(path: string, address: string, options: PodOptions = {}): Resource {
  const { labels = {}, node = HOST, account = 'default', ports = [] } = options;
  const containers = [{ name: 'main', ports }];
  return resource('v1', 'Pod', path, {
    labels,
    spec: { nodeName: node, serviceAccountName: account, containers, ...options.spec },
    status: { podIPs: address.split(',').map((ip) => ({ ip })), ...options.status },
  });
}

export const slice = (path: string, service: string, fields: object): Resource =>
  resource('discovery.k8s.io/v1', 'EndpointSlice', path, {
    labels: { 'kubernetes.io/service-name': service },
    ...fields,
  });

/** The update that sets a resource, or with `gone` the one that removes it. */
export function update(one: Resource, gone = false): SyncerUpdate {
  const kind = kindOf(one.apiVersion, one.kind);
  if (!kind) throw new Error(`no kind ${one.apiVersion} ${one.kind}`);
  const key = `${kind.group}/${kind.kind} ${one.metadata.namespace ?? ''}/${one.metadata.name}`;
  return { kind, key, resource: gone ? undefined : one };
}

export function graphOf(...resources: readonly Resource[]): CalcGraph {
  const graph = new CalcGraph(HOST);
  graph.onUpdates(resources.map((one) => update(one)));
  return graph;
}

/** A namespace `shop` with a local pod `web` (10.0.0.1), and policies that apply to it. */
export function shop(...more: readonly Resource[]): CalcGraph {
  return graphOf(
    namespace('shop'),
    pod('shop/web', '10.0.0.1', { labels: { app: 'web' } }),
    ...more,
  );
}

/** The same value with plain maps and sets, for comparison: persistent ones of equal content may have other trees. */
export function plain(value: unknown): unknown {
  if (value instanceof PersistentSet) return new Set(value);
  if (value instanceof PersistentMap) {
    return new Map([...value].map(([key, one]) => [key, plain(one)]));
  }
  if (value instanceof Map || value instanceof Set || Array.isArray(value)) return value;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}
