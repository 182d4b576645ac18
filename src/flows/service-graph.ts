// Who talks to whom: flows summed up by service, with what was denied and by which policy.
import { compareCodePoints } from '#lib';
import { decidingHit, type Flow, type FlowEnd, type PolicyHit } from './flow.ts';

export interface GraphNode {
  /** Unique in its graph, such as `workload shop/cart`. */
  readonly id: string;
  readonly type: FlowEnd['type'];
  readonly namespace: string | null;
  /** The service: the `app.kubernetes.io/name`, `app` or `k8s-app` label of workloads, else their name. */
  readonly name: string;
}

export interface Denial {
  readonly hit: PolicyHit;
  readonly connections: number;
  readonly packets: number;
}

export interface GraphEdge {
  /** Ids of nodes. */
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly port?: number;
  /** Connections by verdict. */
  readonly allowed: number;
  readonly denied: number;
  /** Both directions. */
  readonly packets: number;
  readonly bytes: number;
  /** Most packets first. */
  readonly denials: readonly Denial[];
}

export interface ServiceGraph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

const SERVICE_LABELS = ['app.kubernetes.io/name', 'app', 'k8s-app'];

/** Each flow counts as one connection. Nodes and edges are sorted by their text. */
export function serviceGraph(flows: readonly Flow[]): ServiceGraph {
  const nodes = new Map<string, GraphNode>();
  const edges = new Map<string, EdgeSum>();
  for (const flow of flows) {
    const source = nodeOf(flow.source);
    const destination = nodeOf(flow.destination);
    nodes.set(source.id, source).set(destination.id, destination);
    const key = `${source.id} ${destination.id} ${flow.protocol} ${flow.port ?? ''}`;
    const edge = edges.get(key) ?? new EdgeSum(source.id, destination.id, flow);
    edge.add(flow);
    edges.set(key, edge);
  }
  return {
    nodes: [...nodes.values()].sort((a, b) => compareCodePoints(a.id, b.id)),
    edges: [...edges].sort(([a], [b]) => compareCodePoints(a, b)).map(([, edge]) => edge.result()),
  };
}

function nodeOf(end: FlowEnd): GraphNode {
  const { type, namespace } = end;
  const label = type === 'workload' ? SERVICE_LABELS.find((key) => end.labels[key]) : undefined;
  const name = (label && end.labels[label]) || end.name;
  return {
    id: `${type} ${namespace === null ? '' : `${namespace}/`}${name}`,
    type,
    namespace,
    name,
  };
}

class EdgeSum {
  readonly #identity: Pick<GraphEdge, 'source' | 'destination' | 'protocol' | 'port'>;
  #allowed = 0;
  #denied = 0;
  #packets = 0;
  #bytes = 0;
  readonly #denials = new Map<string, Denial>();

  constructor(source: string, destination: string, { protocol, port }: Flow) {
    this.#identity = { source, destination, protocol, ...(port !== undefined && { port }) };
  }

  add(flow: Flow): void {
    const packets = flow.packets.in + flow.packets.out;
    this.#packets += packets;
    this.#bytes += flow.bytes.in + flow.bytes.out;
    if (flow.verdict === 'allow') {
      this.#allowed++;
      return;
    }
    this.#denied++;
    const hit = [decidingHit(flow, 'egress'), decidingHit(flow, 'ingress')].find(
      (candidate) => candidate?.action === 'deny',
    );
    if (!hit) return;
    const key = JSON.stringify(hit);
    const sum = this.#denials.get(key) ?? { hit, connections: 0, packets: 0 };
    this.#denials.set(key, {
      hit,
      connections: sum.connections + 1,
      packets: sum.packets + packets,
    });
  }

  result(): GraphEdge {
    return {
      ...this.#identity,
      allowed: this.#allowed,
      denied: this.#denied,
      packets: this.#packets,
      bytes: this.#bytes,
      denials: [...this.#denials.values()].sort((a, b) => b.packets - a.packets),
    };
  }
}
