// Tests of what the lab's kubelet says of a pod, of its containers' environment, and of turns.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#api';
import { containerEnvironment } from './container-environment.ts';
import { Turns } from './lab-context.ts';
import { podProblems } from './pod-problems.ts';
import { type ContainerState, podStatus } from './pod-status.ts';

const containers = [{ name: 'a' }, { name: 'b' }];
const running: ContainerState = { type: 'running', startedAt: 't1' };

function ended(code: number | null, signal: string | null = null): ContainerState {
  return { type: 'terminated', startedAt: 't1', exit: { code, signal, at: 't2' } };
}

function statusOf(a?: ContainerState, b?: ContainerState): Record<string, unknown> {
  const states = new Map(
    Object.entries({ a, b }).flatMap(([name, it]) => (it ? [[name, it]] : [])),
  );
  const addresses = ['10.0.0.1', 'fd00::1'];
  return podStatus({
    containers,
    states,
    addresses,
    hostAddresses: ['172.30.0.11'],
    startTime: 't0',
  });
}

function isReady(status: Record<string, unknown>): unknown {
  const conditions = status['conditions'] as { type: string; status: string }[];
  return conditions.find(({ type }) => type === 'Ready')?.status;
}

test('the phase follows from the containers, and a pod is ready while all run', () => {
  const cases: [ContainerState | undefined, ContainerState | undefined, string, string][] = [
    [undefined, undefined, 'Pending', 'False'],
    [running, undefined, 'Running', 'False'],
    [running, running, 'Running', 'True'],
    [running, ended(1), 'Running', 'False'],
    [ended(0), ended(0), 'Succeeded', 'False'],
    [ended(0), ended(3), 'Failed', 'False'],
    [ended(0), ended(null, 'SIGKILL'), 'Failed', 'False'],
  ];
  for (const [a, b, phase, ready] of cases) {
    const status = statusOf(a, b);
    assert.deepEqual([status['phase'], isReady(status)], [phase, ready]);
  }
});

test('addresses of both families and exits are told as Kubernetes tells them', () => {
  const status = statusOf(running, ended(null, 'SIGKILL'));
  assert.deepEqual(status['podIPs'], [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }]);
  assert.equal(status['podIP'], '10.0.0.1');
  assert.equal(status['hostIP'], '172.30.0.11');
  const [a, b] = status['containerStatuses'] as { state: Record<string, object>; ready: boolean }[];
  assert.deepEqual(a?.state, { running: { startedAt: 't1' } });
  assert.deepEqual(b?.state['terminated'], {
    exitCode: 137,
    message: 'ended by SIGKILL',
    reason: 'Error',
    startedAt: 't1',
    finishedAt: 't2',
  });
});

test('a container has its own variables, fields of its pod and the way to its peers', () => {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'cart', namespace: 'shop' },
    spec: { containers: [] },
  };
  const reference = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
  const env = [
    { name: 'MODE', value: 'test' },
    { name: 'IP', ...reference('status.podIP') },
    { name: 'NODE', ...reference('spec.nodeName') },
    { name: 'UNKNOWN', ...reference('spec.other') },
  ];
  const node = { name: 'node-1', namespace: '/x', addresses: ['172.30.0.11'] };
  const place = { pod, node, addresses: ['10.0.0.1'], peersFile: '/peers.json' };
  assert.deepEqual(containerEnvironment({ name: 'a', env }, place), {
    HOSTNAME: 'cart',
    TORTIE_LAB_PEERS: '/peers.json',
    MODE: 'test',
    IP: '10.0.0.1',
    NODE: 'node-1',
  });
});

test('a pod that cannot run in a lab is told before', () => {
  const spec = { nodeName: 'node-3', containers: [{ name: 'a', command: ['x'] }, { name: 'b' }] };
  const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n' }, spec };
  assert.match(podProblems(pod, 3).join(), /^pod n\/p: container b has no command/);
  assert.match(
    podProblems(pod, 2)[1] ?? '',
    /there is no node node-3; this lab has node-1, node-2/,
  );
});

test('turns let so many at a time, in their order, also after a failure', async () => {
  const turns = new Turns(2);
  const order: number[] = [];
  let atOnce = 0;
  let most = 0;
  const work = (number: number) =>
    turns.take(async () => {
      most = Math.max(most, ++atOnce);
      await Promise.resolve();
      order.push(number);
      atOnce--;
      if (number === 1) throw new Error('one');
    });
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map(work));
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
  assert.equal(most, 2);
  assert.deepEqual(
    results.map(({ status }) => status === 'rejected'),
    [false, true, false, false, false],
  );
});
