// Tests of the demo's view: what it says of flows, in how much room, and the commands that it proposes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow, PolicyHit } from '#flows';
import { type DemoView, nextCommands, renderDemo } from './demo-view.ts';

const SCREEN = { width: 120, height: 40, color: false };

function end(name: string) {
  const address = '10.0.0.1';
  return { type: 'workload', namespace: 'shop', name, address, labels: {} } as const;
}

function flow(source: string, destination: string, fields: Partial<Flow> = {}): Flow {
  return {
    startTime: 0,
    endTime: 0,
    reporter: 'both',
    node: 'one',
    source: end(source),
    destination: end(destination),
    protocol: 'tcp',
    port: 80,
    verdict: 'allow',
    packets: { in: 1, out: 1 },
    bytes: { in: 500, out: 500 },
    connections: { started: 1, completed: 1, live: 0 },
    policies: [],
    ...fields,
  };
}

function denied(source: string, destination: string, name: string | null): Flow {
  const hit: PolicyHit = {
    direction: 'ingress',
    tier: 'security',
    kind: name === null ? null : 'GlobalNetworkPolicy',
    namespace: null,
    name,
    rule: name === null ? -1 : 2,
    action: 'deny',
  };
  return flow(source, destination, { verdict: 'deny', policies: [hit] });
}

function view(flows: readonly Flow[], fields: Partial<DemoView> = {}): DemoView {
  const about = { name: 'demo', program: 'tortie', labFlag: '', nodes: 3, pods: 10 };
  return { ...about, seconds: 100, windowSeconds: 10, flows, ...fields };
}

test('it says who talks to whom how often, and what is denied by which tier, policy and rule', () => {
  const flows = [
    ...Array.from({ length: 20 }, () => flow('web', 'cart')),
    denied('thief', 'cart', 'guard'),
  ];
  const text = renderDemo(view(flows), SCREEN).join('\n');
  assert.match(text, /^Tortie lab demo: 3 nodes, 10 pods, up 100 s · press Ctrl-C to stop$/m);
  assert.match(text, /^ {2}shop\/web → shop\/cart:80\/tcp +2\.0\/s +2\.0 kB\/s$/m);
  assert.match(text, /thief → shop\/cart:80\/tcp +0\.1\/s .*security\/gnp guard rule 2/);
});

test('what left its source but is not judged at its destination yet is not said to be allowed', () => {
  const text = renderDemo(view([flow('web', 'cart', { reporter: 'src' })]), SCREEN).join('\n');
  assert.match(text, /nobody yet/);
});

test('it fits the screen, and says how much does not', () => {
  const flows = Array.from({ length: 60 }, (_, index) => flow(`a${index}`, 'cart'));
  const lines = renderDemo(view(flows), { width: 50, height: 20, color: false });
  assert.ok(lines.length <= 20);
  assert.ok(lines.every((line) => line.length <= 50));
  assert.match(lines.join('\n'), /and 5\d more/);
});

test('the commands have names from what is going on: a named rule between pods first', () => {
  const flows = [denied('a', 'b', null), denied('thief', 'cart', 'guard')];
  const [explain, follow] = nextCommands(view(flows, { labFlag: ' --lab x' }));
  assert.equal(explain, 'tortie explain shop/thief shop/cart --protocol tcp --port 80 --lab x');
  assert.equal(follow, 'tortie flows --follow --verdict deny --from shop/thief --lab x');
  assert.equal(nextCommands(view([])).length, 1);
});
