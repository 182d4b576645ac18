// A node of a lab follows FelixConfiguration at run time: health, what its logs say, files for others, warnings.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const TORTIE = join(import.meta.dirname, '..', '..', 'bin', 'tortie');
const LAB = `s-${process.pid}`;
const FOLDER = join('/run/tortie/labs', LAB);
const AGENT = join(FOLDER, 'nodes', 'node-1');
const LOG = join(FOLDER, 'logs', 'node-1.log');
const skip = process.getuid?.() === 0 ? false : 'a lab needs root';
const environment = { ...process.env, KUBECONFIG: '' };
const work = mkdtempSync(join(tmpdir(), 'tortie-settings-test-'));
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

function tortie(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const options = { env: environment, timeout: 120_000 };
    execFile(TORTIE, args, options, (error, out, err) => {
      resolve({ code: error === null ? 0 : 1, out, err });
    });
  });
}

async function configure(spec: object): Promise<string> {
  const file = join(work, 'felix.yaml');
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

async function eventually(what: string, look: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 150; attempt++) {
    if (look()) return;
    await sleep(200);
  }
  assert.fail(`not seen: ${what}; the agent says ${readFileSync(LOG, 'utf8').slice(-2_000)}`);
}

before(async () => {
  if (skip) return;
  const file = join(work, 'lab.yaml');
  writeFileSync(file, MANIFESTS);
  const { code, err } = await tortie('lab', 'up', '-f', file, '--name', LAB);
  assert.equal(code, 0, err);
});

after(async () => {
  rmSync(work, { recursive: true, force: true });
  if (!skip) await tortie('lab', 'down', LAB);
});

test('health is served where it is asked for, and not otherwise', { skip }, async () => {
  assert.equal(probe('/readiness'), 0);
  await configure({ healthEnabled: true });
  await eventually('readiness', () => probe('/readiness') === 200);
  assert.equal(probe('/liveness'), 200);
  await configure({ healthEnabled: false });
  await eventually('nobody at the port', () => probe('/readiness') === 0);
});

test('what does nothing is warned of by the server and told by the agent, once', {
  skip,
}, async () => {
  const told = await configure({ bpfEnabled: true, logSeverityScreen: 'Info' });
  assert.match(
    told,
    /spec\.bpfEnabled: is accepted but has no effect: it needs the eBPF dataplane/,
  );
  const lines = () => readFileSync(LOG, 'utf8').match(/parameter BPFEnabled/g) ?? [];
  await eventually('the agent tells', () => lines().length > 0);
  await configure({ bpfEnabled: true, logSeverityScreen: 'Warning' });
  await configure({ bpfEnabled: true, logSeverityScreen: 'Error' });
  assert.equal(lines().length, 1);
});

test('the level of the log is that of the parameter', { skip }, async () => {
  await configure({ logSeverityScreen: 'Fatal', healthEnabled: true });
  await eventually('health', () => probe('/readiness') === 200);
  assert.doesNotMatch(readFileSync(LOG, 'utf8').split('\n').at(-2) ?? '', /health is served/);
  await configure({ logSeverityScreen: 'Info', healthEnabled: true, healthPort: 9098 });
  await eventually('it is told', () => readFileSync(LOG, 'utf8').includes('localhost:9098'));
});

test('the MTU of pods and their names are in files for others', { skip }, async () => {
  const folder = join(AGENT, 'endpoint-status');
  await eventually('the file of the pod', () => existsSync(join(folder, 'k8s shop%2Fweb eth0')));
  assert.equal(readFileSync(join(AGENT, 'mtu'), 'utf8'), '1500');
  const { code, err } = await tortie('delete', 'pod', 'web', '-n', 'shop', '--lab', LAB);
  assert.equal(code, 0, err);
  await eventually('it goes with the pod', () => readdirSync(folder).length === 0);
});
