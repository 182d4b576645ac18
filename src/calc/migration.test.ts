// Which workloads a live migration leads from and to (SPEC.md: CG43).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, validateResource } from '#api';
import { calico, graphOf, namespace, pod, shop, update } from './cluster-fixture.ts';
import { HostGraph } from './host-graph.ts';

const migration = (path: string, source: string, target: object) =>
  calico('LiveMigration', path, {
    source: { workload: { orchestratorID: 'k8s', workloadID: source } },
    target,
  });
const toPod = (workloadID: string) => ({
  workloadEndpoint: { orchestratorID: 'k8s', workloadID, endpointID: 'eth0' },
});

test('[CG43] the pod that a migration names is its source or its target while it is there', () => {
  const away = migration('shop/away', 'shop/web', toPod('shop/other'));
  const graph = shop(away);
  const role = () => graph.state().endpoints.get('shop/web')?.migration;
  assert.equal(role(), 'source');
  graph.onUpdates([update(migration('shop/back', 'shop/other', toPod('shop/web')))]);
  assert.equal(role(), 'target', 'being a target wins');
  graph.onUpdates([update(migration('shop/back', 'shop/other', toPod('shop/web')), true)]);
  assert.equal(role(), 'source');
  graph.onUpdates([update(away, true)]);
  assert.equal(role(), undefined);
});

test('[CG43] a selector finds its target by own and inherited labels, also later', () => {
  const selector = 'app == "vm" && has(pcns.team)';
  const graph = graphOf(migration('shop/a', 'shop/gone', { selector }), namespace('shop'));
  graph.onUpdates([update(pod('shop/vm', '10.0.0.1', { labels: { app: 'vm' } }))]);
  const role = () => graph.state().endpoints.get('shop/vm')?.migration;
  assert.equal(role(), undefined);
  graph.onUpdates([update(namespace('shop', { team: 'blue' }))]);
  assert.equal(role(), 'target');
  graph.onUpdates([update(migration('shop/a', 'shop/gone', { selector: 'app == "db"' }))]);
  assert.equal(role(), undefined);
});

test('[CG43] outside Kubernetes the node counts, and a workload is all its endpoints', () => {
  const graph = new HostGraph('one');
  const workload = (id: string) => ({
    id,
    node: 'one',
    interfaceName: id.replaceAll('/', '-'),
    labels: {},
    profiles: [],
    members: [],
    ports: [],
    allowedSources: [],
    floatingAddresses: [],
  });
  for (const id of ['nova/a/1', 'nova/a/2', 'nova/ab/1']) graph.setWorkload(id, workload(id));
  const roles = () =>
    [...graph.state().endpoints.values()].flatMap(({ id, migration: role }) => (role ? [id] : []));
  graph.setMigration('x', { source: { id: 'nova/a', node: 'one' } });
  assert.deepEqual(roles(), ['nova/a/1', 'nova/a/2']);
  graph.setMigration('x', { source: { id: 'nova/a', node: 'two' } });
  assert.deepEqual(roles(), []);
});

test('a migration needs one source and one target, and a selector that can be read', () => {
  assert.ok(kindOf('projectcalico.org/v3', 'LiveMigration'));
  const paths = (spec: object) =>
    validateResource(calico('LiveMigration', 'shop/a', spec)).problems.map(({ path }) => path);
  const one = migration('shop/a', 'shop/web', { selector: 'has(x)' });
  assert.deepEqual(validateResource(one).problems, []);
  assert.deepEqual(paths({}), ['spec.source', 'spec.target']);
  const broken = { target: { selector: 'has(', ...toPod('shop/web') } };
  assert.deepEqual(paths(broken).sort(), ['spec.source', 'spec.target', 'spec.target.selector']);
});
