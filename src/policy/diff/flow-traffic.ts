// Sets of packets in the terms of the answer: protocols, ports, ICMP types and codes.
import { isIcmp } from '../packet.ts';
import type { FlowTraffic, IcmpRange } from './policy-diff.ts';
import { hasPorts, ICMP_CODES, LAST_PORT, type Range, type TrafficBox } from './traffic-space.ts';
import type { TrafficSpace } from './traffic-space.ts';

/** The parts of a set; they do not overlap. */
export function describeTraffic(space: TrafficSpace, packets: number): FlowTraffic[] {
  return space.describe(packets).flatMap(({ protocols, boxes }) => {
    if (boxes.every(isWhole)) return [{ protocols }];
    return [
      ...describeBoxes(onlyThose(protocols, hasPorts), boxes, portBox),
      ...describeBoxes(onlyThose(protocols, isIcmp), boxes, icmpBox),
    ];
  });
}

function describeBoxes(
  protocols: readonly Range[],
  boxes: readonly TrafficBox[],
  describe: (box: TrafficBox) => Omit<FlowTraffic, 'protocols'>,
): FlowTraffic[] {
  if (protocols.length === 0) return [];
  return boxes.map((box) => ({ protocols, ...describe(box) }));
}

function isEverything([range, ...more]: readonly Range[]): boolean {
  return more.length === 0 && range?.[0] === 0 && range[1] === LAST_PORT;
}

function isWhole({ ports, sourcePorts }: TrafficBox): boolean {
  return isEverything(ports) && isEverything(sourcePorts);
}

/** A part that is not whole is of single protocols: those with ports or with types. */
function onlyThose(
  protocols: readonly Range[],
  wanted: (protocol: number) => boolean,
): readonly Range[] {
  return protocols.flatMap(([first, last]) => {
    const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    return numbers.filter(wanted).map((it): Range => [it, it]);
  });
}

function portBox({ ports, sourcePorts }: TrafficBox): Omit<FlowTraffic, 'protocols'> {
  return {
    ...(isEverything(sourcePorts) ? {} : { sourcePorts }),
    ...(isEverything(ports) ? {} : { ports }),
  };
}

function icmpBox({ ports }: TrafficBox): Omit<FlowTraffic, 'protocols'> {
  return { icmp: ports.flatMap(icmpRanges) };
}

/** A range of `type × 256 + code`, cut at the types. */
function icmpRanges([first, last]: Range): IcmpRange[] {
  const ranges: IcmpRange[] = [];
  for (let from = first; from <= last; ) {
    const type = Math.floor(from / ICMP_CODES);
    const to = Math.min(last, type * ICMP_CODES + ICMP_CODES - 1);
    ranges.push({ type, codes: [from % ICMP_CODES, to % ICMP_CODES] });
    from = to + 1;
  }
  return ranges;
}
