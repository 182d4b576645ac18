// Probes are answered by what the agent's thread has said of itself, also while that is busy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { HealthReport } from './health-report.ts';
import { HealthServer } from './health-server.ts';

const LONG = { InternalDataplaneMainLoop: 60_000, CalculationGraph: 60_000 };
const HOST = '127.0.0.1';

interface Answer {
  readonly status: number;
  readonly text: string;
}

function ask(port: number, path: string, method = 'GET'): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const asked = request({ host: HOST, port, path, method, agent: false }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text += part;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
  });
  asked.on('error', reject);
  asked.end();
  return promise;
}

test('[AG20] ready is what was said last; who is silent for too long is not live', async (t) => {
  const report = new HealthReport();
  const server = await HealthServer.listen({ host: HOST, port: 0 }, report, LONG);
  t.after(() => server.close());
  const status = async (path: string) => (await ask(server.port, path)).status;
  assert.deepEqual([await status('/liveness'), await status('/readiness')], [200, 503]);
  report.setReady(true);
  assert.equal(await status('/readiness'), 200);
  assert.equal(await status('/elsewhere'), 404);
  assert.equal((await ask(server.port, '/liveness', 'POST')).status, 405);
  server.setTimeouts({ ...LONG, InternalDataplaneMainLoop: 1 });
  await sleep(5);
  const stuck = await ask(server.port, '/readiness');
  assert.equal(stuck.status, 503);
  assert.match(stuck.text, /InternalDataplaneMainLoop: stuck\nCalculationGraph: live\n/);
  server.setTimeouts({ ...LONG, InternalDataplaneMainLoop: 0 });
  assert.equal(await status('/liveness'), 200, '0 is for ever');
});

test('[AG20] a calculation that does not end is seen from outside', () => {
  const report = new HealthReport();
  const timeouts = { ...LONG, CalculationGraph: 5 };
  const other = new HealthReport(report.buffer);
  assert.equal(other.read(timeouts).live.CalculationGraph, true);
  report.calculating(() => {
    const until = performance.now() + 10;
    while (performance.now() < until);
    assert.equal(other.read(timeouts).live.CalculationGraph, false);
  });
  assert.equal(other.read(timeouts).live.CalculationGraph, true);
});

test('[AG20] a place that is taken is said', async (t) => {
  const report = new HealthReport();
  const server = await HealthServer.listen({ host: HOST, port: 0 }, report, LONG);
  t.after(() => server.close());
  const again = HealthServer.listen({ host: HOST, port: server.port }, report, LONG);
  await assert.rejects(again, /Cannot serve health at 127\.0\.0\.1:\d+: .*EADDRINUSE/);
});
