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
