// Packets of a group as text: `tcp 80,443`, `icmp type 8`, `protocols but tcp and udp`.
import { protocolName } from '../packet.ts';
import type { FlowTraffic, IcmpRange } from './policy-diff.ts';
import type { Range } from './traffic-space.ts';

const RANGES_SHOWN = 10;
/** As many protocols are named one by one, or excluded one by one. */
const PROTOCOLS_NAMED = 6;
const PROTOCOLS = 256;

export function trafficText(traffic: readonly FlowTraffic[]): string {
  return traffic.map(partText).join('; ');
}

function partText({ protocols, ports, sourcePorts, icmp }: FlowTraffic): string {
  const details = [
    ...(ports ? [rangesText(ports)] : []),
    ...(icmp ? [icmpText(icmp)] : []),
    ...(sourcePorts ? [`from ports ${rangesText(sourcePorts)}`] : []),
  ];
  return [protocolsText(protocols), ...details].join(' ');
}

function protocolsText(ranges: readonly Range[]): string {
  const named = new Set(
    ranges.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, index) => first + index),
    ),
  );
  if (named.size === PROTOCOLS) return 'any protocol';
  if (named.size <= PROTOCOLS_NAMED) return [...named].map(nameText).join(' and ');
  const others = Array.from({ length: PROTOCOLS }, (_, index) => index).filter(
    (protocol) => !named.has(protocol),
  );
  if (others.length <= PROTOCOLS_NAMED) return `protocols but ${others.map(nameText).join(', ')}`;
  return `protocols ${rangesText(ranges)}`;
}

function nameText(protocol: number): string {
  return protocolName(protocol).toLowerCase();
}

function rangeText([first, last]: Range): string {
  return first === last ? String(first) : `${first}-${last}`;
}

function rangesText(ranges: readonly Range[]): string {
  const shown = ranges.slice(0, RANGES_SHOWN).map(rangeText);
  const rest = ranges.length - shown.length;
  return rest > 0 ? `${shown.join(',')} and ${rest} more ranges` : shown.join(',');
}

function icmpText(ranges: readonly IcmpRange[]): string {
  const texts = ranges.map(({ types, codes }) => {
    const everyCode = codes[0] === 0 && codes[1] === 255;
    return everyCode ? rangeText(types) : `${rangeText(types)} code ${rangeText(codes)}`;
  });
  const shown = texts.slice(0, RANGES_SHOWN);
  const rest = texts.length - shown.length;
  const list = rest > 0 ? [...shown, `and ${rest} more`] : shown;
  return `type ${list.join(', ')}`;
}
