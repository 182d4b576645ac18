// Who reaches whom: the verdict from every pod to every other, as rows of characters.
import { compareCodePoints, type Family } from '#lib';
import { trace } from './evaluate.ts';
import type { Packet } from './packet.ts';
import { parseParty, placeAddresses, placeName, placeOf } from './party.ts';
import type { World } from './world.ts';

/** What is sent; `name` is the key of its rows, such as `tcp/80`. */
export interface ReachabilityProbe extends Omit<Packet, 'to' | 'from'> {
  readonly name: string;
}

export interface Reachability {
  /** `namespace/name` of every pod, in order, then the addresses asked for. */
  readonly endpoints: readonly string[];
  /** A row a sender, a character a receiver: `.` allowed, `X` denied, `*` itself, `-` no address family shared. */
  readonly ports: Readonly<Record<string, readonly string[]>>;
}

/** Judges each probe between all pairs. Throws PartyError for an address that cannot be judged. */
export function reachability(
  world: World,
  probes: readonly ReachabilityProbe[],
  addresses: readonly string[] = [],
): Reachability {
  const pods = [...world.workloads.keys(), ...world.hostNetworked.keys()].sort(compareCodePoints);
  const endpoints = [...pods, ...addresses];
  const parties = endpoints.map((text) => {
    const party = parseParty(world, text);
    const place = placeOf(world, party);
    const families = new Set(placeAddresses(place).map((address) => address.family));
    return { party, name: placeName(place), families };
  });
  const rows = ({ name: _name, ...probe }: ReachabilityProbe) =>
    parties.map((from) =>
      parties
        .map((to) => {
          if (from.name === to.name) return '*';
          if (!shareFamily(from.families, to.families, probe.family)) return '-';
          const { verdict } = trace(world, { ...probe, from: from.party, to: to.party });
          return verdict === 'allow' ? '.' : 'X';
        })
        .join(''),
    );
  return {
    endpoints,
    ports: Object.fromEntries(probes.map((probe) => [probe.name, rows(probe)])),
  };
}

function shareFamily(
  from: ReadonlySet<Family>,
  to: ReadonlySet<Family>,
  wanted: Family | undefined,
): boolean {
  const shared = from.intersection(to);
  return wanted === undefined ? shared.size > 0 : shared.has(wanted);
}
