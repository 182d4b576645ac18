// Host endpoints whose policy, or lack of it, leaves nobody a way into the node or the node a way to the API server.
import type { Packet, Party } from '../packet.ts';
import { PROTOCOL_NUMBERS } from '../packet.ts';
import type { World } from '../world.ts';
import type { HostEndpointObject } from '../world-endpoints.ts';
import { type Denial, denialOf, FindingsByField, someNames } from './denial.ts';
import type { Finding, Severity } from './finding.ts';
import { apiServers, type Surroundings } from './needed-services.ts';

interface Way {
  readonly port: number;
  readonly direction: 'ingress' | 'egress';
  readonly severity: Severity;
  /** What is lost with it. */
  readonly loss: (node: string) => string;
}

const WAYS: readonly Way[] = [
  {
    port: 22,
    direction: 'ingress',
    severity: 'error',
    loss: (node) => `nobody can log in to node ${node} over SSH`,
  },
  {
    port: 6443,
    direction: 'egress',
    severity: 'error',
    loss: (node) => `kubelet and agent of node ${node} cannot reach the API server`,
  },
  {
    port: 10250,
    direction: 'ingress',
    severity: 'warning',
    loss: (node) =>
      `the API server cannot reach the kubelet of node ${node}, so logs and exec fail`,
  },
];

/** A way counts as open if any address that anything names may use it. */
export function lockedNodes(surroundings: Surroundings): Finding[] {
  const { world } = surroundings;
  const findings = new FindingsByField();
  const nodes = new Map(world.hostEndpoints.map((endpoint) => [endpoint.node, endpoint]));
  for (const [node, endpoint] of nodes) {
    if (!world.hosts.has(node)) continue;
    for (const way of WAYS) checkWay(way, endpoint, surroundings, findings);
  }
  return findings.all();
}

function checkWay(
  way: Way,
  endpoint: HostEndpointObject,
  { world, resources, somewhere }: Surroundings,
  findings: FindingsByField,
): void {
  const { node } = endpoint;
  const others = [...world.hosts.keys()]
    .filter((name) => name !== node)
    .slice(0, 8)
    .map((name): Party => ({ type: 'node', name }));
  const known = apiServers(resources);
  const isApi = way.port === 6443 && known.length > 0;
  if (isApi && known.some(({ party }) => party.type === 'node' && party.name === node)) return;
  const places = isApi
    ? known
    : [...somewhere, ...others].map((party) => ({ party, port: way.port }));
  const own: Party = { type: 'node', name: node };
  const protocol = PROTOCOL_NUMBERS.tcp;
  const packets = places.map(({ party, port }) =>
    way.direction === 'ingress'
      ? { from: party, to: own, protocol, port }
      : { from: own, to: party, protocol, port },
  );
  const denial = closedWay(world, packets, way.direction);
  if (!denial) return;
  const object = denial.object ?? endpoint.name;
  const path = denial.object === undefined ? 'spec' : denial.path;
  const list = way.direction === 'ingress' ? 'failsafeInbound' : 'failsafeOutbound';
  const lost = `is no failsafe port and is denied at ${way.direction} (${denial.because})`;
  findings.add(`${way.port} ${object} ${path}`, [node], (all) => ({
    check: 'locks-node-out',
    severity: way.severity,
    object,
    path,
    reason: `${way.loss(someNames(all))}: TCP port ${way.port} ${lost}`,
    advice: `allow it in a policy that selects the host endpoint, or add it to ${list}HostPorts`,
  }));
}

/** The first denial of the node's own half, if none of the packets passes it. */
function closedWay(
  world: World,
  packets: readonly Packet[],
  direction: Way['direction'],
): Denial | undefined {
  let first: Denial | undefined;
  for (const packet of packets) {
    const denial = denialOf(world, packet);
    if (denial === 'allowed') return undefined;
    if (denial && denial.direction !== direction) continue;
    first ??= denial;
  }
  return first;
}
