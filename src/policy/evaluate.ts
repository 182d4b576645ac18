// The verdict on a packet: what its source's side lets out and its destination's side lets in.
import { type Address, FAMILIES, type Family, formatAddress, parseAddress } from '#lib';
import type { Direction, Explanation, Half, Judgement, Ruling, Step } from './explanation.ts';
import { formatPolicyRef } from './explanation.ts';
import type { Governors } from './host-governors.ts';
import { type Journey, judgeEgress, judgeIngress } from './journey.ts';
import { EPHEMERAL_PORT, isIcmp, type Packet, type Party, type Transit } from './packet.ts';
import { PROTOCOL_NUMBERS, type Traffic } from './packet.ts';
import { PartyError, type Place, placeAddresses, placeName, placeOf } from './party.ts';
import type { TraceStep, Walk } from './tier-walk.ts';
import { checkTransit, judgeTransit } from './transit.ts';
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
  readonly through?: Transit;
}

/**
 * Judges the first packet of a connection, or what a node on its way says of it (`through`). Both halves are always
 * judged, the ingress half also when egress denies; and once more with staged policies enforced, where one would matter
 * to either end.
 * Hosts are joined by plain routes: what an overlay or masquerading changes about a packet is not considered.
 * Throws PartyError where a party does not exist or the two share no address family.
 */
export function evaluate(world: World, packet: Packet): Explanation {
  const change = world.pending();
  const asked = question(world, packet);
  if (!change) return told(judge(world, asked));
  let concerned = false;
  const watched = (it: World): World => ({
    ...it,
    tiersFor: (...which) => {
      const tiers = it.tiersFor(...which);
      concerned ||= change.concerns(tiers);
      return tiers;
    },
  });
  const enforced = told(judge(watched(world), asked));
  const pending = told(judge(watched(change.world), asked));
  return concerned ? { ...enforced, pending } : enforced;
}

/** As `evaluate` judges what is enforced, with what is needed to suggest a change. */
export function trace(world: World, packet: Packet): Trace {
  return judge(world, question(world, packet));
}

type Question = Pick<Trace, 'traffic' | 'source' | 'destination' | 'through'>;

/** The packet with its ends found and its addresses chosen; worlds that differ in policies only share it. */
function question(world: World, packet: Packet): Question {
  const source = placeOf(world, packet.from);
  const destination = placeOf(world, packet.to);
  const { through } = packet;
  if (through) checkTransit(world, through, [source, destination]);
  const traffic = trafficOf(packet, source, destination);
  return { source, destination, traffic, ...(through && { through }) };
}

function judge(world: World, asked: Question): Trace {
  const { through } = asked;
  const steps: TraceStep[] = [];
  const half = (direction: Direction): Half => {
    const judgeHalf = through
      ? (journey: Journey, walk: Walk) => judgeTransit(journey, through, walk)
      : direction === 'egress'
        ? judgeEgress
        : judgeIngress;
    const walk = { direction, traffic: asked.traffic, record: (it: TraceStep) => steps.push(it) };
    return withDoubt({ ...asked, world }, walk, judgeHalf);
  };
  const egress = half('egress');
  const ingress = half('ingress');
  const verdict = egress.verdict === 'allow' && ingress.verdict === 'allow' ? 'allow' : 'deny';
  return { ...asked, verdict, egress, ingress, steps };
}

/** Judges a half by who is taken to govern its interface, and, in silence, by whoever else may. */
function withDoubt(
  journey: Omit<Journey, 'govern'>,
  walk: Walk,
  judgeHalf: (journey: Journey, walk: Walk) => Half,
): Half {
  let asked: Governors | undefined;
  const govern = (governors: Governors) => {
    asked = governors;
    return governors.taken;
  };
  const half = judgeHalf({ ...journey, govern }, walk);
  if (!asked || asked.others.length === 0) return half;
  const { node, taken, others } = asked;
  const silent = { ...walk, record: () => undefined };
  const otherwise = others.flatMap((it) => {
    const other = judgeHalf({ ...journey, govern: () => it }, silent);
    return isSame(half, other) ? [] : [{ ...other, hostEndpoint: it?.name ?? null }];
  });
  if (otherwise.length === 0) return half;
  return { ...half, doubt: { node, hostEndpoint: taken?.name ?? null, otherwise } };
}

function isSame(one: Ruling, other: Ruling): boolean {
  return (
    one.verdict === other.verdict &&
    one.tier === other.tier &&
    one.rule === other.rule &&
    (one.policy && formatPolicyRef(one.policy)) === (other.policy && formatPolicyRef(other.policy))
  );
}

function told({ verdict, egress, ingress, steps }: Trace): Judgement {
  return { verdict, egress, ingress, steps: steps.map(withoutNearMisses) };
}

function withoutNearMisses(step: TraceStep): Step {
  const { direction, tier, policy, rule, outcome, reason } = step;
  return { direction, tier, policy, rule, outcome, reason };
}

function trafficOf(packet: Packet, source: Place, destination: Place): Traffic {
  const { protocol, sourcePort, port, icmpType, icmpCode } = packet;
  const withPorts = !isIcmp(protocol);
  const echoRequest = protocol === PROTOCOL_NUMBERS.icmpv6 ? 128 : 8;
  const from = { name: placeName(source), addresses: addressesOf(source, packet.from) };
  const to = { name: placeName(destination), addresses: addressesOf(destination, packet.to) };
  const [sourceAddress, destinationAddress] = addressPair(from, to, packet.family);
  return {
    family: sourceAddress.family,
    protocol,
    source: {
      address: sourceAddress,
      port: withPorts ? (sourcePort ?? EPHEMERAL_PORT) : undefined,
      name: from.name,
    },
    destination: {
      address: destinationAddress,
      port: withPorts ? port : undefined,
      name: to.name,
    },
    ...(withPorts ? {} : { icmp: { type: icmpType ?? echoRequest, code: icmpCode ?? 0 } }),
  };
}

/** The address that was named, else all that the place has. */
function addressesOf(place: Place, party: Party): readonly Address[] {
  const named = party.type === 'address' ? parseAddress(party.address) : undefined;
  return named ? [named] : placeAddresses(place);
}

interface Candidates {
  readonly name: string;
  readonly addresses: readonly Address[];
}

/** The first addresses of the first family that both have. */
function addressPair(
  from: Candidates,
  to: Candidates,
  wanted: Family | undefined,
): [source: Address, destination: Address] {
  for (const family of wanted === undefined ? FAMILIES : [wanted]) {
    const source = from.addresses.find((address) => address.family === family);
    const destination = to.addresses.find((address) => address.family === family);
    if (source && destination) return [source, destination];
  }
  const list = ({ addresses }: Candidates) => addresses.map(formatAddress).join(', ') || 'none';
  const missing = wanted === undefined ? 'no address family' : `no IPv${wanted}`;
  throw new PartyError(
    `Cannot judge ${from.name} to ${to.name}: they share ${missing} (addresses ${list(from)} and ${list(to)})`,
  );
}
