// The annotations of a node: nothing before in-sync, only differences, again after a failure.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type IPPool, kindOf, type KindDefinition, type Resource } from '#api';
import { resourceKey, type SyncerUpdate } from '#datastore/syncer';
import { NodeAnnotator } from './node-annotator.ts';

function kind(apiVersion: string, name: string): KindDefinition {
  const found = kindOf(apiVersion, name);
  assert.ok(found);
  return found;
}

const NODE = kind('v1', 'Node');
const POOL = kind('projectcalico.org/v3', 'IPPool');
const TUNNEL = 'projectcalico.org/IPv4VXLANTunnelAddr';
const SUBNET = 'projectcalico.org/IPv4Address';
const INTERFACES = 'projectcalico.org/Interfaces';

function update(definition: KindDefinition, resource: Resource): SyncerUpdate {
  return { kind: definition, key: resourceKey(definition, resource.metadata), resource };
}

function node(name: string, annotations: Record<string, string> = {}): SyncerUpdate {
  const addresses = [{ type: 'InternalIP', address: '172.30.0.11' }];
  const metadata = { name, annotations };
  const resource = { apiVersion: 'v1', kind: 'Node', metadata, status: { addresses } };
  return update(NODE, resource);
}

const pool = update(POOL, {
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name: 'pool' },
});

function annotator() {
  const patches: Record<string, string | null>[] = [];
  const seen: number[] = [];
  const failures: string[] = [];
  const logged: string[] = [];
  const addresses = [
    { interface: 'lo', prefix: '127.0.0.1/8' },
    { interface: 'eth0', prefix: '172.30.0.11/24' },
  ];
  const it = new NodeAnnotator({
    nodeName: 'node-1',
    addresses: () => addresses,
    tunnels: (pools: readonly IPPool[]) => {
      seen.push(pools.length);
      return Promise.resolve({
        annotations: { [TUNNEL]: pools.length > 0 ? '10.244.0.1' : null },
        problems: failures.splice(0, 1),
      });
    },
    patch: (annotations) => {
      patches.push({ ...annotations });
      return Promise.resolve();
    },
    log: (message) => logged.push(message),
  });
  return { it, patches, seen, failures, logged, addresses };
}

test('subnet and tunnel address are written once all is read, and not again', async (t) => {
  const { it, patches, seen } = annotator();
  t.after(() => it.stop());
  it.onUpdates([node('node-1'), node('node-2')]);
  await sleep(100);
  assert.deepEqual(seen, [], 'nothing before in-sync');
  it.onUpdates([pool]);
  it.onStatus('in-sync');
  await sleep(100);
  assert.deepEqual(patches, [{ [SUBNET]: '172.30.0.11/24', [TUNNEL]: '10.244.0.1' }]);
  it.onUpdates([node('node-1', { [SUBNET]: '172.30.0.11/24', [TUNNEL]: '10.244.0.1' })]);
  await sleep(150);
  assert.equal(patches.length, 1);
  it.onUpdates([{ ...pool, resource: undefined }]);
  await sleep(150);
  assert.deepEqual(patches[1], { [TUNNEL]: null }, 'no pool wants a tunnel');
});

test('what could not be had is tried again', async (t) => {
  const { it, seen, failures, logged } = annotator();
  t.after(() => it.stop());
  failures.push('no address is free');
  it.onUpdates([node('node-1'), pool]);
  it.onStatus('in-sync');
  await sleep(900);
  assert.ok(seen.length >= 2);
  assert.deepEqual(logged, ['cannot annotate this node: no address is free']);
});

test('[AG7] the own interfaces are said, and again when their addresses have changed', async (t) => {
  const { it, patches, addresses } = annotator();
  t.after(() => it.stop());
  const said = () => patches.flatMap((one) => one[INTERFACES] ?? []);
  addresses.push(
    { interface: 'cali1', prefix: '10.0.0.1/32' },
    { interface: 'kube-ipvs0', prefix: '10.96.0.1/32' },
    { interface: 'eth0', prefix: 'fd00:30::11/64' },
    { interface: 'eth0', prefix: 'fe80::1/64' },
  );
  it.onUpdates([node('node-1')]);
  it.onStatus('in-sync');
  await sleep(150);
  assert.deepEqual(said(), [], 'nothing before the settings are known');
  const settings = { workloadPrefixes: ['cali'], excludedInterfaces: ['^kube-ipvs0$'] };
  it.onSettings(settings);
  await until(() => said().length === 1);
  const eth0 = { name: 'eth0', addresses: ['172.30.0.11', 'fd00:30::11'] };
  assert.deepEqual(JSON.parse(said()[0] ?? ''), [eth0]);
  it.onUpdates([node('node-1', { [SUBNET]: '172.30.0.11/24', [INTERFACES]: said()[0] ?? '' })]);
  await sleep(150);
  addresses.push({ interface: 'eth1', prefix: '192.0.2.1/24' });
  it.onAddresses();
  await until(() => said().length === 2);
  assert.deepEqual(JSON.parse(said()[1] ?? ''), [eth0, { name: 'eth1', addresses: ['192.0.2.1'] }]);
});

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; look < 200 && !holds(); look++) await sleep(50);
  assert.ok(holds());
}
