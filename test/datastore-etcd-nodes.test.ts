// `tortie server` over a real etcd keeps a Calico Node for each node, where calicoctl looks for it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { calicoNodeKind, nodeKind, type Resource } from '#api';
import { EtcdProcess } from '../src/datastore/etcd/etcd-fixture.ts';
import { startServerProcess, temporaryFolder } from './kubernetes/server-process.ts';

const NODES = '/calico/resources/v3/projectcalico.org/nodes';

function node(name: string, more: object = {}): Resource {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, ...more } } as Resource;
}

suite('nodes over etcd', () => {
  test('[ET13] a node is copied, follows, and goes; nodes of others stay', async (context) => {
    const etcd = await EtcdProcess.start();
    context.after(() => etcd.remove());
    const data = join(await temporaryFolder(context), 'data');
    const flags = ['--datastore-type', 'etcd', '--etcd-endpoints', etcd.endpoint];
    const { client } = await startServerProcess(context, data, { flags });
    const keys = async (): Promise<string[]> => {
      const text = await etcd.control('get', '--prefix', `${NODES}/`, '--keys-only');
      return text
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [line.slice(NODES.length + 1)]));
    };
    const copy = async (name: string): Promise<Record<string, unknown>> => {
      const text = await etcd.control('get', `${NODES}/${name}`, '--print-value-only');
      return text.trim() === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    };
    const until = async (holds: () => Promise<boolean>, what: string): Promise<void> => {
      for (let turn = 0; turn < 500; turn++) {
        if (await holds()) return;
        await setTimeout(20);
      }
      assert.fail(what);
    };
    const foreign = {
      ...node('other'),
      apiVersion: 'projectcalico.org/v3',
      spec: { orchRefs: [] },
    };
    await client.create(calicoNodeKind, foreign);
    const own = 'projectcalico.org/';
    const annotations = {
      [`${own}IPv4VXLANTunnelAddr`]: '10.0.0.1',
      [`${own}IPv4Address`]: '192.0.2.1/24',
      [`${own}ASNumber`]: '64513',
    };
    await client.create(nodeKind, node('n1', { labels: { zone: 'a' }, annotations }));
    await client.create(nodeKind, node('other', { labels: { zone: 'b' } }));
    await until(async () => (await keys()).includes('n1'), 'there is no copy');
    const { metadata, spec } = await copy('n1');
    assert.equal((metadata as { labels: { zone: string } }).labels.zone, 'a');
    assert.deepEqual(spec, {
      orchRefs: [{ nodeName: 'n1', orchestrator: 'k8s' }],
      bgp: { ipv4Address: '192.0.2.1/24', asNumber: 64513 },
      ipv4VXLANTunnelAddr: '10.0.0.1',
    });
    const addresses = [{ type: 'InternalIP', address: '192.0.2.7' }];
    const status = { status: { addresses } };
    await client.patch(nodeKind, { name: 'n1' }, status, { subresource: 'status' });
    await until(async () => {
      const { addresses: found } = Object((await copy('n1'))['spec']) as { addresses?: unknown };
      return JSON.stringify(found ?? []).includes('192.0.2.7');
    }, 'the copy does not follow');
    // A copy that somebody else deletes is made again.
    await etcd.control('del', `${NODES}/n1`);
    await until(async () => (await keys()).includes('n1'), 'it was not made again');
    await client.delete(nodeKind, { name: 'n1' });
    await client.delete(nodeKind, { name: 'other' });
    await until(async () => !(await keys()).includes('n1'), 'the copy does not go');
    assert.deepEqual(await keys(), ['other']);
    assert.deepEqual((await copy('other'))['spec'], { orchRefs: [] });
  });
});
