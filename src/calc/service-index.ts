// The members of service sets: the endpoint slices of each Service.
import type { EndpointSlice } from '#api';
import { formatAddress, formatPrefix, hostPrefix, parseAddress } from '#lib';

const SERVICE_LABEL = 'kubernetes.io/service-name';

export class ServiceIndex {
  readonly #slices: ReadonlyMap<string, readonly EndpointSlice[]>;

  constructor(slices: readonly EndpointSlice[]) {
    this.#slices = Map.groupBy(slices, serviceOf);
  }

  /** Host prefixes, or `address,protocol:port`; none for a service without slices. */
  members(service: string, withPorts: boolean): Set<string> {
    const members = new Set<string>();
    for (const slice of this.#slices.get(service) ?? []) {
      const ports = portsOf(slice);
      for (const address of addressesOf(slice)) {
        if (!withPorts) members.add(formatPrefix(hostPrefix(address)));
        else for (const port of ports) members.add(`${formatAddress(address)},${port}`);
      }
    }
    return members;
  }
}

function serviceOf(slice: EndpointSlice): string {
  return `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.[SERVICE_LABEL] ?? ''}`;
}

function addressesOf(slice: EndpointSlice) {
  return (slice.endpoints ?? [])
    .flatMap((endpoint) => endpoint.addresses)
    .map(parseAddress)
    .filter((address) => address !== undefined);
}

/** `tcp:80`; a port without a number stands for no port that a set could hold. */
function portsOf(slice: EndpointSlice): string[] {
  return (slice.ports ?? []).flatMap(({ port, protocol = 'TCP' }) =>
    port === undefined || port === null ? [] : [`${protocol.toLowerCase()}:${port}`],
  );
}
