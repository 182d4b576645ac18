// Flows of a whole lab as users see them: names, staged policies, processes; agent and server killed meanwhile.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Flow } from '#flows';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const LAB = `f-${process.pid}`;
const FOLDER = `/run/tortie/labs/${LAB}`;
const skip = process.getuid?.() === 0 ? false : 'a lab needs root';
const work = mkdtempSync(join(tmpdir(), 'tortie-lab-flows-'));
const SERVE = "require('net').createServer((s) => s.on('error', () => 0).pipe(s)).listen(8080)";
/** One connection to whom the file says, as long as it lasts; a new one after that. */
const CALL = `const fs = require('fs'), net = require('net');
  const call = () => { let to; try { to = fs.readFileSync('${work}/server', 'utf8') } catch { return }
    const s = net.connect(8080, to); const t = setInterval(() => s.write('hello'), 100);
    s.on('error', () => 0).on('data', () => 0).on('close', () => { clearInterval(t); busy = false }); busy = true };
  let busy = false; setInterval(() => busy || call(), 200)`;

function pod(name: string, node: string, program: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: ${name}-7d9f8-abcde, generateName: ${name}-7d9f8-, namespace: lab, labels: {app: ${name}}}
spec: {nodeName: ${node}, containers: [{name: main, command: [node, -e, ${JSON.stringify(program)}]}]}
---`;
}

const MANIFESTS = `
apiVersion: lab.tortie.dev/v1
kind: Lab
spec: {nodes: 2}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {defaultEndpointToHostAction: Accept, flowLogsCollectProcessInfo: true, flowLogsCollectTcpStats: true}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: lab}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{ports: [{port: 8080}]}]
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: closed, namespace: lab}
spec:
  order: 1
  selector: app == 'server'
  types: [Ingress]
  ingress: [{action: Log}, {action: Deny, source: {selector: app == 'client'}}]
---${pod('server', 'node-1', SERVE)}
${pod('client', 'node-2', CALL)}
`;

function tortie(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const environment = { ...process.env, KUBECONFIG: '' };
    const options = { env: environment, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 };
    execFile(TORTIE, args, options, (error, out, err) => {
      if (error) reject(new Error(`tortie ${args.join(' ')}: ${err}`));
      else resolve(out);
    });
  });
}

function kubectl(...args: string[]): string {
  const words = ['--kubeconfig', `${FOLDER}/server/kubeconfig`, ...args];
  return execFileSync('kubectl', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

async function flows(...filter: string[]): Promise<Flow[]> {
  const all = await tortie('flows', '--to', 'lab/', ...filter, '-o', 'json', '--lab', LAB);
  return JSON.parse(all) as Flow[];
}

/** Waits for a flow; fails after a number of looks. */
async function flowThat(what: string, fits: (flow: Flow) => boolean): Promise<Flow> {
  let seen: Flow[] = [];
  for (let look = 0; look < 30; look++) {
    // A server that was killed is not there for a moment.
    seen = await flows().catch(() => []);
    const found = seen.find(fits);
    if (found) return found;
    await sleep(500);
  }
  assert.fail(`no flow ${what}; seen ${JSON.stringify(seen.slice(-2))}`);
}

async function kill(label: string): Promise<void> {
  const status = JSON.parse(await tortie('lab', 'status', LAB, '-o', 'json')) as {
    processes: { label: string; pid: number; running: boolean }[];
  };
  const found = status.processes.find((it) => it.label === label && it.running);
  assert.ok(found, JSON.stringify(status.processes.map((it) => it.label)));
  process.kill(found.pid, 'SIGKILL');
}

function logs(): string {
  const names = readdirSync(`${FOLDER}/logs`).filter((name) => name.startsWith('node-'));
  return names.map((name) => readFileSync(`${FOLDER}/logs/${name}`, 'utf8')).join('\n');
}

before(async () => {
  if (skip) return;
  const file = join(work, 'lab.yaml');
  writeFileSync(file, MANIFESTS);
  await tortie('lab', 'up', '-f', file, '--name', LAB);
  const address = kubectl(
    'get',
    'pod',
    '-n',
    'lab',
    'server-7d9f8-abcde',
    '-o',
    'jsonpath={.status.podIP}',
  );
  const service = `
apiVersion: v1
kind: Service
metadata: {name: front, namespace: lab}
spec: {clusterIP: 10.96.0.10, ports: [{name: web, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: front-1, namespace: lab, labels: {kubernetes.io/service-name: front}}
addressType: IPv4
endpoints: [{addresses: [${address}]}]
ports: [{name: web, port: 8080, protocol: TCP}]
`;
  writeFileSync(join(work, 'service.yaml'), service);
  await tortie('apply', '-f', join(work, 'service.yaml'), '--lab', LAB);
  await sleep(500);
  writeFileSync(join(work, 'server'), address);
});

after(async () => {
  rmSync(work, { recursive: true, force: true });
  if (!skip) await tortie('lab', 'down', LAB);
});

test('a flow has its service, its owner, processes, measures, and what a staged policy would do', {
  skip,
}, async () => {
  const flow = await flowThat(
    'with all of it',
    ({ reporter, process, destinationProcess, tcp, pending, service }) =>
      reporter === 'both' && !!process && !!destinationProcess && !!tcp && !!pending && !!service,
  );
  assert.deepEqual(flow.service, { namespace: 'lab', name: 'front', portName: 'web', port: 80 });
  assert.deepEqual(
    [flow.source.aggregate, flow.destination.aggregate],
    ['client-7d9f8-*', 'server-7d9f8-*'],
  );
  assert.deepEqual([flow.process?.name, flow.destinationProcess?.name], ['node', 'node']);
  assert.ok((flow.tcp?.rtt ?? 0) > 0);
  assert.equal(flow.verdict, 'allow');
  const would = flow.pending?.find(({ direction }) => direction === 'ingress');
  assert.deepEqual(
    [would?.kind, would?.name, would?.rule, would?.action],
    ['StagedNetworkPolicy', 'closed', 1, 'deny'],
  );
  assert.ok(flow.policies.some(({ name, action }) => name === 'server' && action === 'allow'));
});

/** All entries of a node's flow log files so far. */
function entriesOf(node: string): Record<string, unknown>[] {
  const folder = join(work, node);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.flatMap((name) =>
    readFileSync(join(folder, name), 'utf8')
      .split('\n')
      // The last line may be under way.
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  );
}

test('files of flow logs have every connection once at each end, and every denied packet', {
  skip,
}, async () => {
  const spec = {
    flowLogsFileEnabled: true,
    flowLogsFileAggregationKindForAllowed: 1,
    flowLogsFileIncludeLabels: true,
    flowLogsFileIncludePolicies: true,
    flowLogsFileIncludeService: true,
    flowLogsFlushInterval: '1s',
  };
  const configurations = ['node-1', 'node-2'].map((node) =>
    JSON.stringify({
      apiVersion: 'projectcalico.org/v3',
      kind: 'FelixConfiguration',
      metadata: { name: `node.${node}` },
      spec: { ...spec, flowLogsFileDirectory: join(work, node) },
    }),
  );
  writeFileSync(join(work, 'files.yaml'), configurations.join('\n---\n'));
  await tortie('apply', '-f', join(work, 'files.yaml'), '--lab', LAB);
  for (let look = 0; look < 120 && entriesOf('node-1').length === 0; look++) await sleep(250);
  const call = `const [, host, port, times] = process.argv;
    const next = (left) => { if (left === 0) return;
      const s = require('net').connect({ host, port, timeout: 700 });
      s.on('connect', () => s.end()).on('error', () => 0).on('timeout', () => s.destroy());
      s.on('close', () => next(left - 1)).resume() }; next(Number(times));`;
  const server = readFileSync(join(work, 'server'), 'utf8');
  for (const [port, times] of [
    ['8080', '5'],
    ['9090', '2'],
  ] as const) {
    const exec = ['lab', 'exec', '--lab', LAB, 'lab/client-7d9f8-abcde'];
    await tortie(...exec, 'node', '-e', call, server, port, times);
  }
  const own = (node: string, port: number, action: string) =>
    entriesOf(node).filter((entry) => entry['dest_port'] === port && entry['action'] === action);
  const sum = (entries: readonly Record<string, unknown>[], field: string): number =>
    entries.reduce((total, entry) => total + Number(entry[field]), 0);
  const ends = (node: string) => own(node, 8080, 'allow').filter((it) => it['num_flows_started']);
  const denied = () => own('node-1', 9090, 'deny');
  const counts = () => [
    sum(ends('node-1'), 'num_flows_started'),
    sum(ends('node-2'), 'num_flows_started'),
    sum(denied(), 'packets_in'),
  ];
  for (let look = 0; look < 120 && counts().join() !== '5,5,2'; look++) await sleep(250);
  assert.deepEqual(counts(), [5, 5, 2]);
  const [entry = {}] = ends('node-1');
  const fields = ['host', 'reporter', 'source_name', 'source_port', 'dest_service_name', 'proto'];
  assert.deepEqual(
    fields.map((name) => entry[name]),
    ['node-1', 'dst', 'client-7d9f8-abcde', null, 'front', 'tcp'],
  );
  assert.deepEqual(entry['dest_labels'], { labels: ['app=server'] });
  const { enforced_policies: enforced, pending_policies: pending } = entry['policies'] as Record<
    string,
    string[]
  >;
  assert.deepEqual(enforced, ['0|default|lab/knp.default.server|allow|0']);
  const [refusal = {}] = denied();
  const { enforced_policies: refused } = refusal['policies'] as Record<string, string[]>;
  assert.deepEqual(refused, ['0|default|lab/knp.default.server|deny|-1']);
  assert.match(pending?.[0] ?? '', /^0\|default\|lab\/staged:default\.closed\|deny\|1$/);
});

test('an agent that is killed goes on with the connection, of whose rule it knows nothing', {
  skip,
}, async () => {
  await kill('node-2');
  const killedMs = Date.now();
  const flow = await flowThat('after the kill', ({ endTime, connections, policies }) => {
    const isUnknown = policies.some(({ direction, rule }) => direction === 'egress' && rule === -2);
    return endTime > killedMs + 2_000 && connections.live === 1 && isUnknown;
  });
  assert.ok(flow.packets.out > 0);
});

test('a server that is killed hears of the connection again, and agents say what may not be kept', {
  skip,
}, async () => {
  const killedMs = Date.now();
  await kill('server');
  await flowThat(
    'after the kill',
    ({ endTime, connections }) => endTime > killedMs + 2_000 && connections.live === 1,
  );
  for (let look = 0; look < 40 && !logs().includes('may not be kept'); look++) await sleep(250);
  assert.match(logs(), /The server was started anew; \d+ flow reports/);
});
