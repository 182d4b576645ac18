// Which captures concern which pods of a node at a moment, from PacketCapture resources and pods.
import {
  captureTime,
  isFinishedPod,
  type KindDefinition,
  type PacketCapture,
  packetCaptureKind,
  type Pod,
  podKind,
  podToWorkloadEndpoint,
  type Resource,
  VERDICT_ANNOTATION,
} from '#api';
import { parseSelector, type Selector, SelectorError } from '#selector';
import type { PacketFilter } from './packet-filter.ts';

export interface CaptureUpdate {
  readonly kind: KindDefinition;
  readonly key: string;
  /** Undefined: it is gone. */
  readonly resource: Resource | undefined;
}

export interface PlannedPod {
  readonly name: string;
  readonly interfaceName: string;
}

/** Now: before its time, in its time, or after it. */
export type CapturePhase = 'scheduled' | 'active' | 'finished';

export interface PlannedCapture {
  readonly resource: PacketCapture;
  readonly namespace: string;
  readonly name: string;
  readonly phase: CapturePhase;
  /** Those on the node, by name. */
  readonly pods: readonly PlannedPod[];
  readonly filters: readonly PacketFilter[];
  readonly deniedOnly: boolean;
}

interface KnownPod extends PlannedPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
};

export class CapturePlanner {
  readonly #node: string;
  readonly #pods = new Map<string, KnownPod>();
  readonly #captures = new Map<string, PacketCapture>();

  constructor(node: string) {
    this.#node = node;
  }

  /** Takes in what concerns captures, and passes over the rest. */
  onUpdates(updates: readonly CaptureUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      if (kind === packetCaptureKind) {
        if (resource) this.#captures.set(key, resource as PacketCapture);
        else this.#captures.delete(key);
      }
      if (kind !== podKind) continue;
      const pod = resource && this.#read(resource as Pod);
      if (pod) this.#pods.set(key, pod);
      else this.#pods.delete(key);
    }
  }

  get isEmpty(): boolean {
    return this.#captures.size === 0;
  }

  /** Every capture, also those that have no pod here. */
  plan(nowMs: number): PlannedCapture[] {
    return [...this.#captures.values()].map((resource) => this.#planned(resource, nowMs));
  }

  /** Whether there is the capture, and its end has not come. */
  mayCapture(namespace: string, name: string, nowMs: number): boolean {
    return [...this.#captures.values()].some(({ metadata, spec = {} }) => {
      if (metadata.name !== name || (metadata.namespace ?? 'default') !== namespace) return false;
      const end = captureTime(spec.endTime);
      return end === undefined || end > nowMs;
    });
  }

  #planned(resource: PacketCapture, nowMs: number): PlannedCapture {
    const { metadata, spec = {} } = resource;
    const { name, namespace = 'default' } = metadata;
    const start = captureTime(spec.startTime);
    const end = captureTime(spec.endTime);
    const selector = readSelector(spec.selector);
    const pods = [...this.#pods.values()]
      .filter((pod) => pod.namespace === namespace && selector?.evaluate(pod.labels) === true)
      .map((pod) => ({ name: pod.name, interfaceName: pod.interfaceName }))
      .sort((one, other) => (one.name < other.name ? -1 : 1));
    return {
      resource,
      namespace,
      name,
      pods,
      phase:
        end !== undefined && end <= nowMs
          ? 'finished'
          : start !== undefined && start > nowMs
            ? 'scheduled'
            : 'active',
      filters: (spec.filters ?? []).map(({ protocol, ports = [] }) => ({
        protocol: typeof protocol === 'string' ? PROTOCOL_NUMBERS[protocol] : protocol,
        ports: ports.map(portRange),
      })),
      deniedOnly: metadata.annotations?.[VERDICT_ANNOTATION] === 'deny',
    };
  }

  /** Undefined for a pod that is elsewhere, has its host's network, or has gone. */
  #read(pod: Pod): KnownPod | undefined {
    if (pod.spec.nodeName !== this.#node || isFinishedPod(pod)) return undefined;
    const endpoint = podToWorkloadEndpoint(pod);
    const interfaceName = endpoint?.spec.interfaceName;
    if (!endpoint || interfaceName === undefined) return undefined;
    const { labels = {}, namespace = 'default' } = endpoint.metadata;
    return { name: pod.metadata.name, namespace, interfaceName, labels };
  }
}

/** Undefined selects nothing: what was stored was valid, and what cannot be read must not select all. */
function readSelector(text: string | undefined): Selector | undefined {
  try {
    return parseSelector(text ?? 'all()');
  } catch (error) {
    if (error instanceof SelectorError) return undefined;
    throw error;
  }
}

function portRange(port: string | number): [first: number, last: number] {
  const [first = 0, last = first] = String(port).split(':').map(Number);
  return [first, last];
}
