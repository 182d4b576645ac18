// Rows of `kubectl get` for Kubernetes' own kinds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  configMapKind,
  endpointSliceKind,
  eventKind,
  type KindDefinition,
  nodeKind,
  podKind,
  roleBindingKind,
  roleKind,
  secretKind,
  serviceKind,
} from '#api';
import { tableOf } from './table.ts';

const NOW = Date.parse('2026-01-10T00:00:00Z');
const CREATED = '2026-01-09T23:00:00Z';

/** The cells that are shown without `-o wide`, or with it. */
function row(kind: KindDefinition, object: Record<string, unknown>, priority = 0): string {
  const metadata = { name: 'a', creationTimestamp: CREATED };
  const resource = { apiVersion: 'v1', kind: kind.kind, metadata, ...object };
  const options = { resourceVersion: '7', includeObject: 'None', now: NOW } as const;
  const table = tableOf(kind, [resource], options) as {
    columnDefinitions: { priority: number }[];
    rows: { cells: unknown[] }[];
  };
  const shown = table.rows[0]?.cells.filter(
    (_, index) => (table.columnDefinitions[index]?.priority ?? 0) <= priority,
  );
  return (shown ?? []).map(String).join(' | ');
}

const container = (state: object, rest: object = {}) => ({ name: 'c', state, ...rest });

test('[AP16] pods: ready, what they do, restarts', () => {
  const spec = { containers: [{ name: 'c' }, { name: 'd' }], nodeName: 'n1' };
  const pod = (status: object, rest: object = {}) => row(podKind, { spec, status, ...rest });
  assert.equal(pod({ phase: 'Pending' }), 'a | 0/2 | Pending | 0 | 60m');
  const running = container({ running: {} }, { ready: true, restartCount: 2 });
  assert.equal(
    pod({ phase: 'Running', containerStatuses: [running] }),
    'a | 1/2 | Running | 2 | 60m',
  );
  const lastState = { terminated: { finishedAt: '2026-01-09T23:55:00Z' } };
  const crashing = container(
    { waiting: { reason: 'CrashLoopBackOff' } },
    { restartCount: 3, lastState },
  );
  assert.equal(
    pod({ phase: 'Running', containerStatuses: [crashing] }),
    'a | 0/2 | CrashLoopBackOff | 3 (5m ago) | 60m',
  );
  const failed = [container({ terminated: { exitCode: 1 } })];
  assert.match(pod({ phase: 'Failed', containerStatuses: failed }), /ExitCode:1/);
  const initial = {
    initContainerStatuses: [container({ terminated: { exitCode: 0 } }), container({})],
  };
  const two = { ...spec, initContainers: [{ name: 'x' }, { name: 'y' }] };
  assert.match(row(podKind, { spec: two, status: initial }), /\| Init:1\/2 \|/);
  const metadata = { name: 'a', creationTimestamp: CREATED, deletionTimestamp: CREATED };
  assert.match(pod({ phase: 'Running' }, { metadata }), /\| Terminating \|/);
  assert.equal(
    row(podKind, { spec, status: { podIP: '10.0.0.1' } }, 1),
    'a | 0/2 | Unknown | 0 | 60m | 10.0.0.1 | n1 | <none> | <none>',
  );
});

test('[AP16] nodes, services, slices, events, configuration', () => {
  const metadata = {
    name: 'n1',
    creationTimestamp: CREATED,
    labels: { 'node-role.kubernetes.io/control-plane': '' },
  };
  const status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    nodeInfo: { kubeletVersion: 'v1' },
    addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
  };
  const node = { metadata, status, spec: { unschedulable: true } };
  assert.equal(row(nodeKind, node), 'n1 | Ready,SchedulingDisabled | control-plane | 60m | v1');
  assert.match(row(nodeKind, node, 1), /v1 \| 192\.0\.2\.1 \| <none>/);
  const spec = {
    clusterIP: '10.1.0.1',
    type: 'NodePort',
    ports: [
      { port: 80, nodePort: 30080 },
      { port: 53, protocol: 'UDP' },
    ],
  };
  assert.equal(
    row(serviceKind, { spec }),
    'a | NodePort | 10.1.0.1 | <none> | 80:30080/TCP,53/UDP | 60m',
  );
  const endpoints = ['1', '2', '3', '4'].map((n) => ({ addresses: [`10.0.0.${n}`] }));
  assert.equal(
    row(endpointSliceKind, { addressType: 'IPv4', ports: [{ port: 80 }], endpoints }),
    'a | IPv4 | 80 | 10.0.0.1,10.0.0.2,10.0.0.3 + 1 more... | 60m',
  );
  const event = {
    type: 'Warning',
    reason: 'Failed',
    message: 'no\n',
    involvedObject: { kind: 'Pod', name: 'p' },
    lastTimestamp: '2026-01-09T23:59:00Z',
    count: 4,
    source: { component: 'kubelet', host: 'n1' },
  };
  assert.equal(row(eventKind, event), '60s | Warning | Failed | pod/p | no');
  assert.match(row(eventKind, event, 1), /kubelet, n1 \| no \| <unknown> \| 4 \| a$/);
  assert.equal(row(roleKind, { rules: [] }), `a | ${CREATED}`);
  const subjects = [
    { kind: 'User', name: 'u' },
    { kind: 'ServiceAccount', name: 's', namespace: 'n' },
  ];
  const binding = { roleRef: { kind: 'Role', name: 'r' }, subjects };
  assert.equal(row(roleBindingKind, binding, 1), 'a | Role/r | 60m | u |  | n/s');
  assert.equal(row(configMapKind, { data: { a: '1', b: '2' } }), 'a | 2 | 60m');
  assert.equal(row(secretKind, { type: 'Opaque', data: { a: 'MQ==' } }), 'a | Opaque | 1 | 60m');
});
