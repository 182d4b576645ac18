// Which host endpoint governs which interface of the host.
import type { HostEndpoint, HostSettings } from '#calc/dataplane-update';
import { ALL_INTERFACES } from './names.ts';

/** An address that an interface of the host has, with the length of its subnet. */
export interface InterfaceAddress {
  readonly interface: string;
  readonly prefix: string;
}

/** By name of the interface, `*` for all that have no endpoint of their own. */
export type PlacedEndpoints = ReadonlyMap<string, HostEndpoint>;

/**
 * Puts each endpoint on its interface (spec 10: named HEP, wildcard HEP), by name, or the first with one of its
 * addresses that is not excluded. Of several for one interface the first by ID governs it; the others are reported.
 */
export function placeHostEndpoints(
  endpoints: ReadonlyMap<string, HostEndpoint>,
  addresses: readonly InterfaceAddress[],
  settings: Pick<HostSettings, 'workloadPrefixes' | 'excludedInterfaces'>,
  onProblem: (what: string, message: string) => void,
): PlacedEndpoints {
  const excluded = settings.excludedInterfaces.map((pattern) => new RegExp(pattern));
  const interfaces = addressesByInterface(
    addresses.filter((one) => !excluded.some((pattern) => pattern.test(one.interface))),
  );
  const placed = new Map<string, HostEndpoint>();
  const sorted = [...endpoints.keys()].toSorted().flatMap((id) => endpoints.get(id) ?? []);
  for (const endpoint of sorted) {
    const what = `HostEndpoint ${endpoint.id}`;
    const name = endpoint.interfaceName ?? interfaceOf(endpoint, interfaces);
    if (name === undefined) {
      const wanted = endpoint.addresses.join(', ');
      onProblem(what, `cannot find an interface with one of its addresses ${wanted}: not enforced`);
    } else if (settings.workloadPrefixes.some((prefix) => name.startsWith(prefix))) {
      onProblem(what, `cannot govern interface ${JSON.stringify(name)}: it is a workload's`);
    } else if (placed.has(name)) {
      const holder = placed.get(name)?.id;
      onProblem(what, `cannot govern interface ${JSON.stringify(name)}: ${holder} does`);
    } else {
      placed.set(name, endpoint);
    }
  }
  return placed;
}

/** Whether every endpoint says its interface by name, so that the host's addresses do not matter. */
export function areNamed(endpoints: ReadonlyMap<string, HostEndpoint>): boolean {
  return [...endpoints.values()].every(({ interfaceName }) => interfaceName !== null);
}

/** In the order of their first addresses. */
function addressesByInterface(addresses: readonly InterfaceAddress[]): Map<string, string[]> {
  const interfaces = new Map<string, string[]>();
  for (const { interface: name, prefix } of addresses) {
    const [address = ''] = prefix.split('/');
    const known = interfaces.get(name);
    if (known) known.push(address);
    else interfaces.set(name, [address]);
  }
  return interfaces;
}

/** The kernel lists the addresses of one family after the other; the endpoint's may be of both. */
function interfaceOf(
  { addresses: wanted }: HostEndpoint,
  interfaces: ReadonlyMap<string, readonly string[]>,
): string | undefined {
  return [...interfaces].find(
    ([name, addresses]) =>
      name !== ALL_INTERFACES && addresses.some((address) => wanted.includes(address)),
  )?.[0];
}
