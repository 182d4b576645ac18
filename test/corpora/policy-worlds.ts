// What the policy suites share: pods with addresses, labelled namespaces and a suite's JSON object.
import type { Pod, Resource } from '#api';
import { formatAddress, parseAddress } from '#lib';
import { readCorpus } from './corpora.ts';

/** A suite whose file is one object; the caller states its type, as the suite's README does. */
export function readSuite<Suite>(path: string): Suite {
  return readCorpus<never>(path) as unknown as Suite;
}

export interface SuitePod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly hostNetwork?: boolean;
  readonly ports?: readonly {
    readonly port: number;
    readonly protocol: string;
    readonly name?: string;
  }[];
}

/** Makes pods; those without an address get the next of a pod network. */
export class PodNetwork {
  #next: bigint;

  constructor(first: string) {
    this.#next = parseAddress(first)?.bits ?? 0n;
  }

  pod({ namespace, name, labels, ip, hostNetwork, ports = [] }: SuitePod): Pod {
    this.#next += 1n;
    const address = ip ?? formatAddress({ family: 4, bits: this.#next });
    const containers = [
      {
        name: 'main',
        ports: ports.map((port) => ({
          containerPort: port.port,
          protocol: port.protocol as 'TCP' | 'UDP' | 'SCTP',
          ...(port.name === undefined ? {} : { name: port.name }),
        })),
      },
    ];
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: { ...labels } },
      spec: {
        nodeName: hostNetwork === true ? name : 'node',
        ...(hostNetwork === true ? { hostNetwork } : {}),
        containers,
      },
      status: { phase: 'Running', podIPs: [{ ip: address }] },
    };
  }
}

export function namespaceResources(
  namespaces: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Resource[] {
  return Object.entries(namespaces).map(([name, labels]) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { ...labels } },
  }));
}

const NUMBERS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, sctp: 132 };

export function protocolNumber(name: string): number {
  const number = NUMBERS[name.toLowerCase()];
  if (number === undefined) throw new Error(`the suite names an unknown protocol ${name}`);
  return number;
}
