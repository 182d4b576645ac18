// The table of who reaches whom agrees with the single verdicts that it is made of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reachability } from './reachability.ts';
import { node, pod, networkPolicy, rule } from './sample-cluster.ts';
import { buildWorld } from './world.ts';

const world = buildWorld([
  node('one', '192.0.2.1'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } }),
  pod('shop/db', ['10.0.0.2'], { labels: { app: 'db' } }),
  pod('lab/six', ['fd00::1']),
  networkPolicy('shop/db', {
    selector: "app == 'db'",
    ingress: [rule('Allow', { selector: "app == 'web'" }, { ports: [5432] })],
  }),
]);

test('a row a sender, a character a receiver', () => {
  const probes = [5432, 80].map((port) => ({ name: `tcp/${port}`, protocol: 6, port }));
  assert.deepEqual(reachability(world, probes, ['198.51.100.7']), {
    endpoints: ['lab/six', 'shop/db', 'shop/web', '198.51.100.7'],
    ports: {
      'tcp/5432': ['*---', '-*..', '-.*.', '-X.*'],
      'tcp/80': ['*---', '-*..', '-X*.', '-X.*'],
    },
  });
});
