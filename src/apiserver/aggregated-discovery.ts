// Aggregated discovery: all groups, versions and resources in one answer, as newer clients ask for them.
import { type Discovered, resourceList } from './discovery.ts';

type Json = Record<string, unknown>;

const GROUP = 'apidiscovery.k8s.io';
const VERSIONS = ['v2', 'v2beta1'] as const;

/** The document and its content type; undefined where the client does not ask for it first. */
export function aggregatedDiscovery(
  kinds: readonly Discovered[],
  path: string,
  accept: string | undefined,
): { readonly type: string; readonly body: Json } | undefined {
  if (path !== '/api' && path !== '/apis') return undefined;
  const version = preferredVersion(accept ?? '');
  if (version === undefined) return undefined;
  const groups = [...new Set(kinds.map(({ group }) => group))];
  const wanted = groups.filter((group) => (group === '') === (path === '/api'));
  return {
    type: `application/json;g=${GROUP};v=${version};as=APIGroupDiscoveryList`,
    body: {
      kind: 'APIGroupDiscoveryList',
      apiVersion: `${GROUP}/${version}`,
      metadata: {},
      items: wanted.map((group) => groupDiscovery(kinds, group)),
    },
  };
}

/** Of the ranges of an Accept header the first that can be served. */
function preferredVersion(accept: string): string | undefined {
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    if (type !== 'application/json' && type !== '*/*') continue;
    const known = new Map(parameters.map((parameter) => parameter.split('=') as [string, string]));
    if (known.get('as') === undefined) return undefined;
    if (known.get('g') !== GROUP || known.get('as') !== 'APIGroupDiscoveryList') continue;
    const version = VERSIONS.find((candidate) => candidate === known.get('v'));
    if (version !== undefined) return version;
  }
  return undefined;
}

function groupDiscovery(kinds: readonly Discovered[], group: string): Json {
  const members = kinds.filter((kind) => kind.group === group);
  const versions = [...new Set(members.map(({ version }) => version))];
  return {
    metadata: group === '' ? {} : { name: group },
    versions: versions.map((version) => ({
      version,
      freshness: 'Current',
      resources: resourcesOf(resourceList(kinds, group, version)?.['resources'], {
        group,
        version,
      }),
    })),
  };
}

/** Resources of an APIResourceList, each with its subresources inside. */
function resourcesOf(entries: unknown, own: { group: string; version: string }): Json[] {
  const all = Array.isArray(entries) ? (entries as Json[]) : [];
  const isSub = ({ name }: Json): boolean => String(name).includes('/');
  return all
    .filter((entry) => !isSub(entry))
    .map((entry) => {
      const prefix = `${String(entry['name'])}/`;
      const subresources = all
        .filter(({ name }) => String(name).startsWith(prefix))
        .map(({ name, kind, group, version, verbs }) => ({
          subresource: String(name).slice(prefix.length),
          responseKind: { group: group ?? own.group, version: version ?? own.version, kind },
          verbs,
        }));
      return {
        resource: entry['name'],
        responseKind: { ...own, kind: entry['kind'] },
        scope: entry['namespaced'] === true ? 'Namespaced' : 'Cluster',
        singularResource: entry['singularName'],
        verbs: entry['verbs'],
        ...pick(entry, 'shortNames'),
        ...pick(entry, 'categories'),
        ...(subresources.length > 0 ? { subresources } : {}),
      };
    });
}

function pick(entry: Json, name: string): Json {
  const value = entry[name];
  return Array.isArray(value) && value.length > 0 ? { [name]: value } : {};
}
