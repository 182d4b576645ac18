// Discovery: which groups, versions and resources there are, as kubectl asks for them.
import { type KindDefinition, serviceAccountKind } from '#api';

type Json = Record<string, unknown>;

/** What can be discovered: kinds, and reviews, which are only created. */
export type Discovered = Pick<
  KindDefinition,
  'group' | 'version' | 'kind' | 'plural' | 'singular' | 'namespaced'
> &
  Partial<Pick<KindDefinition, 'shortNames' | 'hasStatus' | 'categories'>> & {
    readonly verbs?: readonly string[];
  };

/** `tiers`, `networkpolicies` ... of one group and version. */
const VERBS = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
] as const;

const TOKEN_REQUEST = {
  name: `${serviceAccountKind.plural}/token`,
  singularName: '',
  namespaced: true,
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
  verbs: ['create'],
};

/** `/api`. */
export function coreVersions(host: string): Json {
  return {
    kind: 'APIVersions',
    apiVersion: 'v1',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: host }],
  };
}

/** `/apis`: the groups in the order in which a bare plural is looked for. */
export function groupList(kinds: readonly Discovered[]): Json {
  const groups = new Set(kinds.map((kind) => kind.group).filter((group) => group !== ''));
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: [...groups].map((group) => groupEntry(kinds, group)),
  };
}

/** `/apis/<group>`; undefined where there is none. */
export function groupDocument(kinds: readonly Discovered[], group: string): Json | undefined {
  if (!kinds.some((kind) => kind.group === group)) return undefined;
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(kinds, group) };
}

function groupEntry(kinds: readonly Discovered[], group: string): Json {
  const versions = new Set(
    kinds.filter((kind) => kind.group === group).map((kind) => kind.version),
  );
  const entries = [...versions].map((version) => ({
    groupVersion: `${group}/${version}`,
    version,
  }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

/** `/api/v1` or `/apis/<group>/<version>`; undefined where there is none. */
export function resourceList(
  kinds: readonly Discovered[],
  group: string,
  version: string,
): Json | undefined {
  const members = kinds.filter((kind) => kind.group === group && kind.version === version);
  if (members.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? version : `${group}/${version}`,
    resources: members.flatMap(resourceEntries),
  };
}

function resourceEntries(definition: Discovered): Json[] {
  const { kind, namespaced, plural, singular, shortNames = [], hasStatus } = definition;
  const { verbs = VERBS, categories } = definition;
  const grouped = categories ? { categories } : {};
  const resource = { name: plural, singularName: singular, namespaced, kind, verbs, ...grouped };
  const status = {
    name: `${plural}/status`,
    singularName: '',
    namespaced,
    kind,
    verbs: ['get', 'patch', 'update'],
  };
  const own = definition === serviceAccountKind ? [TOKEN_REQUEST] : [];
  return [{ ...resource, shortNames }, ...(hasStatus ? [status] : []), ...own];
}
