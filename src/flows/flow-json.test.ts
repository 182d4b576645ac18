// Foreign JSON becomes a flow or a list of what is wrong with it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { flow, step } from './flow-fixture.ts';
import { InvalidFlow, parseFlow, parseFlows } from './flow-json.ts';

const wire = (value: unknown): Record<string, unknown> => JSON.parse(JSON.stringify(value));

test('a flow survives JSON', () => {
  const policies = [
    step('egress', 'deny', { tier: null, kind: null, namespace: null, name: null, rule: -1 }),
    step('ingress', 'deny', {
      kind: null,
      namespace: null,
      name: null,
      rule: -1,
      trigger: { kind: 'GlobalNetworkPolicy', namespace: null, name: 'all' },
    }),
  ];
  for (const one of [flow(), flow({ icmpType: 8, destinationNode: 'two', policies })]) {
    assert.deepEqual(parseFlow(wire(one)), one);
  }
  assert.deepEqual(parseFlows(wire([flow(), flow()])), [flow(), flow()]);
});

function problemsOf(value: unknown): readonly string[] {
  try {
    parseFlow(value);
  } catch (error) {
    assert.ok(error instanceof InvalidFlow);
    return error.problems;
  }
  return [];
}

test('every problem has its path', () => {
  const bad = {
    ...wire(flow()),
    startTime: -1,
    endTime: 1.5,
    reporter: 'me',
    node: 7,
    source: { ...wire(flow().source), labels: { a: 1 }, extra: true },
    destination: null,
    port: 65_536,
    packets: { in: '1', out: 2 },
    policies: [{ ...step('egress', 'allow'), rule: -3, action: 'log' }],
    surprise: 1,
  };
  assert.deepEqual(
    problemsOf(bad).map((problem) => problem.split(' ')[0]),
    [
      'port',
      'startTime',
      'endTime',
      'reporter',
      'node',
      'source.labels["a"]',
      'source.extra',
      'destination',
      'packets.in',
      'policies[0].rule',
      'policies[0].action',
      'surprise',
    ],
  );
});

test('sizes are bounded', () => {
  assert.match(problemsOf({ ...wire(flow()), node: 'x'.repeat(513) }).join(), /^node is no text/);
  const policies = Array.from({ length: 129 }, () => step('egress', 'pass'));
  assert.match(problemsOf({ ...wire(flow()), policies }).join(), /^policies is no list/);
  const labels = Object.fromEntries(Array.from({ length: 129 }, (_, index) => [`l${index}`, '']));
  assert.match(
    problemsOf({ ...wire(flow()), source: { ...flow().source, labels } }).join(),
    /labels/,
  );
  assert.throws(() => parseFlows({}), InvalidFlow);
  assert.throws(() => parseFlows([flow(), {}]), /\[1\]\.startTime/);
});

test('property: any value is a flow or an InvalidFlow', () => {
  const field = fc.constantFrom(...Object.keys(flow()));
  fc.assert(
    fc.property(fc.jsonValue(), field, (value, name) => {
      for (const candidate of [value, { ...wire(flow()), [name]: value }]) {
        const problems = problemsOf(candidate);
        assert.ok(problems.length <= 16);
        if (problems.length === 0) assert.deepEqual(parseFlow(candidate), candidate);
      }
    }),
  );
});
