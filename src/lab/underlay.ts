// The network under a lab: a namespace with a bridge that joins the nodes, and routes to the machines outside.
import { closeSync } from 'node:fs';
import {
  createNamespace,
  openNamespace,
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  RouteSocket,
  writeSysctlInNamespace,
} from '#linux';
import { type Family, formatPrefix, hostPrefix, parseAddress } from '#lib';
import type { LabNode, LabState } from './lab-state.ts';

const BRIDGE = 'lab0';
/** The underlay's own addresses: where the server listens, and every node's gateway. */
export const UNDERLAY_ADDRESS = '172.30.0.1';
const GATEWAYS: readonly (readonly [family: Family, address: string, length: number])[] = [
  [4, UNDERLAY_ADDRESS, 24],
  [6, 'fd00:30::1', 64],
];
const FIRST_NODE = 10;
const FORWARDING = [
  ['net/ipv4/ip_forward', 1],
  ['net/ipv6/conf/all/forwarding', 1],
] as const;

/** The addresses of the node with this number, from 1. */
export function nodeAddresses(number: number): string[] {
  return [`172.30.0.${FIRST_NODE + number}`, `fd00:30::${FIRST_NODE + number}`];
}

/** Makes the underlay, the nodes and the machines outside, as namespaces joined by veth pairs. */
export function buildUnderlay(state: LabState): void {
  createNamespace(state.underlay);
  const underlay = openNamespace(state.underlay);
  const routes = RouteSocket.open({ namespace: underlay });
  try {
    for (const [path, value] of FORWARDING) writeSysctlInNamespace(underlay, path, value);
    routes.setUp('lo');
    routes.createBridge(BRIDGE);
    for (const [, address, length] of GATEWAYS) {
      routes.addAddress(BRIDGE, `${address}/${length}`, { noDad: true });
    }
    routes.setUp(BRIDGE);
    for (const [index, node] of state.nodes.entries()) addNode(routes, node, `node${index + 1}`);
    for (const [index, machine] of state.outside.entries()) {
      addOutside(routes, machine, `outside${index + 1}`);
    }
  } finally {
    routes.close();
    closeSync(underlay);
  }
}

/** `link` is the underlay's end of the pair; the node's own is `eth0`. */
function addNode(underlay: RouteSocket, node: LabNode, link: string): void {
  withNewNamespace(node.namespace, (descriptor, routes) => {
    underlay.createVeth({ name: link, peerName: 'eth0', peerNamespace: descriptor });
    underlay.setMaster(link, BRIDGE);
    underlay.setUp(link);
    for (const [path, value] of FORWARDING) writeSysctlInNamespace(descriptor, path, value);
    for (const text of node.addresses) {
      const length = GATEWAYS.find(([family]) => family === parseAddress(text)?.family)?.[2];
      routes.addAddress('eth0', `${text}/${length}`, { noDad: true });
    }
    routes.setUp('eth0');
    for (const [family, gateway] of GATEWAYS) addDefaultRoute(routes, family, gateway);
  });
}

function addOutside(
  underlay: RouteSocket,
  machine: { readonly namespace: string; readonly addresses: readonly string[] },
  link: string,
): void {
  withNewNamespace(machine.namespace, (descriptor, routes) => {
    underlay.createVeth({ name: link, peerName: 'eth0', peerNamespace: descriptor });
    underlay.setUp(link);
    // IPv6 answers for an address only on the interfaces that have it.
    for (const [family, gateway] of GATEWAYS) {
      if (family === 6) underlay.addAddress(link, `${gateway}/128`, { noDad: true });
    }
    const prefixes = machine.addresses.map(hostPrefixOf);
    for (const prefix of prefixes) routes.addAddress('eth0', formatPrefix(prefix), { noDad: true });
    routes.setUp('eth0');
    for (const prefix of prefixes) {
      underlay.replaceRoute({
        ...staticRoute(prefix.family, formatPrefix(prefix)),
        interface: link,
      });
    }
    for (const [family, gateway] of GATEWAYS) {
      if (prefixes.some((prefix) => prefix.family === family)) {
        addDefaultRoute(routes, family, gateway);
      }
    }
  });
}

function withNewNamespace(
  path: string,
  build: (descriptor: number, routes: RouteSocket) => void,
): void {
  createNamespace(path);
  const descriptor = openNamespace(path);
  const routes = RouteSocket.open({ namespace: descriptor });
  try {
    routes.setUp('lo');
    build(descriptor, routes);
  } finally {
    routes.close();
    closeSync(descriptor);
  }
}

function addDefaultRoute(routes: RouteSocket, family: Family, gateway: string): void {
  const destination = family === 4 ? '0.0.0.0/0' : '::/0';
  routes.replaceRoute({
    ...staticRoute(family, destination),
    gateway,
    interface: 'eth0',
    onLink: true,
  });
}

function staticRoute(family: Family, destination: string) {
  const { STATIC: protocol } = ROUTE_PROTOCOL;
  return { family, destination, table: ROUTE_TABLE.MAIN, protocol, type: 'unicast' } as const;
}

function hostPrefixOf(text: string) {
  const address = parseAddress(text);
  if (!address) throw new RangeError(`${JSON.stringify(text)} is no IP address`);
  return hostPrefix(address);
}

/** The underlay's routes to pods, through their nodes: the way in for machines outside, and the way back to them. */
export class PodRoutes {
  readonly #state: LabState;

  constructor(state: LabState) {
    this.#state = state;
  }

  add(podAddresses: readonly string[], node: string): void {
    const nodeState = this.#state.nodes.find(({ name }) => name === node);
    this.#change((routes) => {
      for (const text of podAddresses) {
        const prefix = hostPrefixOf(text);
        const gateway = nodeState?.addresses.find(
          (address) => parseAddress(address)?.family === prefix.family,
        );
        if (gateway === undefined) continue;
        routes.replaceRoute({ ...staticRoute(prefix.family, formatPrefix(prefix)), gateway });
      }
    });
  }

  delete(podAddresses: readonly string[]): void {
    this.#change((routes) => {
      for (const text of podAddresses) {
        const prefix = hostPrefixOf(text);
        routes.deleteRoute(staticRoute(prefix.family, formatPrefix(prefix)));
      }
    });
  }

  #change(work: (routes: RouteSocket) => void): void {
    const underlay = openNamespace(this.#state.underlay);
    const routes = RouteSocket.open({ namespace: underlay });
    try {
      work(routes);
    } finally {
      routes.close();
      closeSync(underlay);
    }
  }
}
