// Flows as users ask for them afterwards: kept by a real server, through its restart, read with `tortie flows`.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Flow } from '#flows';
import { shopFlow } from '../shop-flow.ts';
import { tortieWith } from './command-line.ts';
import { startServerProcess, temporaryFolder } from './server-process.ts';

const FLOWS = '/apis/flows.tortie.dev/v1/flows';

/** One that is over. */
function flow(time: number, more: Partial<Flow> = {}): Flow {
  const connections = { started: 1, completed: 1, live: 0 };
  return shopFlow(time, { bytes: { in: 300, out: 400 }, connections, ...more });
}

test('records, sums, a graph and the state, also after a restart', async (context) => {
  const data = join(await temporaryFolder(context), 'server');
  const first = await startServerProcess(context, data);
  const now = Date.now();
  const body = {
    flows: [
      flow(now - 120_000),
      flow(now - 119_000, { sourcePort: 40_001 }),
      flow(now - 60_000, {
        verdict: 'deny',
        port: 22,
        packets: { in: 0, out: 2 },
        bytes: { in: 0, out: 120 },
      }),
    ],
  };
  await first.client.request('POST', FLOWS, { body });
  await first.end('SIGTERM');
  const second = await startServerProcess(context, data);
  await second.client.request('POST', FLOWS, { body: { flows: [flow(now)] } });
  const tortie = tortieWith(second.kubeconfig);
  const past = await tortie(['flows', 'past']);
  assert.equal(past.err, '');
  const lines = past.out.trimEnd().split('\n');
  assert.equal(lines.length, 4, past.out);
  assert.match(lines[1] ?? '', /shop\/cart \(dst\) +shop\/db:5432 +tcp +ALLOW +2 +14 +1400 +2 /);
  assert.match(lines[1] ?? '', / shop\/default\.db allow$/);
  assert.match(lines[2] ?? '', /shop\/db:22 +tcp +DENY/);
  const columns = await tortie(['flows', 'past', '--columns', 'verdict,labels,policies']);
  assert.match(columns.out, /^VERDICT +LABELS +POLICIES\n/);
  assert.match(columns.out, /^DENY +app=cart > app=db +shop\/default\.db/m);
  assert.match((await tortie(['flows', 'past', '--columns', 'colour'])).err, /use TIME, NODE/);
  const denied = await tortie(['flows', 'past', '--verdict', 'deny', '-o', 'json']);
  assert.equal((JSON.parse(denied.out) as { port: number }).port, 22);
  const top = await tortie(['flows', 'top', '--by', 'destination,port', '--order', 'started']);
  assert.match(top.out, /workload +shop +db-\* +5432 +2 +8 +6 +800 +600\n/);
  const each = await tortie(['flows', 'top', '--by', 'verdict', '--each', 'policy', '-o', 'json']);
  assert.match(each.out, /"item":"shop\/default\.db"/);
  const dot = await tortie(['flows', 'graph', '-o', 'dot']);
  assert.match(
    dot.out,
    /"workload shop\/cart-\*" -> "workload shop\/db-\*" \[label="22\/tcp", color=red/,
  );
  const graph = JSON.parse((await tortie(['flows', 'graph', '-o', 'json'])).out) as {
    edges: { connections: number; connectionRate: number }[];
  };
  // Two connections in about two minutes, not in the hour that was asked about.
  assert.ok(graph.edges.some((edge) => edge.connections === 2 && edge.connectionRate > 1 / 120));
  const state = await tortie(['flows', 'state']);
  assert.match(state.out, /records +2\n/);
  assert.match(state.out, /lost flows +0\n/);
});

test('a server that keeps nothing says so', async (context) => {
  const data = join(await temporaryFolder(context), 'server');
  const { kubeconfig } = await startServerProcess(context, data, {
    flags: ['--flow-storage', 'none'],
  });
  const { exitCode, err } = await tortieWith(kubeconfig)(['flows', 'top']);
  assert.equal(exitCode, 1);
  assert.match(err, /this server keeps no flows; start it with --flow-storage duckdb/);
});
