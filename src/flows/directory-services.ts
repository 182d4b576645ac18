// Which service an address and port belong to: by the service's own addresses, else by its endpoints.
import type { EndpointSlice, Service } from '#api';
import { compareCodePoints, formatAddress, parseAddress } from '#lib';
import type { FlowService } from './flow.ts';

/** The label of an EndpointSlice that names its Service. */
const SERVICE_NAME = 'kubernetes.io/service-name';

interface ServicePort extends FlowService {
  /** `address|protocol|port`, as callers or endpoints have it. */
  readonly at: string;
}

/** Values by text, several keys to a text; the first by namespace and name counts. */
class PortTable {
  readonly #byKey = new Map<string, readonly ServicePort[]>();
  readonly #byPlace = new Map<string, Map<string, ServicePort>>();

  set(key: string, ports: readonly ServicePort[]): void {
    for (const { at } of this.#byKey.get(key) ?? []) {
      const owners = this.#byPlace.get(at);
      owners?.delete(key);
      if (owners?.size === 0) this.#byPlace.delete(at);
    }
    this.#byKey.delete(key);
    if (ports.length > 0) this.#byKey.set(key, ports);
    for (const port of ports) {
      const owners = this.#byPlace.get(port.at) ?? new Map<string, ServicePort>();
      this.#byPlace.set(port.at, owners.set(key, port));
    }
  }

  get(at: string): ServicePort | undefined {
    let best: ServicePort | undefined;
    for (const port of this.#byPlace.get(at)?.values() ?? []) {
      if (!best || compareServices(port, best) < 0) best = port;
    }
    return best;
  }
}

function compareServices(a: FlowService, b: FlowService): number {
  return (
    compareCodePoints(a.namespace, b.namespace) ||
    compareCodePoints(a.name, b.name) ||
    a.port - b.port
  );
}

/** Current state only: the order of updates does not matter. */
export class ServiceDirectory {
  readonly #called = new PortTable();
  readonly #reached = new PortTable();
  /** Port numbers by `namespace/name` and port name: an EndpointSlice has those of its endpoints. */
  readonly #numbers = new Map<string, ReadonlyMap<string, number>>();
  readonly #byKey = new Map<string, string>();

  get size(): number {
    return this.#byKey.size;
  }

  setService(key: string, service: Service | undefined): void {
    const before = this.#byKey.get(key);
    if (before !== undefined) this.#numbers.delete(before);
    this.#byKey.delete(key);
    this.#called.set(key, service ? calledPorts(service) : []);
    if (!service) return;
    const { namespace = '', name } = service.metadata;
    const ports = service.spec?.ports ?? [];
    this.#byKey.set(key, `${namespace}/${name}`);
    this.#numbers.set(
      `${namespace}/${name}`,
      new Map(ports.map((port) => [port.name ?? '', port.port])),
    );
  }

  setSlice(key: string, slice: EndpointSlice | undefined): void {
    this.#reached.set(key, slice ? reachedPorts(slice) : []);
  }

  /**
   * Whom the source called, else whose endpoint the destination is. `protocol` is a name in lower case;
   * addresses are in canonical form.
   */
  find(
    called: { readonly address: string; readonly port: number } | undefined,
    reached: { readonly address: string; readonly port: number },
    protocol: string,
  ): FlowService | undefined {
    const own = called && this.#called.get(placeOf(called.address, protocol, called.port));
    const place = placeOf(reached.address, protocol, reached.port);
    if (own) return plain(own);
    const endpoint = this.#reached.get(place);
    if (!endpoint) return undefined;
    const numbers = this.#numbers.get(`${endpoint.namespace}/${endpoint.name}`);
    return { ...plain(endpoint), port: numbers?.get(endpoint.portName) ?? endpoint.port };
  }
}

function plain({ namespace, name, portName, port }: ServicePort): FlowService {
  return { namespace, name, portName, port };
}

function placeOf(address: string, protocol: string, port: number): string {
  return `${address}|${protocol}|${port}`;
}

/** At its cluster, external and load balancer addresses. */
function calledPorts({ metadata, spec, status }: Service): ServicePort[] {
  const { namespace = '', name } = metadata;
  const { clusterIP, clusterIPs = [], externalIPs = [] } = spec ?? {};
  const ingress = (status as LoadBalancerStatus | undefined)?.loadBalancer?.ingress ?? [];
  const addresses = [clusterIP, ...clusterIPs, ...externalIPs, ...ingress.map(({ ip }) => ip)];
  return canonical(addresses).flatMap((address) =>
    (spec?.ports ?? []).map((port) => ({
      at: placeOf(address, (port.protocol ?? 'TCP').toLowerCase(), port.port),
      namespace,
      name,
      portName: port.name ?? '',
      port: port.port,
    })),
  );
}

interface LoadBalancerStatus {
  readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] };
}

function reachedPorts({ metadata, endpoints, ports }: EndpointSlice): ServicePort[] {
  const { namespace = '', labels = {} } = metadata;
  const name = labels[SERVICE_NAME];
  if (name === undefined) return [];
  const addresses = canonical((endpoints ?? []).flatMap((endpoint) => endpoint.addresses));
  return addresses.flatMap((address) =>
    (ports ?? []).flatMap(({ port, name: portName, protocol = 'TCP' }): ServicePort[] => {
      if (port === undefined || port === null) return [];
      const at = placeOf(address, protocol.toLowerCase(), port);
      return [{ at, namespace, name, portName: portName ?? '', port }];
    }),
  );
}

function canonical(texts: readonly (string | undefined)[]): string[] {
  const addresses = texts.flatMap((text) => {
    const address = text === undefined ? undefined : parseAddress(text);
    return address ? [formatAddress(address)] : [];
  });
  return [...new Set(addresses)];
}
