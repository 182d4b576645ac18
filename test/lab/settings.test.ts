// A node of a lab follows FelixConfiguration at run time: health, what its logs say, files for others, warnings.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, noLab, tortie, useLab } from './lab-under-test.ts';

const LAB = `s-${process.pid}`;
const FOLDER = join('/run/tortie/labs', LAB);
const AGENT = join(FOLDER, 'nodes', 'node-1');
const LOG = join(FOLDER, 'logs', 'node-1.log');
const HEALTH = 'http://localhost:9099';

const MANIFESTS = `
apiVersion: lab.tortie.dev/v1
kind: Lab
spec: {nodes: 1}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: node-1, containers: [{name: main, command: [sleep, '1000']}]}
`;
const lab = useLab(LAB, MANIFESTS);

async function configure(spec: object): Promise<string> {
  const file = join(lab.folder, 'felix.yaml');
  const resource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name: 'node.node-1' },
    spec,
  };
  writeFileSync(file, JSON.stringify(resource));
  const { code, out, err } = await tortie('apply', '-f', file, '--lab', LAB);
  assert.equal(code, 0, err);
  return out + err;
}

/** For failures. */
function agentLog(): string {
  return `; the agent says ${readFileSync(LOG, 'utf8').slice(-2_000)}`;
}

/** Status of an answer; 0 where nobody answers. */
function probe(path: string): number {
  const namespace = `--net=/run/netns/tortie-${LAB}--node-1`;
  const curl = ['curl', '-s', '-m', '3', '-o', '/dev/null', '-w', '%{http_code}', HEALTH + path];
  try {
    return Number(execFileSync('nsenter', [namespace, ...curl], { encoding: 'utf8' }));
  } catch {
    return 0;
  }
}

test('health is served where it is asked for, and not otherwise', { skip: noLab }, async () => {
  assert.equal(probe('/readiness'), 0);
  await configure({ healthEnabled: true });
  await eventually('readiness', () => probe('/readiness') === 200, agentLog);
  assert.equal(probe('/liveness'), 200);
  await configure({ healthEnabled: false });
  await eventually('nobody at the port', () => probe('/readiness') === 0, agentLog);
});

test('[AG7] the node says which of its interfaces has which addresses', {
  skip: noLab,
}, async () => {
  await eventually('the annotation', async () => {
    const { out } = await tortie('get', 'node', 'node-1', '-o', 'json', '--lab', LAB);
    const { metadata } = JSON.parse(out) as { metadata: { annotations?: Record<string, string> } };
    const text = metadata.annotations?.['projectcalico.org/Interfaces'] ?? '[]';
    const said = JSON.parse(text) as { name: string; addresses: string[] }[];
    return said.some(({ name, addresses }) => name === 'eth0' && addresses.includes('172.30.0.11'));
  });
});

test('what does nothing is warned of by the server and told by the agent, once', {
  skip: noLab,
}, async () => {
  const told = await configure({ bpfEnabled: true, logSeverityScreen: 'Info' });
  assert.match(
    told,
    /spec\.bpfEnabled: is accepted but has no effect: it needs the eBPF dataplane/,
  );
  const lines = () => readFileSync(LOG, 'utf8').match(/parameter BPFEnabled/g) ?? [];
  await eventually('the agent tells', () => lines().length > 0, agentLog);
  await configure({ bpfEnabled: true, logSeverityScreen: 'Warning' });
  await configure({ bpfEnabled: true, logSeverityScreen: 'Error' });
  assert.equal(lines().length, 1);
});

test('the level of the log is that of the parameter', { skip: noLab }, async () => {
  await configure({ logSeverityScreen: 'Fatal', healthEnabled: true });
  await eventually('health', () => probe('/readiness') === 200, agentLog);
  assert.doesNotMatch(readFileSync(LOG, 'utf8').split('\n').at(-2) ?? '', /health is served/);
  await configure({ logSeverityScreen: 'Info', healthEnabled: true, healthPort: 9098 });
  await eventually(
    'it is told',
    () => readFileSync(LOG, 'utf8').includes('localhost:9098'),
    agentLog,
  );
});

test('the MTU of pods and their names are in files for others', { skip: noLab }, async () => {
  const folder = join(AGENT, 'endpoint-status');
  await eventually(
    'the file of the pod',
    () => existsSync(join(folder, 'k8s shop%2Fweb eth0')),
    agentLog,
  );
  assert.equal(readFileSync(join(AGENT, 'mtu'), 'utf8'), '1500');
  const { code, err } = await tortie('delete', 'pod', 'web', '-n', 'shop', '--lab', LAB);
  assert.equal(code, 0, err);
  await eventually('it goes with the pod', () => readdirSync(folder).length === 0, agentLog);
});
