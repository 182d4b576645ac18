// What has addresses and labels in the cluster, and the sets of addresses that rules draw from it.
import { type Address, parseAddress, type Prefix, prefixContains } from '#lib';
import type { EndpointSlice } from '#api';
import type { Labels } from '#selector';
import { PROTOCOL_NUMBERS } from './packet.ts';
import type { AddressSet, PortSet } from './rule-match.ts';
import { conditionsHold, type EntitySelection, labelDifferences } from './scoped-selector.ts';
import type { LabelCondition } from './scoped-selector.ts';

export interface NamedPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

/** A workload endpoint, host endpoint or network set: what selectors of rules can match. */
export interface LabelledObject {
  /** For people: `shop/web`, `HostEndpoint one`, `GlobalNetworkSet partners`. */
  readonly name: string;
  /** Inherited ones included; the object's own win. */
  readonly labels: Labels;
  readonly ports: readonly NamedPort[];
}

interface ServiceEndpoints {
  readonly addresses: ReadonlySet<string>;
  readonly ports: readonly { readonly protocol: number; readonly port: number }[];
}

/** Who has an address: owners by exact address, network sets by prefix. */
export class AddressBook {
  readonly #owners = new Map<string, LabelledObject[]>();
  readonly #sets: { readonly object: LabelledObject; readonly nets: readonly Prefix[] }[] = [];
  readonly #slices = new Map<string, ServiceEndpoints[]>();

  addOwner(object: LabelledObject, addresses: readonly Address[]): void {
    for (const address of addresses) {
      const key = addressKey(address);
      const owners = this.#owners.get(key);
      if (owners) owners.push(object);
      else this.#owners.set(key, [object]);
    }
  }

  addNetworkSet(object: LabelledObject, nets: readonly Prefix[]): void {
    this.#sets.push({ object, nets });
  }

  /** `service` is `namespace/name`. Endpoints count whether ready or not, as upstream counts them. */
  addSlice(service: string, slice: EndpointSlice): void {
    const { addresses, ports } = sliceEndpoints(slice);
    const endpoints = { addresses: new Set(addresses.map(addressKey)), ports };
    const slices = this.#slices.get(service);
    if (slices) slices.push(endpoints);
    else this.#slices.set(service, [endpoints]);
  }

  /** Every object that has the address or a network with it. */
  objectsAt(address: Address): LabelledObject[] {
    const objects = [...(this.#owners.get(addressKey(address)) ?? [])];
    for (const { object, nets } of this.#sets) {
      if (nets.some((net) => prefixContains(net, address))) objects.push(object);
    }
    return objects;
  }

  /** Addresses of objects that meet the positive conditions and not the negative one. */
  selected(selection: EntitySelection): AddressSet {
    const { positive, negative } = selection;
    const but = negative ? `, but not ${negative.text}` : '';
    const holds = (object: LabelledObject) =>
      conditionsHold(positive, object.labels) && !negative?.selector.evaluate(object.labels);
    return {
      text: `${positive.map((condition) => condition.text).join(' ')}${but}`,
      has: (address) => this.objectsAt(address).some(holds),
      lack: (address) => lackText(this.objectsAt(address), positive),
    };
  }

  /** Addresses of objects with a port of that name and protocol, restricted by the positive selection. */
  namedPort(name: string, protocol: number, selection: EntitySelection): PortSet {
    const { positive, negative } = selection;
    const selects = (object: LabelledObject) =>
      positive.length === 0 ||
      (conditionsHold(positive, object.labels) && !negative?.selector.evaluate(object.labels));
    return {
      text: name,
      has: (address, packetProtocol, port) =>
        packetProtocol === protocol &&
        this.objectsAt(address).some(
          (object) =>
            selects(object) &&
            object.ports.some(
              (it) => it.name === name && it.protocol === protocol && it.port === port,
            ),
        ),
    };
  }

  /** Addresses behind a service (ingress sources). */
  serviceAddresses(namespace: string | undefined, name: string): AddressSet {
    const slices = this.#slicesOf(namespace, name);
    return {
      text: `an endpoint of service ${namespace ?? '(no namespace)'}/${name}`,
      has: (address) => slices.some((slice) => slice.addresses.has(addressKey(address))),
    };
  }

  /** (address, protocol, port) behind a service (egress destinations), after destination NAT. */
  servicePorts(namespace: string | undefined, name: string): PortSet {
    const slices = this.#slicesOf(namespace, name);
    return {
      text: `a port of service ${namespace ?? '(no namespace)'}/${name}`,
      has: (address, protocol, port) =>
        slices.some(
          (slice) =>
            slice.addresses.has(addressKey(address)) &&
            slice.ports.some((it) => it.protocol === protocol && it.port === port),
        ),
    };
  }

  #slicesOf(namespace: string | undefined, name: string): readonly ServiceEndpoints[] {
    return namespace === undefined ? [] : (this.#slices.get(`${namespace}/${name}`) ?? []);
  }
}

/** What an EndpointSlice says of addresses and numbered ports. */
export function sliceEndpoints(slice: EndpointSlice): {
  readonly addresses: Address[];
  readonly ports: ServiceEndpoints['ports'];
} {
  const texts = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses);
  return {
    addresses: texts.flatMap((text) => parseAddress(text) ?? []),
    ports: (slice.ports ?? []).flatMap(({ port, protocol }) => {
      const number = protocolNumber(protocol ?? 'TCP');
      return typeof port === 'number' && number !== undefined ? [{ protocol: number, port }] : [];
    }),
  };
}

export function addressKey(address: Address): string {
  return `${address.family}/${address.bits}`;
}

/** The number of a protocol's name or decimal text; undefined when it is neither. */
export function protocolNumber(protocol: string | number): number | undefined {
  const name = String(protocol).toLowerCase();
  const known = new Map<string, number>(Object.entries(PROTOCOL_NUMBERS)).get(name);
  if (known !== undefined) return known;
  return /^\d{1,3}$/.test(name) && Number(name) <= 255 ? Number(name) : undefined;
}

function lackText(
  objects: readonly LabelledObject[],
  conditions: readonly LabelCondition[],
): string | undefined {
  if (objects.length === 0) return 'no pod, host endpoint or network set has this address';
  const texts = objects.flatMap((object) =>
    conditions.flatMap((condition) => labelDifferences(condition.selector.tree, object.labels)),
  );
  return texts.length === 0 ? undefined : [...new Set(texts)].join(', ');
}
