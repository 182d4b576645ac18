// A router that also has a neighbour on a real interface: what host endpoints, NAT and tunnels are tried on.
import { execFileSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import type { EndpointTier, FailsafePort, HostEndpoint } from '#calc/dataplane-update';
import type { Family } from '#lib';
import { RouteSocket, writeSysctlInNamespace } from '#linux';
import { Machine, makeRouter, podAddress, type Router } from './dataplane-router.ts';

/** The router's address on `eth0`, and that of the machine at its other end. */
export const NODE_ADDRESS: Readonly<Record<Family, string>> = { 4: '172.31.0.1', 6: 'fd31::1' };
export const OUTSIDE_ADDRESS: Readonly<Record<Family, string>> = { 4: '172.31.0.2', 6: 'fd31::2' };
const LENGTH: Readonly<Record<Family, number>> = { 4: 24, 6: 64 };
const POD_NETS: Readonly<Record<Family, string>> = { 4: '10.65.0.0/24', 6: 'fd65::/64' };
const FAMILIES = [4, 6] as const;

export interface Edge extends Router {
  /** Reaches the pods through the router. */
  readonly outside: Machine;
}

/** A router with pods, joined by `eth0` to a machine outside. */
export async function makeEdge(t: TestContext, podCount: number): Promise<Edge> {
  const router = await makeRouter(t, podCount);
  const outside = new Machine(t);
  joinByWire(router.machine, router.routes, outside);
  await outside.start();
  return { ...router, outside };
}

function joinByWire(machine: Machine, routes: RouteSocket, outside: Machine): void {
  routes.createVeth({ name: 'eth0', peerName: 'eth0', peerNamespace: outside.fd });
  const there = RouteSocket.open({ namespace: outside.fd });
  for (const { fd } of [machine, outside]) {
    writeSysctlInNamespace(fd, 'net/ipv6/conf/eth0/accept_dad', 0);
  }
  there.setUp('lo');
  for (const socket of [routes, there]) socket.setUp('eth0');
  for (const family of FAMILIES) {
    const length = LENGTH[family];
    routes.addAddress('eth0', `${NODE_ADDRESS[family]}/${length}`, { noDad: true });
    there.addAddress('eth0', `${OUTSIDE_ADDRESS[family]}/${length}`, { noDad: true });
    there.replaceRoute({
      family,
      destination: POD_NETS[family],
      gateway: NODE_ADDRESS[family],
      table: 254,
      protocol: 4,
      type: 'unicast',
    });
  }
  there.close();
}

const NO_TIERS = { ingress: [], egress: [] } as const;
export const NO_FAILSAFE: readonly FailsafePort[] = [];

/** A host endpoint on `eth0` without policy or profile. */
export function hostEndpoint(more: Partial<HostEndpoint> = {}): HostEndpoint {
  return {
    id: 'node-eth0',
    interfaceName: 'eth0',
    addresses: [],
    untracked: NO_TIERS,
    preDnat: [],
    forward: NO_TIERS,
    normal: NO_TIERS,
    profiles: [],
    ...more,
  };
}

/** The same tier both ways. */
export function bothWays(...tiers: readonly EndpointTier[]) {
  return { ingress: tiers, egress: tiers };
}

/** What a program that is no part of Tortie does to a port of the node: it leads to a pod's. */
export function redirectPort(machine: Machine, from: number, pod: number, to: number): void {
  const rules = FAMILIES.map((family) => {
    const address = podAddress(pod, family);
    const [name, way] = family === 4 ? ['ipv4', 'ip'] : ['ipv6', 'ip6'];
    const target = family === 4 ? `${address}:${to}` : `[${address}]:${to}`;
    return `meta nfproto ${name} tcp dport ${from} dnat ${way} to ${target}`;
  });
  const lines = ['type nat hook prerouting priority dstnat', ...rules].join('\n');
  const text = `table inet foreign {\nchain c {\n${lines}\n}\n}`;
  const argv = [`--net=${machine.path}`, 'nft', '-f', '-'];
  execFileSync('nsenter', argv, { input: text, stdio: ['pipe', 'ignore', 'inherit'] });
}
