// Small states and fake kernels for the tests of dataplane.
import type { NftOperation, Route, TableSnapshot } from '#linux';
import type {
  DataplaneEntity,
  DataplanePolicy,
  DataplaneRule,
  DataplaneState,
  LocalEndpoint,
} from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';

const ANY: DataplaneEntity = { ipSets: [], notIpSets: [] };

export function entity(more: Partial<DataplaneEntity>): DataplaneEntity {
  return { ...ANY, ...more };
}

export function rule(
  action: DataplaneRule['action'],
  more: Partial<DataplaneRule> = {},
): DataplaneRule {
  return { action, index: 0, source: ANY, destination: ANY, ...more };
}

export function policy(name: string, more: Partial<DataplanePolicy> = {}): DataplanePolicy {
  const id = { kind: 'NetworkPolicy', namespace: 'shop', name } as const;
  return { id, tier: 'default', ingress: [], egress: [], ...more };
}

export const PROFILE: DataplanePolicy = {
  id: { kind: 'Profile', namespace: null, name: 'kns.shop' },
  tier: '',
  ingress: [rule('Allow')],
  egress: [rule('Allow')],
};

export function endpoint(name: string, more: Partial<LocalEndpoint> = {}): LocalEndpoint {
  return {
    id: `shop/${name}`,
    interfaceName: `cali${name}`,
    addresses: [],
    allowedSources: [],
    floatingAddresses: [],
    ingress: [],
    egress: [],
    profiles: [policyKey(PROFILE.id)],
    ...more,
  };
}

export function stateOf(
  endpoints: readonly LocalEndpoint[],
  policies: readonly DataplanePolicy[] = [],
  more: Partial<DataplaneState> = {},
): DataplaneState {
  return {
    ...BARE_STATE,
    policies: new Map([...policies, PROFILE].map((one) => [policyKey(one.id), one])),
    endpoints: new Map(endpoints.map((one) => [one.id, one])),
    ...more,
  };
}

/** A host without interfaces; making some is no part of what these tests look at. */
function noTunnels() {
  const nothing = () => undefined;
  return {
    link: nothing,
    links: () => [],
    createVxlan: nothing,
    deleteLink: () => false,
    setMac: nothing,
    setMtu: nothing,
    createIpip: nothing,
    proxies: () => [],
    addProxy: nothing,
    deleteProxy: () => false,
    setDown: nothing,
    checksumOffload: nothing,
    setChecksumOffload: nothing,
    setUp: nothing,
    addAddress: nothing,
    deleteAddress: () => false,
    neighbours: () => [],
    replaceNeighbour: nothing,
    deleteNeighbour: () => false,
    forwardingEntries: () => [],
    replaceForwardingEntry: nothing,
    deleteForwardingEntry: () => false,
  };
}

/** Kernels that take everything and write down what they were told, in one list. */
export function recordingKernels(log: string[]) {
  const nftables = {
    writes: 0,
    readTable: (): TableSnapshot | undefined => undefined,
    commit(operations: readonly NftOperation[]): void {
      this.writes += operations.length;
      if (operations.length > 0) log.push('nft transaction');
    },
    readCounters: () => [],
    readFlowtables: () => new Map(),
    close: () => undefined,
  };
  const held = new Map<string, Route>();
  const routes = {
    writes: 0,
    routes: () => [...held.values()],
    addresses: () => [],
    ...noTunnels(),
    replaceRoute(route: Route): void {
      this.writes++;
      held.set(route.destination, route);
      log.push(`route ${route.destination}`);
    },
    deleteRoute(route: Route): boolean {
      this.writes++;
      log.push(`no route ${route.destination}`);
      return held.delete(route.destination);
    },
    close: () => undefined,
  };
  const sysctls = { read: () => '1\n', write: () => undefined };
  return { nftables, routes, sysctls };
}
