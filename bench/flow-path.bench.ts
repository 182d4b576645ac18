// What reading flows costs on the path of packets, against the same policy read by nobody (needs root).
import { setTimeout as sleep } from 'node:timers/promises';
import { FlowWorker, type SocketDetails } from '#agent';
import type { Dataplane } from '#dataplane';
import { enableConntrackAccounting, writeSysctlInNamespace } from '#linux';
import { printFigure, printMachine } from './measurement.ts';
import {
  enforceOne,
  measure,
  measureRounds,
  podPath,
  type PodPath,
  PODS,
  printPaths,
} from './pod-path.ts';
import { type Scratch, withScratch } from './scratch.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 7);
const SECONDS = 0.4;
/** Of established traffic alone, to see what the readers work meanwhile. */
const ESTABLISHED_SECONDS = 4;
const START_MS = 20_000;
/** A path whose policy log and connections somebody reads, or nobody. */
class ReadPath {
  readonly worker: FlowWorker | undefined;
  readonly path: PodPath;
  /** Connections that were heard of. */
  started = 0;

  private constructor(path: PodPath, dataplane: Dataplane, details: SocketDetails | undefined) {
    this.path = path;
    if (!details) return;
    this.worker = new FlowWorker({
      groups: [1, 2],
      namespace: path.router.fd,
      hitOf: (prefix) => dataplane.hitOf(prefix),
      log: (message) => void process.stdout.write(`${path.name}: ${message}\n`),
      onReports: (reports) => {
        for (const { direction, connections } of reports) {
          if (direction === 'ingress') this.started += connections.started;
        }
      },
    });
    this.worker.setLocals(PODS.map(({ address }) => address));
    this.worker.setDetails(details);
  }

  static async make(scratch: Scratch, name: string, details?: SocketDetails): Promise<ReadPath> {
    let dataplane: Dataplane | undefined;
    const path = await podPath(scratch, name, (router) => {
      dataplane = enforceOne(scratch, router);
      if (details) enableConntrackAccounting(router.fd);
      else writeSysctlInNamespace(router.fd, 'net/netfilter/nf_conntrack_acct', 0);
    });
    if (!dataplane) throw new Error('a path was not prepared');
    const read = new ReadPath(path, dataplane, details);
    scratch.later(() => read.worker?.stop());
    const deadline = performance.now() + START_MS;
    while (read.worker && !read.worker.state) {
      if (performance.now() > deadline) throw new Error('the reader does not begin');
      await sleep(50);
    }
    return read;
  }
}

/** Milliseconds of CPU of all readers, in one second in which this path's packets go to and fro. */
async function readersWork({ path }: ReadPath): Promise<number> {
  const before = process.cpuUsage();
  await measure('roundTrip', path, ESTABLISHED_SECONDS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000 / ESTABLISHED_SECONDS;
}

await withScratch(async (scratch) => {
  printMachine();
  const nobody = await ReadPath.make(scratch, 'read by nobody');
  const read = await ReadPath.make(scratch, 'read', { process: false, tcp: false });
  const all = await ReadPath.make(scratch, 'read with processes and TCP', {
    process: true,
    tcp: true,
  });
  const paths = [nobody, read, all];
  await measureRounds(
    paths.map(({ path }) => path),
    ROUNDS,
    SECONDS,
  );
  printPaths(
    paths.map(({ path }) => path),
    nobody.path,
  );
  for (const each of paths) {
    const text = `work of the readers while packets of one connection go, ${each.path.name}`;
    printFigure(text, await readersWork(each), 'ms of CPU a second');
  }
  for (const { path, started } of [read, all])
    printFigure(`connections that were heard of, ${path.name}`, started, 'connections');
});
