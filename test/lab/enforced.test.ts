// A policy is reported in force once every node has it, and who is missing while one has not.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LabFolder } from '#lab';

const TORTIE = join(fileURLToPath(new URL('../..', import.meta.url)), 'bin/tortie');
const LAB = `w${process.pid}`;
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
const skip = hasKubectl ? false : 'kubectl is not installed';

let folder: string;

function tortie(...args: string[]): string {
  return execFileSync(TORTIE, args, {
    encoding: 'utf8',
    timeout: 120_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function failing(...args: string[]): string {
  const { status, stderr } = spawnSync(TORTIE, args, { encoding: 'utf8', timeout: 120_000 });
  assert.notEqual(status, 0);
  return stderr;
}

function applyPolicy(order: number): void {
  const policy = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name: 'web', namespace: 'shop' },
    spec: { order, selector: 'all()', ingress: [{ action: 'Allow', protocol: 'TCP' }] },
  };
  writeFileSync(join(folder, 'policy.yaml'), JSON.stringify(policy));
  tortie('apply', '-f', join(folder, 'policy.yaml'), '--lab', LAB);
}

interface Condition {
  readonly status: string;
  readonly observedGeneration: number;
  readonly reason: string;
  readonly message: string;
}

function policyNow(): { readonly generation: number; readonly condition: Condition | undefined } {
  const text = tortie('get', 'networkpolicy', 'web', '-n', 'shop', '-o', 'json', '--lab', LAB);
  const { metadata, status } = JSON.parse(text);
  return { generation: metadata.generation, condition: status?.conditions?.[0] };
}

async function conditionThat(holds: (condition: Condition) => boolean): Promise<Condition> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const { condition, generation } = policyNow();
    if (condition?.observedGeneration === generation && holds(condition)) return condition;
    assert.ok(Date.now() < deadline, `the condition is ${JSON.stringify(condition)}`);
    await sleep(100);
  }
}

function pidOf(node: string): number {
  const labs = JSON.parse(tortie('lab', 'status', '-o', 'json')) as {
    name: string;
    processes: { label: string; pid: number }[];
  }[];
  const found = labs.find((lab) => lab.name === LAB)?.processes.find((one) => one.label === node);
  assert.ok(found, `no agent of ${node}`);
  return found.pid;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tortie-enforced-'));
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
  writeFileSync(join(folder, 'world.yaml'), JSON.stringify(namespace));
  tortie('lab', 'up', '-f', join(folder, 'world.yaml'), '--name', LAB, '--nodes', '2');
});

after(() => {
  tortie('lab', 'down', LAB);
  rmSync(folder, { recursive: true, force: true });
});

test('tortie wait ends when both nodes have the policy, and its condition says so', async () => {
  applyPolicy(10);
  const said = tortie('wait', '--for=enforced', 'web', '-n', 'shop', '--lab', LAB);
  assert.match(said, /networkpolicy.*web is enforced on 2 nodes/);
  const { message, reason } = await conditionThat(({ status }) => status === 'True');
  assert.equal(reason, 'OnEveryNode');
  assert.match(message, /^2 of 2 nodes; last node-[12] after \d+ ms$/);
  assert.match(
    failing('wait', '--for=enforced', 'nothing', '-n', 'shop', '--lab', LAB),
    /Cannot find networkpolicy.*nothing/,
  );
});

test('kubectl wait understands the condition, also of a new version', { skip }, () => {
  applyPolicy(20);
  const { kubeconfig: KUBECONFIG } = new LabFolder(LAB);
  const words = ['wait', '--for=condition=Enforced', 'caliconetworkpolicy/web', '-n', 'shop'];
  const said = execFileSync('kubectl', [...words, '--timeout=30s'], {
    encoding: 'utf8',
    env: { ...process.env, KUBECONFIG, HOME: folder },
  });
  assert.match(said, /condition met/);
  const { generation, condition } = policyNow();
  assert.equal(condition?.observedGeneration, generation);
  assert.equal(condition.status, 'True');
});

test('a node that does not get on with it is named', async (t) => {
  const pid = pidOf('node-2');
  process.kill(pid, 'SIGSTOP');
  t.after(() => process.kill(pid, 'SIGCONT'));
  applyPolicy(30);
  const error = failing(
    'wait',
    '--for=enforced',
    'web',
    '-n',
    'shop',
    '--lab',
    LAB,
    '--timeout=1s',
  );
  assert.match(error, /is not enforced after 1s: node-2: behind/);
  const { message } = await conditionThat(({ status }) => status === 'False');
  assert.match(message, /^1 of 2 nodes; missing node-2/);
  process.kill(pid, 'SIGCONT');
  await conditionThat(({ status }) => status === 'True');
});

test('the policies of Kubernetes are waited for too, those of the cluster among them', () => {
  const policies = [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'plain', namespace: 'shop' },
      spec: { podSelector: {} },
    },
    {
      apiVersion: 'policy.networking.k8s.io/v1alpha2',
      kind: 'ClusterNetworkPolicy',
      metadata: { name: 'wide' },
      spec: {
        tier: 'Admin',
        priority: 1,
        subject: { namespaces: {} },
        ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
      },
    },
  ];
  writeFileSync(
    join(folder, 'policies.yaml'),
    policies.map((one) => JSON.stringify(one)).join('\n---\n'),
  );
  tortie('apply', '-f', join(folder, 'policies.yaml'), '--lab', LAB);
  const wait = (...words: string[]) => tortie('wait', '--for=enforced', ...words, '--lab', LAB);
  assert.match(
    wait('networkpolicies.networking.k8s.io/plain', '-n', 'shop'),
    /plain is enforced on 2 nodes/,
  );
  assert.match(wait('clusternetworkpolicy/wide'), /wide is enforced on 2 nodes/);
  tortie('delete', '-f', join(folder, 'policies.yaml'), '--lab', LAB);
});

const hostEndpoint = (spec: object) => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'HostEndpoint',
  metadata: { name: 'outer' },
  spec: { node: 'node-1', ...spec },
});

function applyHostEndpoint(spec: object): void {
  writeFileSync(join(folder, 'endpoint.yaml'), JSON.stringify(hostEndpoint(spec)));
  tortie('apply', '-f', join(folder, 'endpoint.yaml'), '--lab', LAB);
}

test('a host endpoint is waited for on its own node, by tortie and by kubectl', { skip }, () => {
  applyHostEndpoint({ interfaceName: 'eth0' });
  const said = tortie('wait', '--for=enforced', 'hostendpoint/outer', '--lab', LAB);
  assert.match(said, /outer is enforced on node node-1/);
  const { kubeconfig: KUBECONFIG } = new LabFolder(LAB);
  const met = execFileSync(
    'kubectl',
    ['wait', '--for=condition=Enforced', 'hostendpoint/outer', '--timeout=30s'],
    { encoding: 'utf8', env: { ...process.env, KUBECONFIG, HOME: folder } },
  );
  assert.match(met, /condition met/);
  const status = JSON.parse(tortie('get', 'agentstatus', 'node-1', '-o', 'json', '--lab', LAB));
  assert.deepEqual(status.status.hostEndpoints, [
    { name: 'outer', interfaceName: 'eth0', enforced: true },
  ]);
  assert.equal(status.status.hostEndpointCount, 1);
  const { conditions } = JSON.parse(
    tortie('get', 'hostendpoint', 'outer', '-o', 'json', '--lab', LAB),
  ).status;
  assert.match(conditions[0].message, /^1 of 1 nodes; last node-1 after \d+ ms$/);
});

test('a host endpoint that finds no interface is told with the reason, until it finds one', async () => {
  const condition = () =>
    JSON.parse(tortie('get', 'hostendpoint', 'outer', '-o', 'json', '--lab', LAB)).status
      ?.conditions?.[0] as Condition | undefined;
  const until = async (status: string) => {
    const deadline = Date.now() + 30_000;
    while (condition()?.status !== status) {
      assert.ok(Date.now() < deadline, JSON.stringify(condition()));
      await sleep(100);
    }
    return condition()?.message ?? '';
  };
  applyHostEndpoint({ interfaceName: null, expectedIPs: ['192.0.2.9'] });
  const deadline = Date.now() + 60_000;
  const wanted = /not enforced after 1s: node-1: cannot find an interface .* 192\.0\.2\.9/;
  for (;;) {
    const error = failing('wait', '--for=enforced', 'hep/outer', '--lab', LAB, '--timeout=1s');
    if (wanted.test(error)) break;
    // On a busy machine the node may be behind for longer.
    assert.ok(Date.now() < deadline && error.includes('node-1: behind'), error);
  }
  assert.match(await until('False'), /^0 of 1 nodes; missing node-1: cannot find an interface/);
  const netns = `--net=/run/netns/tortie-${LAB}--node-1`;
  execFileSync('nsenter', [netns, 'ip', 'address', 'add', '192.0.2.9/32', 'dev', 'eth0']);
  assert.match(await until('True'), /^1 of 1 nodes/);
  execFileSync('nsenter', [netns, 'ip', 'address', 'del', '192.0.2.9/32', 'dev', 'eth0']);
  assert.match(await until('False'), /missing node-1/, 'what was in force is looked at again');
});
