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

/** A range of `type × 256 + code`: part of a type, whole types, part of a type. */
function icmpRanges([first, last]: Range): IcmpRange[] {
  const ranges: IcmpRange[] = [];
  let from = first;
  while (from <= last) {
    const [type, code] = [Math.floor(from / ICMP_CODES), from % ICMP_CODES];
    const wholeTypes = code === 0 ? Math.floor((last + 1 - from) / ICMP_CODES) : 0;
    if (wholeTypes > 0) {
      ranges.push({ types: [type, type + wholeTypes - 1], codes: [0, ICMP_CODES - 1] });
      from += wholeTypes * ICMP_CODES;
    } else {
      const end = Math.min(last, (type + 1) * ICMP_CODES - 1);
      ranges.push({ types: [type, type], codes: [code, end % ICMP_CODES] });
      from = end + 1;
    }
  }
  return ranges;
}
