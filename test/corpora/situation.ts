// What a policy suite says of one moment: the resources of the cluster, and what each probe must then get.
import { buildWorld, evaluate, parseParty } from '#policy';
import type { Resource } from '#api';
import { protocolNumber } from './policy-worlds.ts';

export interface SituationProbe {
  /** `namespace/pod`, or the address of a machine that is no pod. */
  readonly from: string;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp' | 'icmp';
  /** As the server sees it; 0 for a ping. */
  readonly port: number;
  readonly expect: 'allow' | 'deny';
  /** The service that the client calls; it stands before `to` and `port`. */
  readonly service?: { readonly name: string; readonly port: number };
}

export interface Situation {
  /** The case, to find it in the suite. */
  readonly id: string;
  readonly resources: readonly Resource[];
  readonly probes: readonly SituationProbe[];
}

/** One text a probe by the reference: empty where it gets what the suite expects. */
export function judgeByReference({ id, resources, probes }: Situation): string[] {
  const world = buildWorld(resources);
  return probes.map((probe) => {
    const { verdict } = evaluate(world, {
      from: parseParty(world, probe.from),
      to: parseParty(world, probe.to),
      protocol: protocolNumber(probe.protocol),
      ...(probe.port === 0 ? {} : { port: probe.port }),
    });
    return verdict === probe.expect ? '' : `${id}: ${JSON.stringify(probe)}: ${verdict}`;
  });
}

/** The suites write protocols in either case. */
export function protocolOf(text: string): SituationProbe['protocol'] {
  const name = text.toLowerCase();
  if (name === 'tcp' || name === 'udp' || name === 'sctp' || name === 'icmp') return name;
  throw new Error(`the suite names an unknown protocol ${text}`);
}
