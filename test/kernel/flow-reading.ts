// A router with two pods, and the thread that reads its flows, for the kernel tests of flows.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FlowThreadOptions, FlowWorker } from '#agent';
import type { ConnectionReport } from '#flows';
import { ConntrackSocket, enableConntrackAccounting } from '#linux';
import {
  endpoint,
  makeRouter,
  podAddress,
  policy,
  type Router,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

export interface Reading {
  readonly router: Router;
  readonly worker: FlowWorker;
  readonly reports: ConnectionReport[];
  /** Waits until the reports satisfy, at most 30 seconds. */
  readonly until: (what: string, holds: () => boolean) => Promise<void>;
  /** Makes the kernel forget all connections, once those of TCP are over: late packets would begin others. */
  readonly forget: () => Promise<void>;
  /** Another reader, which knows of no workload yet. */
  readonly again: () => FlowWorker;
}

export const LOCALS = [1, 2].flatMap((pod) => [podAddress(pod, 4), podAddress(pod, 6)]);

/** Pod 2 takes TCP on the ports 80 and 81; all else is allowed to go, and denied there. */
export async function read(
  t: TestContext,
  options: Partial<FlowThreadOptions> = {},
): Promise<Reading> {
  const router = await makeRouter(t, 2);
  enableConntrackAccounting(router.machine.fd);
  const conntrack = ConntrackSocket.open({ namespace: router.machine.fd, events: [] });
  t.after(() => conntrack.close());
  const web = policy('web', {
    ingress: [
      rule('Allow', {
        index: 1,
        protocol: 6,
        destination: { ipSets: [], notIpSets: [], ports: [[80, 81]] },
      }),
    ],
  });
  const dataplane = router.start();
  dataplane.apply(stateOf([endpoint(1), endpoint(2, { ingress: [tierOf(web)] })], [web]));
  const reports: ConnectionReport[] = [];
  const again = (): FlowWorker => {
    const worker = new FlowWorker({
      groups: [1, 2],
      namespace: router.machine.fd,
      intervalMs: 50,
      ...options,
      hitOf: (prefix) => dataplane.hitOf(prefix),
      onReports: (more) => void reports.push(...more),
      log: (message) => t.diagnostic(message),
    });
    t.after(() => worker.stop());
    return worker;
  };
  const worker = again();
  worker.setLocals(LOCALS);
  const until = async (what: string, holds: () => boolean) => {
    for (let look = 0; look < 600 && !holds(); look++) await sleep(50);
    assert.ok(holds(), `not seen: ${what}; ${JSON.stringify(reports.slice(-4))}`);
  };
  const forget = async () => {
    const isOver = ({ tcpState = 'close' }: { tcpState?: string }): boolean =>
      tcpState === 'close' || tcpState === 'time_wait';
    await until('connections that are over', () => conntrack.dump().every(isOver));
    for (const entry of conntrack.dump()) conntrack.delete(entry);
  };
  await until('the thread is there', () => worker.state !== undefined);
  return { router, worker, reports, until, forget, again };
}

export const sum = (reports: readonly ConnectionReport[], of: (one: ConnectionReport) => number) =>
  reports.reduce((total, one) => total + of(one), 0);
