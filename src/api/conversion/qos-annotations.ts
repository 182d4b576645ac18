// A pod's QoS annotations as numbers within what the kernel takes (spec 04, 4.1; spec 06).
import type { Problem } from '../kind.ts';
import { caution, memberPath, quoted } from '../problem.ts';
import type { QosControls } from '../workload-endpoint.ts';

const PREFIX = 'qos.projectcalico.org/';
const DSCP = /^(DF|EF|AF[1-4][1-3]|CS[0-6])$/;

interface Limit {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  /** The limit without which this one means nothing. */
  readonly needs?: string;
}

/** Bandwidths in bit/s, bursts in bits, minburst in bytes, packets per second, connections. */
const LIMITS: readonly Limit[] = [
  { name: 'Bandwidth', least: 1e3, most: 1e15 },
  { name: 'Burst', least: 1e3, most: 34_359_738_360, needs: 'Bandwidth' },
  { name: 'Peakrate', least: 1.01e3, most: 1.01e15, needs: 'Bandwidth' },
  { name: 'Minburst', least: 1e3, most: 1e8, needs: 'Peakrate' },
  { name: 'PacketRate', least: 1, most: 1e4 },
  { name: 'PacketBurst', least: 1, most: 1e4, needs: 'PacketRate' },
  { name: 'MaxConnections', least: 1, most: 4_294_967_295 },
];

/**
 * Limits by name, such as `ingressBandwidth`; undefined where the pod sets none. A value out of range counts as the
 * nearest one, an unreadable one as absent with a warning: the pod's policy does not suffer from it.
 */
export function readQosControls(annotations: Readonly<Record<string, string>>): {
  controls: QosControls | undefined;
  problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const controls: Record<string, number | string> = {};
  for (const direction of ['ingress', 'egress']) {
    for (const { name, least, most, needs } of LIMITS) {
      const text = own(annotations, `${PREFIX}${direction}${name}`);
      if (text === undefined) continue;
      if (needs !== undefined && controls[direction + needs] === undefined) continue;
      const value = parseQuantity(text);
      if (value === undefined) {
        problems.push(unreadable(`${direction}${name}`, text, 'quantity such as 10M'));
      } else {
        controls[direction + name] = Math.min(Math.max(value, least), most);
      }
    }
  }
  const dscp = own(annotations, `${PREFIX}dscp`);
  const mark = dscp === undefined ? undefined : parseDscp(dscp);
  if (mark !== undefined) controls['dscp'] = mark;
  else if (dscp !== undefined) problems.push(unreadable('dscp', dscp, 'number to 63 or name'));
  return { controls: Object.keys(controls).length > 0 ? controls : undefined, problems };
}

function own(annotations: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(annotations, key) ? annotations[key] : undefined;
}

function unreadable(name: string, text: string, what: string): Problem {
  const path = memberPath('metadata.annotations', PREFIX + name);
  return caution(path, `${quoted(text)} is no ${what}; it is ignored`);
}

function parseDscp(text: string): number | string | undefined {
  const upper = text.toUpperCase();
  if (DSCP.test(upper)) return upper;
  return /^\d{1,2}$/.test(text) && Number(text) <= 63 ? Number(text) : undefined;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity as a whole number, rounded up. */
function parseQuantity(text: string): number | undefined {
  const match = /^(\d{1,18}(?:\.\d{1,9})?)([kMGTPE]|[KMGTPE]i)?$/.exec(text);
  const factor = SUFFIXES[match?.[2] ?? ''];
  return match && factor !== undefined ? Math.ceil(Number(match[1]) * factor) : undefined;
}
