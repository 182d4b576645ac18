// The real kubectl against `tortie server`: every verb that changes, waits, deletes or tells of objects.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { kindOf, podKind, type Resource } from '#api';
import { type Kubectl, kubectlAt, minorVersion, options } from './kubectl-process.ts';
import { temporaryFolder } from './server-process.ts';

const tier = (order: number, name = 'security'): string =>
  `apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: ${name}}\nspec: {order: ${order}}\n`;

const POD = `
apiVersion: v1
kind: Pod
metadata: {name: front, labels: {app: front}}
spec:
  nodeName: n1
  containers: [{name: web, image: "web:1", ports: [{containerPort: 80}]}]
`;

const RAW = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"raw"}}';

async function orderOf(kubectl: Kubectl): Promise<string> {
  return kubectl.ok('get', 'tier', 'security', '-o', 'jsonpath={.spec.order}');
}

test('kubectl edits, replaces and patches in three ways', options, async (context) => {
  const folder = await temporaryFolder(context);
  const editor = join(folder, 'editor.sh');
  await writeFile(editor, '#!/bin/sh\nsed -i "s/order: 100/order: 150/" "$1"\n', { mode: 0o700 });
  const kubectl = await kubectlAt(context, { KUBE_EDITOR: editor });
  await kubectl.ok('create', '-f', await kubectl.file('t.yaml', tier(100)));
  assert.match(await kubectl.ok('edit', 'tier', 'security'), /security edited/);
  assert.equal(await orderOf(kubectl), '150');
  await kubectl.ok('replace', '-f', await kubectl.file('t.yaml', tier(160)));
  assert.equal(await orderOf(kubectl), '160');

  const patch = (resource: string, type: string, body: unknown) =>
    kubectl.ok('patch', ...resource.split(' '), '--type', type, '-p', JSON.stringify(body));
  await patch('tier security', 'merge', { spec: { order: 170 } });
  assert.equal(await orderOf(kubectl), '170');
  await patch('tier security', 'json', [{ op: 'replace', path: '/spec/order', value: 180 }]);
  assert.equal(await orderOf(kubectl), '180');
  await kubectl.ok('create', '-f', await kubectl.file('pod.yaml', POD));
  const containers = [{ name: 'web', image: 'web:2' }];
  await patch('pod front', 'strategic', { spec: { containers } });
  const path = '{.spec.containers[0].image} {.spec.containers[0].ports[0].containerPort}';
  assert.equal(await kubectl.ok('get', 'pod', 'front', '-o', `jsonpath=${path}`), 'web:2 80');
  const refused = await kubectl.run('patch', 'tier', 'security', '--type=strategic', '-p', '{}');
  assert.match(refused.err, /UnsupportedMediaType|not supported/);

  await kubectl.ok('label', 'pod', 'front', 'a=1');
  assert.match((await kubectl.run('label', 'pod', 'front', 'a=2')).err, /overwrite/);
  await kubectl.ok('label', 'pod', 'front', 'a=2', '--overwrite');
  await kubectl.ok('label', 'pod', 'front', 'a-');
  await kubectl.ok('annotate', 'pod', 'front', 'b=3');
  const labels = 'jsonpath={.metadata.labels} {.metadata.annotations}';
  assert.equal(await kubectl.ok('get', 'pod', 'front', '-o', labels), '{"app":"front"} {"b":"3"}');
  const [none, some] = await Promise.all([
    kubectl.run('scale', 'pod', 'front', '--replicas=2'),
    kubectl.run('scale', 'tier', 'security', '--replicas=2'),
  ]);
  for (const { code } of [none, some]) assert.notEqual(code, 0);
});

test(
  'kubectl tries out every verb on the server, and nothing is stored',
  options,
  async (context) => {
    const kubectl = await kubectlAt(context);
    await kubectl.ok('apply', '-f', await kubectl.file('t.yaml', tier(100)));
    const version = ['get', 'tier', 'security', '-o', 'jsonpath={.metadata.resourceVersion}'];
    const before = await kubectl.ok(...version);
    const changed = await kubectl.file('changed.yaml', tier(200));
    const other = await kubectl.file('other.yaml', tier(300, 'other'));
    for (const verb of [
      ['create', '-f', other],
      ['apply', '-f', changed],
      ['apply', '--server-side', '--force-conflicts', '-f', changed],
      ['replace', '-f', changed],
      ['patch', 'tier', 'security', '--type=merge', '-p', '{"spec":{"order":5}}'],
      ['label', 'tier', 'security', 'a=b'],
      ['annotate', 'tier', 'security', 'a=b'],
      ['delete', 'tier', 'security'],
      ['create', 'namespace', 'tried'],
      ['create', 'configmap', 'tried', '--from-literal=a=b'],
    ]) {
      await kubectl.ok(...verb, '--dry-run=server');
    }
    assert.equal(await kubectl.ok(...version), before);
    for (const gone of [
      ['tier', 'other'],
      ['ns', 'tried'],
      ['cm', 'tried'],
    ]) {
      assert.match((await kubectl.run('get', ...gone)).err, /NotFound/);
    }
  },
);

test('kubectl waits for what becomes of an object', options, async (context) => {
  const kubectl = await kubectlAt(context);
  await kubectl.ok('create', '-f', await kubectl.file('pod.yaml', POD));
  const wait = (goal: string) => kubectl.ok('wait', 'pod/front', `--for=${goal}`, '--timeout=20s');
  const ready = wait('condition=Ready');
  const knowsPaths = (await minorVersion(kubectl)) >= 23;
  const running = knowsPaths ? wait('jsonpath={.status.phase}=Running') : ready;
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  const key = { namespace: 'default', name: 'front' };
  await kubectl.client.patch(podKind, key, { status }, { subresource: 'status' });
  assert.match(await ready, /condition met/);
  assert.match(await running, /condition met/);
  const gone = kubectl.run('wait', 'pod/front', '--for=delete', '--timeout=20s');
  // So that kubectl has most likely looked: it has less to say where the pod had gone before.
  await setTimeout(1000);
  await kubectl.ok('delete', 'pod', 'front');
  const { code, out, err } = await gone;
  assert.ok(code === 0 || /no matching resources|NotFound/.test(err), out + err);
});

test(
  'kubectl deletes: by owner, by label, with a grace period, a whole namespace',
  options,
  async (context) => {
    const kubectl = await kubectlAt(context);
    const map = kindOf('v1', 'ConfigMap');
    assert.ok(map);
    const create = async (name: string, owner?: Resource): Promise<Resource> => {
      const { apiVersion, kind, metadata } = owner ?? {
        apiVersion: '',
        kind: '',
        metadata: { name },
      };
      const reference = { apiVersion, kind, name: metadata.name, uid: metadata.uid };
      const ownerReferences = owner ? [{ ...reference, blockOwnerDeletion: true }] : [];
      return kubectl.client.create(map, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, namespace: 'default', labels: { made: 'yes' }, ownerReferences },
      });
    };
    const names = () => kubectl.ok('get', 'cm', '-o', 'name', '-l', 'made');
    await create('child', await create('owner'));
    await kubectl.ok('delete', 'cm', 'owner', '--cascade=foreground');
    assert.equal(await names(), '', 'the owner goes last');
    await create('child', await create('owner'));
    await kubectl.ok('delete', 'cm', 'owner', '--cascade=orphan');
    assert.equal(await names(), 'configmap/child\n');
    await create('other');
    await kubectl.ok('delete', 'cm', '-l', 'made=yes');
    assert.equal(await names(), '');

    await kubectl.ok('create', '-f', await kubectl.file('pod.yaml', POD));
    const slow = ['delete', 'pod', 'front', '--wait=false'];
    await kubectl.ok(...slow, '--grace-period=60');
    assert.match(await kubectl.ok('get', 'pods'), /Terminating/);
    await kubectl.ok('delete', 'pod', 'front', '--force', '--grace-period=0');
    assert.equal(await kubectl.ok('get', 'pods'), '');

    await kubectl.ok('create', 'namespace', 'going');
    await kubectl.ok('create', 'configmap', 'held', '-n', 'going');
    const held = '{"metadata":{"finalizers":["example.com/hold"]}}';
    await kubectl.ok('patch', 'cm', 'held', '-n', 'going', '--type=merge', '-p', held);
    const deleted = kubectl.ok('delete', 'namespace', 'going');
    await kubectl.ok('wait', 'ns/going', '--for=condition=NamespaceFinalizersRemaining');
    const refused = await kubectl.run('create', 'configmap', 'late', '-n', 'going');
    assert.match(refused.err, /because it is being terminated/);
    const conditions = await kubectl.ok(
      'get',
      'ns',
      'going',
      '-o',
      'jsonpath={.status.conditions}',
    );
    assert.match(conditions, /example\.com\/hold in 1 resource/);
    const released = '{"metadata":{"finalizers":null}}';
    await kubectl.ok('patch', 'cm', 'held', '-n', 'going', '--type=merge', '-p', released);
    await deleted;
    assert.match((await kubectl.run('get', 'ns', 'going')).err, /NotFound/);
  },
);

test(
  'kubectl tells of events, configuration, secrets, leases and what there is',
  options,
  async (context) => {
    const kubectl = await kubectlAt(context);
    await kubectl.ok('create', '-f', await kubectl.file('pod.yaml', POD));
    const uid = await kubectl.ok('get', 'pod', 'front', '-o', 'jsonpath={.metadata.uid}');
    const now = new Date().toISOString();
    const event = `
apiVersion: v1
kind: Event
metadata: {name: front.1, namespace: default}
involvedObject: {apiVersion: v1, kind: Pod, name: front, namespace: default, uid: ${uid}}
reason: Pulled
message: it has its image
type: Normal
count: 2
firstTimestamp: "${now}"
lastTimestamp: "${now}"
source: {component: kubelet, host: n1}
`;
    await kubectl.ok('create', '-f', await kubectl.file('event.yaml', event));
    const told = /Normal\s+Pulled\s+\S+.*it has its image/;
    assert.match(await kubectl.ok('describe', 'pod', 'front'), told);
    assert.match(await kubectl.ok('get', 'events'), told);
    assert.match(await kubectl.ok('get', 'events.events.k8s.io'), told);
    const minor = await minorVersion(kubectl);
    if (minor >= 27) {
      assert.match(
        await kubectl.ok('events', '--for', 'pod/front'),
        /Pod\/front\s+it has its image/,
      );
    }
    await kubectl.ok('create', 'configmap', 'c', '--from-literal=a=b');
    await kubectl.ok('create', 'secret', 'generic', 's', '--from-literal=p=geheim');
    await kubectl.ok('create', 'service', 'clusterip', 'web', '--tcp=80:http');
    assert.match(await kubectl.ok('get', 'service', 'web'), /^web\s+ClusterIP\s.*\s80\/TCP\s/m);
    await kubectl.ok(
      'create',
      '--raw',
      '/api/v1/namespaces',
      '-f',
      await kubectl.file('raw.json', RAW),
    );
    assert.match(await kubectl.ok('describe', 'configmap', 'c'), /a:\n-+\nb/);
    const described = await kubectl.ok('describe', 'secret', 's');
    assert.match(described, /p:\s+6 bytes/);
    assert.doesNotMatch(described, /geheim/);
    assert.match(await kubectl.ok('get', 'secret'), /^s\s+Opaque\s+1\s/m);
    const lease =
      'apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\nspec: {holderIdentity: me}\n';
    await kubectl.ok('apply', '-f', await kubectl.file('lease.yaml', lease));
    assert.match(await kubectl.ok('get', 'leases'), /^l\s+me\s/m);
    assert.match(await kubectl.ok('get', 'all'), /pod\/front\s+0\/1\s+Pending/);
    const versions = await kubectl.ok('api-versions');
    for (const version of [
      'v1',
      'events.k8s.io/v1',
      'coordination.k8s.io/v1',
      'projectcalico.org/v3',
    ]) {
      assert.ok(versions.split('\n').includes(version), version);
    }
    if (minor < 27) return;
    const pods = await kubectl.ok(
      'api-resources',
      '-o',
      'wide',
      '--categories=all',
      '--no-headers',
    );
    assert.match(pods, /^pods\s+po\s+v1\s+true\s+Pod\s+create,delete,deletecollection.*\sall$/m);
  },
);

test('kubectl shows warnings and validates as it is told', options, async (context) => {
  const kubectl = await kubectlAt(context);
  const misspelt = await kubectl.file('wrong.yaml', `${tier(1)}extra: 1\n`);
  const strict = await kubectl.run('apply', '-f', misspelt);
  assert.notEqual(strict.code, 0);
  // Before 1.25 the client itself refuses, by the schema that the server publishes.
  const choosesValidation = (await minorVersion(kubectl)) >= 25;
  const refusal = choosesValidation ? /extra: unknown field/ : /unknown field "extra" in org\.proj/;
  assert.match(strict.err, refusal);
  if (choosesValidation) {
    const warned = await kubectl.run('apply', '--validate=warn', '-f', misspelt);
    assert.equal(warned.code, 0, warned.err);
    assert.match(warned.err, /Warning: extra: unknown field/);
    const ignored = await kubectl.run('apply', '--validate=ignore', '-f', misspelt);
    assert.deepEqual([ignored.code, ignored.err], [0, '']);
  } else await kubectl.ok('apply', '-f', await kubectl.file('right.yaml', tier(1)));
  const held = '{"metadata":{"finalizers":["hold"]}}';
  const warning = await kubectl.run('patch', 'tier', 'security', '--type=merge', '-p', held);
  assert.match(warning.err, /Warning: .*prefer a domain-qualified finalizer name/);
  const generated = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: made-}\n';
  const file = await kubectl.file('made.yaml', generated);
  for (let n = 0; n < 2; n++)
    assert.match(await kubectl.ok('create', '-f', file), /made-\w{5} created/);
  const explained = await kubectl.ok('explain', 'lease.spec', '--recursive');
  assert.match(explained, /leaseDurationSeconds\s+<integer>/);
});
