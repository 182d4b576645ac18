// The verdict on a packet: what its source's side lets out and its destination's side lets in.
import { type Address, type Family, formatAddress, parseAddress } from '#lib';
import type { Direction, Explanation, Half, Step } from './explanation.ts';
import { judgeEgress, judgeIngress } from './journey.ts';
import { EPHEMERAL_PORT, isIcmp, type Packet, PROTOCOL_NUMBERS, type Traffic } from './packet.ts';
import { PartyError, type Place, placeAddress, placeAddresses, placeName } from './party.ts';
import { placeOf } from './party.ts';
import type { TraceStep, Walk } from './tier-walk.ts';
import type { World } from './world.ts';

/** An explanation whose steps still know how near each rule was. */
export interface Trace {
  readonly verdict: Explanation['verdict'];
  readonly egress: Half;
  readonly ingress: Half;
  readonly steps: readonly TraceStep[];
  readonly traffic: Traffic;
  readonly source: Place;
  readonly destination: Place;
}

/**
 * Judges the first packet of a connection. Both halves are always judged, the ingress half also when egress denies.
 * Hosts are joined by plain routes: what an overlay or masquerading changes about a packet is not considered.
 * Throws PartyError where a party does not exist or the two share no address family.
 */
export function evaluate(world: World, packet: Packet): Explanation {
  const { verdict, egress, ingress, steps } = trace(world, packet);
  return { verdict, egress, ingress, steps: steps.map(withoutNearMisses) };
}

function withoutNearMisses(step: TraceStep): Step {
  const { direction, tier, policy, rule, outcome, reason } = step;
  return { direction, tier, policy, rule, outcome, reason };
}

/** As `evaluate`, with what is needed to suggest a change. */
export function trace(world: World, packet: Packet): Trace {
  const source = placeOf(world, packet.from);
  const destination = placeOf(world, packet.to);
  const family = chooseFamily(source, destination, packet.family);
  const traffic = trafficOf(packet, source, destination, family);
  const steps: TraceStep[] = [];
  const journey = { world, source, destination, traffic };
  const walk = (direction: Direction): Walk => ({
    direction,
    traffic,
    record: (step) => steps.push(step),
  });
  const egress = judgeEgress(journey, walk('egress'));
  const ingress = judgeIngress(journey, walk('ingress'));
  const verdict = egress.verdict === 'allow' && ingress.verdict === 'allow' ? 'allow' : 'deny';
  return { verdict, egress, ingress, steps, traffic, source, destination };
}

function chooseFamily(source: Place, destination: Place, wanted: Family | undefined): Family {
  const has = (place: Place, family: Family) => placeAddress(place, family) !== undefined;
  const candidates: readonly Family[] = wanted === undefined ? [4, 6] : [wanted];
  const family = candidates.find((it) => has(source, it) && has(destination, it));
  if (family !== undefined) return family;
  const list = (place: Place) => placeAddresses(place).map(formatAddress).join(', ') || 'none';
  const missing = wanted === undefined ? 'no address family' : `no IPv${wanted}`;
  const pair = `${placeName(source)} to ${placeName(destination)}`;
  throw new PartyError(
    `Cannot judge ${pair}: they share ${missing} (addresses ${list(source)} and ${list(destination)})`,
  );
}

function trafficOf(packet: Packet, source: Place, destination: Place, family: Family): Traffic {
  const { protocol, sourcePort, port, icmpType, icmpCode } = packet;
  const withPorts = !isIcmp(protocol);
  const echoRequest = protocol === PROTOCOL_NUMBERS.icmpv6 ? 128 : 8;
  return {
    family,
    protocol,
    source: {
      address: addressAt(source, packet.from, family),
      port: withPorts ? (sourcePort ?? EPHEMERAL_PORT) : undefined,
      name: placeName(source),
    },
    destination: {
      address: addressAt(destination, packet.to, family),
      port: withPorts ? port : undefined,
      name: placeName(destination),
    },
    ...(withPorts ? {} : { icmp: { type: icmpType ?? echoRequest, code: icmpCode ?? 0 } }),
  };
}

/** The address that was named, else the first of the family. */
function addressAt(place: Place, party: Packet['from'], family: Family): Address {
  const named = party.type === 'address' ? parseAddress(party.address) : undefined;
  const address = named?.family === family ? named : placeAddress(place, family);
  if (address) return address;
  throw new PartyError(`Cannot judge ${placeName(place)}: it has no IPv${family} address`);
}
