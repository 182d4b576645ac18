// Pods that exchange packets with one another behind a router that a dataplane rules over.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Machine, makeSilentRouter, type Router } from '../../kernel/dataplane-router.ts';
import type { PeerRequest } from './peer.ts';

const PEER = fileURLToPath(new URL('peer.ts', import.meta.url));

export interface Pod {
  readonly machine: Machine;
  ask(request: PeerRequest): Promise<number>;
}

export type Node = Omit<Router, 'pods'> & { readonly pods: readonly Pod[] };

export async function makeNode(t: TestContext, podCount: number): Promise<Node> {
  const router = makeSilentRouter(t, podCount);
  const pods = await Promise.all(router.pods.map((pod) => startPeer(t, pod)));
  return { ...router, pods };
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
