// Pods that exchange packets with one another behind a router that a dataplane rules over.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Dataplane } from '#dataplane';
import { NftablesSocket, RouteSocket, sysctlsOfNamespace, writeSysctlInNamespace } from '#linux';
import { attachPod, Machine } from '../../kernel/dataplane-router.ts';
import type { PeerRequest } from './peer.ts';

const PEER = fileURLToPath(new URL('peer.ts', import.meta.url));

export interface Pod {
  readonly machine: Machine;
  ask(request: PeerRequest): Promise<number>;
}

export interface Node {
  readonly machine: Machine;
  readonly routes: RouteSocket;
  readonly pods: readonly Pod[];
  /** A dataplane as a new process would make it. */
  readonly start: (log?: (message: string) => void) => Dataplane;
}

export async function makeNode(t: TestContext, podCount: number): Promise<Node> {
  const machine = new Machine(t);
  const routes = RouteSocket.open({ namespace: machine.fd });
  t.after(() => routes.close());
  routes.setUp('lo');
  for (const path of ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding']) {
    writeSysctlInNamespace(machine.fd, path, 1);
  }
  const machines = Array.from({ length: podCount }, () => new Machine(t));
  for (const [index, pod] of machines.entries()) attachPod(machine, routes, pod, index + 1);
  const pods = await Promise.all(machines.map((pod) => startPeer(t, pod)));
  const start = (log?: (message: string) => void): Dataplane => {
    const dataplane = new Dataplane({
      nftables: NftablesSocket.open({ namespace: machine.fd }),
      routes: RouteSocket.open({ namespace: machine.fd }),
      sysctls: sysctlsOfNamespace(machine.fd),
      ...(log && { log }),
    });
    t.after(() => dataplane.close());
    return dataplane;
  };
  return { machine, routes, pods, start };
}

async function startPeer(t: TestContext, machine: Machine): Promise<Pod> {
  const argv = [`--net=${machine.path}`, process.execPath, PEER];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.after(() => ended(child));
  await once(child, 'message', { signal: AbortSignal.timeout(60_000) });
  const ask = async (request: PeerRequest): Promise<number> => {
    child.send(request);
    const signal = AbortSignal.timeout(60_000);
    const [{ figure, error }] = (await once(child, 'message', { signal })) as [
      { figure: number; error?: string },
    ];
    if (error !== undefined) throw new Error(`${request.type}: ${error}`);
    return figure;
  };
  return { machine, ask };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
