// Processes and TCP's own measures at both ends of a connection, from the namespaces of the pods.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type Machine, podAddress } from './dataplane-router.ts';
import { read, sum } from './flow-reading.ts';

async function start(
  t: TestContext,
  pod: Machine,
  program: string,
  ...args: string[]
): Promise<number> {
  const argv = [`--net=${pod.path}`, process.execPath, '-e', program, ...args];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

void test('process, arguments, round trip and segments sent again, at each end its own', async (t) => {
  const { router, worker, reports, until } = await read(t);
  const [one, two] = router.pods;
  assert.ok(one && two);
  const serve = `require('net').createServer((s) => s.pipe(s)).listen(81, '::', () => console.log(1))`;
  const call = `const s = require('net').connect(81, process.argv[1], () => console.log(1));
    setInterval(() => s.write('x'.repeat(4000)), 50); s.resume()`;
  const server = await start(t, two, serve, '--', '--token=hidden');
  const client = await start(t, one, call, podAddress(2, 4));
  const own = (way: string) =>
    reports.filter(({ direction, tuple }) => direction === way && tuple.destinationPort === 81);
  await until('reports', () => own('egress').length > 1);
  assert.ok(
    reports.every((report) => !report.process && !report.tcp),
    'it is off unless it is wanted',
  );
  worker.setDetails({ process: true, tcp: true });
  const complete = (way: string) => own(way).find((report) => report.process && report.tcp);
  await until(
    'both ends',
    () => complete('egress') !== undefined && complete('ingress') !== undefined,
  );
  assert.equal(complete('egress')?.process?.pid, client);
  assert.equal(complete('ingress')?.process?.pid, server);
  assert.deepEqual(complete('ingress')?.process?.args, ['-e', serve, '--', '--token=…']);
  for (const way of ['egress', 'ingress']) {
    const { tcp } = complete(way) ?? {};
    assert.ok(tcp && tcp.rtt > 0 && tcp.minRtt > 0 && tcp.congestionWindow > 0);
    assert.ok(tcp.mss > 500 && tcp.mss <= 1500);
  }
  const lossy =
    'table ip loss { chain c { type filter hook forward priority -5; tcp dport 81 numgen random mod 3 == 0 drop; }; }';
  router.machine.run('nft', lossy);
  const again = () => sum(own('egress'), ({ tcp }) => tcp?.retransmissions ?? 0);
  await until('segments sent again', () => again() > 2);
});

void test('a connection over before anybody asks: its last measures, and its client where that was seen', async (t) => {
  // One look at what there is to report takes in all of a connection.
  const { router, worker, reports, until } = await read(t, { intervalMs: 1_500 });
  const [one, two] = router.pods;
  assert.ok(one && two);
  worker.setDetails({ process: true, tcp: true });
  const serve = `require('net').createServer((s) => s.pipe(s)).listen(81, '::', () => console.log(1))`;
  await start(t, two, serve);
  const call = `const s = require('net').connect(81, process.argv[1], () => s.write('x'.repeat(4000)));
    s.once('data', () => setTimeout(() => s.end(), 200)); s.once('close', () => console.log(process.pid))`;
  const clients: number[] = [];
  /** The reports of each connection at one end, in the order of their beginnings. */
  const ends = (way: string) => {
    const own = reports.filter(
      ({ direction, tuple }) => direction === way && tuple.destinationPort === 81,
    );
    return [...Map.groupBy(own, ({ tuple }) => `${tuple.source} ${tuple.sourcePort}`).values()];
  };
  const run = async (): Promise<void> => {
    const family = clients.length % 2 === 0 ? 4 : 6;
    clients.push(await start(t, one, call, podAddress(2, family)));
  };
  const all = () => ends('egress').length + ends('ingress').length === clients.length * 2;
  // The pods' namespaces are looked for when there is something to report.
  await run();
  await until('the first', all);
  for (let turn = 0; turn < 8; turn++) await run();
  await until('the others', all);
  // One that had just ended when it was asked for is told of later.
  const measured = (way: string) =>
    ends(way)
      .slice(1)
      .filter((own) => own.some(({ tcp }) => tcp && tcp.minRtt > 0)).length;
  await until('all measures', () => measured('egress') === 8 && measured('ingress') === 8);
  const seen = ends('egress')
    .slice(1)
    .flatMap((own) => own.find(({ process }) => process)?.process ?? []);
  assert.ok(seen.length >= 4, `${seen.length} of 8 clients were seen`);
  for (const { pid } of seen) assert.ok(clients.includes(pid));
});
