// Who the parties of a packet are: from the words of a user to a pod, a host or an outside address.
import { type Address, formatAddress, parseAddress } from '#lib';
import type { Party } from './packet.ts';
import type { World } from './world.ts';
import type { Host, Workload } from './world-endpoints.ts';
import { addressKey } from './world-objects.ts';

/** Thrown where a party does not exist, has no address, or cannot be meant. */
export class PartyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PartyError';
  }
}

/** A party with what the world knows of it. */
export type Place =
  | { readonly type: 'workload'; readonly workload: Workload }
  | { readonly type: 'host'; readonly host: Host }
  | { readonly type: 'outside'; readonly address: Address };

/**
 * Reads `namespace/pod`, `node:NAME` or an address; the address of a pod or node means that pod or node, by that
 * address. Throws PartyError, which lists near names.
 */
export function parseParty(world: World, text: string): Party {
  const party = readParty(text);
  const place = placeOf(world, party);
  if (place.type !== 'outside') return party;
  const translated = world.translated.get(addressKey(place.address));
  if (translated === undefined) return party;
  throw new PartyError(`Cannot judge ${text}: it is ${translated}`);
}

function readParty(text: string): Party {
  if (text.startsWith('node:')) return { type: 'node', name: text.slice('node:'.length) };
  if (parseAddress(text)) return { type: 'address', address: text };
  const parts = text.split('/');
  const [namespace, name] = parts;
  if (parts.length === 2 && namespace && name) return { type: 'workload', namespace, name };
  throw new PartyError(
    `Cannot read ${JSON.stringify(text)}: write namespace/pod, node:NAME or an IPv4 or IPv6 address`,
  );
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address) return address;
  throw new PartyError(`Cannot read ${JSON.stringify(text)}: it is no IPv4 or IPv6 address`);
}

/** Finds a party in the world. A pod on its host's network is that host. Throws PartyError. */
export function placeOf(world: World, party: Party): Place {
  switch (party.type) {
    case 'node':
      return { type: 'host', host: findHost(world, party.name) };
    case 'address': {
      const address = addressOf(party.address);
      const owner = world.ownerOf(address);
      if (!owner) return { type: 'outside', address };
      return 'pod' in owner ? { type: 'workload', workload: owner } : { type: 'host', host: owner };
    }
    case 'workload':
      return findPod(world, `${party.namespace}/${party.name}`);
  }
}

function findHost(world: World, name: string): Host {
  const host = world.hosts.get(name);
  if (host) return host;
  throw unknown('node', name, [...world.hosts.keys()]);
}

function findPod(world: World, key: string): Place {
  const workload = world.workloads.get(key);
  if (workload) return { type: 'workload', workload };
  const node = world.hostNetworked.get(key);
  if (node === undefined) {
    throw unknown('pod', key, [...world.workloads.keys(), ...world.hostNetworked.keys()]);
  }
  if (node === '') {
    throw new PartyError(
      `Cannot judge pod ${key}: it uses its host's network and is not on a host yet; give it a nodeName`,
    );
  }
  return { type: 'host', host: findHost(world, node) };
}

const NEAR_SHOWN = 5;

function unknown(kind: 'pod' | 'node', name: string, known: readonly string[]): PartyError {
  const near = nearNames(name, known);
  const plural = `${kind}s`;
  const rest = known.length > NEAR_SHOWN ? ' …' : '';
  const hint =
    known.length === 0
      ? `there are no ${plural}`
      : near.length > 0
        ? `did you mean ${near.join(', ')}?`
        : `the ${plural} are ${[...known].sort().slice(0, NEAR_SHOWN).join(', ')}${rest}`;
  return new PartyError(`Cannot find ${kind} ${JSON.stringify(name)}: ${hint}`);
}

/** Known names that contain the wanted one's last part, or are a few edits away; the nearest first. */
function nearNames(wanted: string, known: readonly string[]): string[] {
  const tail = wanted.slice(wanted.lastIndexOf('/') + 1);
  const limit = Math.max(2, Math.floor(wanted.length / 4));
  return known
    .map((name) => {
      const contains = tail !== '' && name.includes(tail);
      return { name, distance: contains ? 0 : editDistance(wanted, name, limit) };
    })
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, NEAR_SHOWN)
    .map(({ name }) => name);
}

/** Levenshtein's distance, or more than `limit` where the lengths alone are that far apart. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

export function placeAddresses(place: Place): readonly Address[] {
  switch (place.type) {
    case 'workload':
      return place.workload.addresses;
    case 'host':
      return place.host.addresses;
    case 'outside':
      return [place.address];
  }
}

/** For people: `shop/web`, `node:one` or the address. */
export function placeName(place: Place): string {
  switch (place.type) {
    case 'workload':
      return place.workload.name;
    case 'host':
      return `node:${place.host.name}`;
    case 'outside':
      return formatAddress(place.address);
  }
}

/** The host that the place is on or is; undefined where that is unknown. */
export function placeHost(place: Place): string | undefined {
  switch (place.type) {
    case 'workload':
      return place.workload.node;
    case 'host':
      return place.host.name;
    case 'outside':
      return undefined;
  }
}
