// A whole lab with real processes: probes against explain, flows, a killed agent, pods that come and go, down.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, noLab, tortie, useLab } from './lab-under-test.ts';

const LAB = `t-${process.pid}`;
const FOLDER = `/run/tortie/labs/${LAB}`;
const KUBECONFIG = `${FOLDER}/server/kubeconfig`;
/** Answers every connection and waits. */
const SERVE = `require('net').createServer((s) => s.on('error', () => 0).end('hello')).listen(8080)`;
const WAIT = 'setInterval(() => 0, 100000)';

function pod(name: string, options: { node: string; program: string; labels?: string }): string {
  const { node, program, labels = `{app: ${name}}` } = options;
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: lab, labels: ${labels}}
spec: {nodeName: ${node}, containers: [{name: main, command: [node, -e, ${JSON.stringify(program)}]}]}
---`;
}

const MANIFESTS = `
apiVersion: lab.tortie.dev/v1
kind: Lab
spec:
  nodes: 2
  outside: [{name: elsewhere, addresses: [198.51.100.7], command: [node, -e, ${JSON.stringify(SERVE)}]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
spec: {order: 100, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first.no-way-out}
spec:
  tier: first
  selector: app == 'stranger'
  types: [Egress]
  egress: [{action: Deny, destination: {nets: [198.51.100.0/24]}}, {action: Pass}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: lab}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}], ports: [{port: 8080}]}]
---${pod('server', { node: 'node-1', program: SERVE })}
${pod('friend', { node: 'node-2', program: SERVE })}
${pod('stranger', { node: 'node-1', program: WAIT })}
`;
const lab = useLab(LAB, MANIFESTS);

async function done(...args: string[]): Promise<string> {
  const { code, out, err } = await tortie(...args);
  assert.equal(code, 0, `tortie ${args.join(' ')} ended with ${code}: ${err}`);
  return out;
}

function kubectl(...args: string[]): string {
  const words = ['--kubeconfig', KUBECONFIG, ...args];
  return execFileSync('kubectl', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Whether a connection is answered. */
async function probe(source: string, address: string, port: number): Promise<boolean> {
  const program = `
    const socket = require('net').connect({ host: '${address}', port: ${port}, timeout: 1500 });
    socket.on('data', () => process.exit(0));
    socket.on('timeout', () => process.exit(1));
    socket.on('error', () => process.exit(1));
    socket.on('close', () => process.exit(1));`;
  return (
    (await tortie('lab', 'exec', '--lab', LAB, source, '--', 'node', '-e', program)).code === 0
  );
}

function namespaces(lab = LAB): string[] {
  return readdirSync('/run/netns').filter((name) => name.startsWith(`tortie-${lab}--`));
}

/** Processes with the mark of a lab. */
function processes(lab = LAB): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const mark = `TORTIE_LAB_PROCESS=${lab}\0`;
        return `${readFileSync(`/proc/${pid}/environ`, 'utf8')}\0`.includes(mark);
      } catch {
        return false;
      }
    });
}

function addressOf(name: string): string {
  return kubectl('get', 'pod', '-n', 'lab', name, '-o', 'jsonpath={.status.podIP}');
}

async function pidOf(label: string): Promise<number> {
  const status = JSON.parse(await done('lab', 'status', LAB, '-o', 'json')) as {
    processes: { label: string; pid: number; running: boolean }[];
  };
  const found = status.processes.find((it) => it.label === label && it.running);
  return found?.pid ?? 0;
}

test('lab up says what it made', { skip: noLab }, () => {
  for (const part of ['network: 2 nodes', 'server: https://127.0.0.1:', 'pods: 3 of 3 ready']) {
    assert.ok(lab.said().includes(part), `${part} in ${lab.said()}`);
  }
});

test('kubectl describe tells what happened to a pod', { skip: noLab }, () => {
  const described = kubectl('describe', 'pod', '-n', 'lab', 'server');
  assert.match(described, /Normal\s+AddedInterface\s.*tortie-lab\s+Attached with /);
  assert.match(described, /Normal\s+Started\s.*Started container main/);
});

test('kubectl sees the pods run where they were put, and the nodes', { skip: noLab }, () => {
  const pods = JSON.parse(kubectl('get', 'pods', '-n', 'lab', '-o', 'json')) as {
    items: { metadata: { name: string }; spec: { nodeName: string }; status: { phase: string } }[];
  };
  const seen = pods.items.map((it) => `${it.metadata.name} ${it.spec.nodeName} ${it.status.phase}`);
  assert.deepEqual(seen.toSorted(), [
    'friend node-2 Running',
    'server node-1 Running',
    'stranger node-1 Running',
  ]);
  assert.match(kubectl('get', 'nodes'), /^node-1 [^]*^node-2 /m);
});

test('what the kernel lets pass is what explain says, between pods and to outside', {
  skip: noLab,
}, async () => {
  const outside = '198.51.100.7';
  const cases: [source: string, destination: string, port: number, passes: boolean][] = [
    ['lab/friend', 'lab/server', 8080, true],
    ['lab/stranger', 'lab/server', 8080, false],
    ['lab/stranger', 'lab/friend', 8080, true],
    ['lab/friend', outside, 8080, true],
    ['lab/stranger', outside, 8080, false],
  ];
  for (const [source, destination, port, passes] of cases) {
    const address = destination === outside ? outside : addressOf(destination.slice(4));
    const flags = ['--protocol', 'tcp', '--port', String(port), '-o', 'json', '--lab', LAB];
    const explanation = JSON.parse(await done('explain', source, destination, ...flags)) as {
      verdict: string;
    };
    const what = `${source} to ${destination} port ${port}`;
    assert.equal(explanation.verdict, passes ? 'allow' : 'deny', `explain ${what}`);
    assert.equal(await probe(source, address, port), passes, `probe ${what}`);
  }
});

test('a machine outside reaches pods as policy says', { skip: noLab }, async () => {
  assert.equal(await probe('outside:elsewhere', addressOf('friend'), 8080), true);
  assert.equal(await probe('outside:elsewhere', addressOf('server'), 8080), false);
});

test('flows tell which tier, policy and rule denied', { skip: noLab }, async () => {
  await probe('lab/stranger', '198.51.100.7', 8080);
  await eventually('the denied flow', async () => {
    const filter = ['--from', 'lab/stranger', '--to', '198.51.100.7', '--verdict', 'deny'];
    const flows = JSON.parse(await done('flows', ...filter, '-o', 'json', '--lab', LAB)) as {
      policies: { tier: string; name: string; rule: number; action: string }[];
    }[];
    return flows.some(({ policies }) =>
      policies.some(
        ({ tier, name, rule, action }) =>
          `${tier} ${name} ${rule} ${action}` === 'first first.no-way-out 0 deny',
      ),
    );
  });
});

test('an agent that is killed comes back, and policy holds meanwhile', {
  skip: noLab,
}, async () => {
  const pid = await pidOf('node-1');
  process.kill(pid, 'SIGKILL');
  const server = addressOf('server');
  assert.equal(await probe('lab/friend', server, 8080), true);
  assert.equal(await probe('lab/stranger', server, 8080), false);
  await eventually('another agent', async () => {
    const next = await pidOf('node-1');
    return next !== 0 && next !== pid;
  });
});

test('a pod that is deleted leaves nothing, and can come again', { skip: noLab }, async () => {
  const name = () => namespaces().filter((it) => it.includes('pod-lab.late'));
  const manifest = pod('late', { node: 'node-2', program: SERVE, labels: '{app: server}' });
  const file = join(lab.folder, 'late.yaml');
  writeFileSync(file, manifest);
  for (const life of [1, 2]) {
    assert.match(await done('apply', '-f', file, '--lab', LAB), /^pod\/late created$/m);
    assert.match(await done('apply', '-f', file, '--lab', LAB), /^pod\/late unchanged$/m);
    await eventually(`life ${life} of the pod`, async () => {
      const { out } = await tortie('get', 'pod', 'late', '-n', 'lab', '-o', 'json', '--lab', LAB);
      return out.includes('"phase": "Running"');
    });
    assert.equal(name().length, 1);
    assert.equal(await probe('lab/friend', addressOf('late'), 8080), true);
    assert.equal(await probe('lab/stranger', addressOf('late'), 8080), false);
    assert.match(await done('delete', '-f', file, '--lab', LAB), /^pod\/late deleted$/m);
    await eventually('its namespace is gone', () => name().length === 0);
  }
});

test('labs stand side by side, and a command asks which is meant', { skip: noLab }, async () => {
  const other = `${LAB}-b`;
  try {
    const { code, err } = await tortie('lab', 'up', '--name', other, '--nodes', '1');
    assert.equal(code, 0, err);
    const unclear = await tortie('get', 'pods');
    assert.equal(unclear.code, 2);
    assert.ok(unclear.err.includes(other) && unclear.err.includes('--lab NAME'), unclear.err);
    assert.match(await done('get', 'nodes', '-o', 'name', '--lab', other), /^node\/node-1\n$/);
    const again = await tortie('lab', 'up', '--name', other);
    assert.equal(again.code, 1);
    assert.match(again.err, /it is there already/);
  } finally {
    await done('lab', 'down', other);
  }
  assert.deepEqual(namespaces(other), []);
  assert.ok(namespaces().length > 0, 'the other lab is untouched');
});

test('no agent was refused anything by the server', { skip: noLab }, () => {
  const logs = readdirSync(`${FOLDER}/logs`).filter((name) => !name.startsWith('server'));
  assert.ok(logs.length > 0);
  for (const name of logs) {
    const refusals = readFileSync(`${FOLDER}/logs/${name}`, 'utf8').split('\n');
    assert.deepEqual(
      refusals.filter((line) => /forbidden|"status":403/i.test(line)),
      [],
      name,
    );
  }
});

test('down removes everything, also when the keeper was killed, and once more is fine', {
  skip: noLab,
}, async () => {
  assert.ok(processes().length > 5);
  process.kill(await pidOf('keeper'), 'SIGKILL');
  await eventually('the lab is broken', async () =>
    (await done('lab', 'status', LAB)).includes('broken'),
  );
  assert.match(await done('lab', 'down', LAB), /^lab .* removed: \d+ processes ended/);
  assert.deepEqual(namespaces(), []);
  assert.deepEqual(processes(), []);
  assert.equal(existsSync(FOLDER), false);
  assert.match(await done('lab', 'down', LAB), /0 processes ended, 0 namespaces removed/);
});
