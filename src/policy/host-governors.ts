// Which host endpoint governs an interface of a node, as far as the world tells of its interfaces (spec 10).
import type { Address } from '#lib';
import type { HostInterface } from './node-interfaces.ts';
import type { World } from './world.ts';
import type { HostEndpointObject } from './world-endpoints.ts';
import { addressKey } from './world-objects.ts';

/** `taken` is asked. Where the world tells too little, each of `others` may be asked in truth; undefined is nobody. */
export interface Governors {
  readonly node: string;
  readonly taken: HostEndpointObject | undefined;
  readonly others: readonly (HostEndpointObject | undefined)[];
}

export type HostsOf = Pick<World, 'hosts' | 'hostEndpoints'>;

/** An interface: by an address that it has, by its name, or, undefined, the one that joins the host to the others. */
type AskedInterface = Address | string | undefined;

/** What is known of the interface asked for. */
interface Target {
  readonly name: string | undefined;
  /** Some of those that it has; all where it is known. */
  readonly addresses: readonly Address[];
  readonly isKnown: boolean;
}

/** The `*` host endpoint of a node. */
export function wildcardEndpoint(
  world: HostsOf,
  node: string | undefined,
): HostEndpointObject | undefined {
  return world.hostEndpoints.find((it) => it.node === node && it.interfaceName === '*');
}

/**
 * Who governs an interface: of the endpoints that name it, and of those without a name of which it is the first
 * interface with an address that they expect, the first by name; else `*`. Where the node's interfaces are not known,
 * whoever surely does, else whoever seems to, is taken. The joining interface has the node's first addresses.
 */
export function governorsOf(world: HostsOf, node: string, asked?: AskedInterface): Governors {
  const own = world.hostEndpoints.filter((it) => it.node === node && !it.isWorkloads);
  const wildcard = wildcardEndpoint(world, node);
  const named = own.filter((it) => it.interfaceName !== '*');
  if (named.length === 0) return { node, taken: wildcard, others: [] };
  const { addresses = [], interfaces = [] } = world.hosts.get(node) ?? {};
  const target = targetOf(asked, firstOfEach(addresses), interfaces, named);
  const candidates = named
    .map((endpoint) => ({ endpoint, fit: fitOf(endpoint, target, interfaces) }))
    .filter(({ fit }) => fit !== 'no');
  const sure = candidates.findIndex(({ fit }) => fit === 'yes');
  const possible = withoutRepeats(sure < 0 ? candidates : candidates.slice(0, sure + 1));
  const taken =
    possible.find(({ fit }) => fit === 'yes') ??
    possible.find(({ fit }) => fit === 'likely') ??
    possible[0];
  const all = [...possible.map(({ endpoint }) => endpoint), ...(sure < 0 ? [wildcard] : [])];
  const governor = taken ? taken.endpoint : wildcard;
  return { node, taken: governor, others: all.filter((it) => it !== governor) };
}

function firstOfEach(addresses: readonly Address[]): Address[] {
  return addresses.filter((it, index) => {
    return addresses.findIndex(({ family }) => family === it.family) === index;
  });
}

/** `joining`: the addresses of the interface where none is asked for. */
function targetOf(
  asked: AskedInterface,
  joining: readonly Address[],
  interfaces: readonly HostInterface[],
  endpoints: readonly HostEndpointObject[],
): Target {
  const byName = typeof asked === 'string' ? asked : undefined;
  const given = typeof asked === 'object' ? [asked] : byName === undefined ? joining : [];
  const known = interfaces.find((it) =>
    byName === undefined ? haveCommon(it.addresses, given.slice(0, 1)) : it.name === byName,
  );
  if (known) return { ...known, isKnown: true };
  const telling = endpoints.find((it) => it.interfaceName && haveCommon(it.addresses, given));
  const name = byName ?? telling?.interfaceName;
  const told = endpoints.filter((it) => name !== undefined && it.interfaceName === name);
  return { name, addresses: [...given, ...told.flatMap((it) => it.addresses)], isKnown: false };
}

type Fit = 'yes' | 'likely' | 'maybe' | 'no';

/** Whether an endpoint is for the interface. */
function fitOf(
  { interfaceName, addresses: expected }: HostEndpointObject,
  target: Target,
  interfaces: readonly HostInterface[],
): Fit {
  if (interfaceName) {
    if (target.name !== undefined) return interfaceName === target.name ? 'yes' : 'no';
    const isElsewhere = interfaces.some(({ name }) => name === interfaceName);
    return isElsewhere || expectsOthers(expected, target) ? 'no' : 'maybe';
  }
  const placed = interfaces.find((it) => haveCommon(it.addresses, expected));
  if (placed) return placed.name === target.name ? 'yes' : 'no';
  if (target.isKnown) return 'no';
  if (haveCommon(expected, target.addresses)) return areOnOne(expected) ? 'yes' : 'likely';
  return expectsOthers(expected, target) ? 'no' : 'maybe';
}

/** Whether it expects an address of a family of which the interface has another. */
function expectsOthers(expected: readonly Address[], { addresses }: Target): boolean {
  return expected.some(({ family }) => addresses.some((it) => it.family === family));
}

/** Several addresses of one family may be on several interfaces, of which the first is meant. */
function areOnOne(expected: readonly Address[]): boolean {
  return firstOfEach(expected).length === expected.length;
}

/** Of those that name one interface only the first can be the one. */
function withoutRepeats<T extends { readonly endpoint: HostEndpointObject }>(
  candidates: readonly T[],
): T[] {
  return candidates.filter(({ endpoint: { interfaceName } }, index) => {
    if (!interfaceName) return true;
    const first = candidates.findIndex((it) => it.endpoint.interfaceName === interfaceName);
    return first === index;
  });
}

function haveCommon(some: readonly Address[], others: readonly Address[]): boolean {
  return some.some((one) => others.some((it) => addressKey(it) === addressKey(one)));
}
