// The members of service sets: the endpoint slices of each Service, as they come and go.
import { formatAddress, formatPrefix, hostPrefix, parseAddress } from '#lib';
import type { SliceSource } from './model.ts';

/** Told what a Service's sets gain and lose. */
export type ServiceListener = (
  service: string,
  before: SliceSource | undefined,
  after: SliceSource | undefined,
) => void;

export class ServiceIndex {
  readonly #slices = new Map<string, SliceSource>();
  readonly #byService = new Map<string, Map<string, SliceSource>>();
  readonly #onChange: ServiceListener;

  constructor(onChange: ServiceListener) {
    this.#onChange = onChange;
  }

  setSlice(key: string, slice: SliceSource | undefined): void {
    const before = this.#slices.get(key);
    if (before && before.service !== slice?.service) {
      this.#replace(key, before.service, before, undefined);
      if (slice) this.#replace(key, slice.service, undefined, slice);
    } else if (slice) this.#replace(key, slice.service, before, slice);
  }

  /** The slices that a Service has now. */
  slicesOf(service: string): Iterable<SliceSource> {
    return this.#byService.get(service)?.values() ?? [];
  }

  #replace(
    key: string,
    service: string,
    before: SliceSource | undefined,
    after: SliceSource | undefined,
  ): void {
    const slices = this.#byService.get(service) ?? new Map<string, SliceSource>();
    this.#byService.set(service, slices);
    if (after) {
      slices.set(key, after);
      this.#slices.set(key, after);
    } else {
      slices.delete(key);
      this.#slices.delete(key);
      if (slices.size === 0) this.#byService.delete(service);
    }
    this.#onChange(service, before, after);
  }
}

/** Host prefixes, or `address,protocol:port`; what is no address, and a port without number, gives nothing. */
export function sliceMembers(slice: SliceSource, withPorts: boolean): string[] {
  const ports = withPorts ? portsOf(slice) : [];
  const members = (slice.endpoints ?? []).flatMap(({ addresses }) =>
    addresses.flatMap((text) => {
      const address = parseAddress(text);
      if (!address) return [];
      if (!withPorts) return [formatPrefix(hostPrefix(address))];
      return ports.map((port) => `${formatAddress(address)},${port}`);
    }),
  );
  return [...new Set(members)];
}

/** `tcp:80`. */
function portsOf({ ports }: SliceSource): string[] {
  return (ports ?? []).flatMap(({ port, protocol = 'TCP' }) =>
    port === undefined || port === null ? [] : [`${protocol.toLowerCase()}:${port}`],
  );
}
