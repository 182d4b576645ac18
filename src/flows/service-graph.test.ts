// Flows sum up to a graph of services, with the policy behind each denial.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DB, end, flow, OUTSIDE, step, WEB } from './flow-fixture.ts';
import { serviceGraph } from './service-graph.ts';

const web = (name: string) => end(`shop/${name}`, WEB, { labels: { app: 'web' } });
const db = end('data/db', DB);

test('pods of a service are one node, each direction and port one edge', () => {
  const deny = step('ingress', 'deny', { rule: 1 });
  const denied = {
    verdict: 'deny',
    packets: { in: 0, out: 2 },
    bytes: { in: 0, out: 9 },
    policies: [step('egress', 'allow'), deny],
  } as const;
  const outside = end('pub', OUTSIDE, { type: 'network', namespace: null });
  const graph = serviceGraph([
    flow({ source: web('web-1'), destination: db }),
    flow({ source: web('web-2'), destination: db }),
    flow({ source: web('web-2'), destination: db, ...denied }),
    flow({ source: web('web-1'), destination: db, ...denied }),
    flow({ source: outside, destination: web('web-1'), port: 80 }),
  ]);
  assert.deepEqual(graph.nodes, [
    { id: 'network pub', type: 'network', namespace: null, name: 'pub' },
    { id: 'workload data/db', type: 'workload', namespace: 'data', name: 'db' },
    { id: 'workload shop/web', type: 'workload', namespace: 'shop', name: 'web' },
  ]);
  assert.deepEqual(graph.edges, [
    {
      source: 'network pub',
      destination: 'workload shop/web',
      protocol: 'tcp',
      port: 80,
      allowed: 1,
      denied: 0,
      packets: 7,
      bytes: 700,
      denials: [],
    },
    {
      source: 'workload shop/web',
      destination: 'workload data/db',
      protocol: 'tcp',
      port: 5432,
      allowed: 2,
      denied: 2,
      packets: 18,
      bytes: 1418,
      denials: [{ hit: deny, connections: 2, packets: 4 }],
    },
  ]);
});

test('no flows make an empty graph', () => {
  assert.deepEqual(serviceGraph([]), { nodes: [], edges: [] });
});
