// Validation: all problems at once, with paths, values and what to do; defaults; what is let through.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateResource } from './validate-resource.ts';

const v3 = 'projectcalico.org/v3';

function problemsOf(kind: string, spec: unknown, apiVersion = v3): string[] {
  const metadata = { name: 'a' };
  const { problems } = validateResource({ apiVersion, kind, metadata, spec });
  return problems.map(({ path, message }) => `${path}: ${message}`);
}

test('all problems of a policy at once', () => {
  const spec = {
    selectr: 'all()',
    selector: 'a = "b"',
    types: ['Ingress', 'Ingress'],
    ingress: [
      { action: 'Allow', source: { nets: ['10.0.0.0/8', '10.0.0.1/8'] } },
      { action: 'Allow', destination: { ports: [80] }, icmp: { code: 1 } },
    ],
  };
  const problems = problemsOf('NetworkPolicy', spec).join('\n');
  assert.match(problems, /^spec\.selectr: unknown field; did you mean "selector"\?$/m);
  assert.match(problems, /^spec\.selector: parse selector, character 3 .*==/m);
  assert.match(problems, /^spec\.types\[1\]: "Ingress" is there twice/m);
  assert.match(
    problems,
    /^spec\.ingress\[0\]\.source\.nets\[1\]: "10\.0\.0\.1\/8" has host bits set/m,
  );
  assert.match(problems, /^spec\.ingress\[1\]\.destination\.ports\[0\]: 80 needs a protocol/m);
  assert.match(problems, /^spec\.ingress\[1\]\.icmp\.code: a code needs a type/m);
});

test('values of the wrong shape are told as such', () => {
  assert.deepEqual(problemsOf('NetworkPolicy', { ingress: { action: 'Allow' } }), [
    'spec.ingress: must be a list, is {"action":"Allow"}',
  ]);
  assert.deepEqual(problemsOf('NetworkPolicy', { ingress: [{ action: 'allow' }] }), [
    'spec.ingress[0].action: "allow" is not allowed: use Allow, Deny, Log, Pass; did you mean "Allow"?',
  ]);
  assert.deepEqual(problemsOf('NetworkPolicy', { ingress: [{}] }), [
    'spec.ingress[0].action: is required',
  ]);
  assert.deepEqual(problemsOf('NetworkPolicy', { order: '5' }), [
    'spec.order: must be a number or null, is "5"',
  ]);
  assert.deepEqual(problemsOf('NetworkPolicy', null), ['spec: is required']);
});

test('null counts as absent where a field is optional', () => {
  const { resource, problems } = validateResource({
    apiVersion: v3,
    kind: 'NetworkPolicy',
    metadata: { name: 'a', creationTimestamp: null, labels: null },
    spec: { ingress: null, order: null },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(resource, {
    apiVersion: v3,
    kind: 'NetworkPolicy',
    metadata: {
      name: 'a',
      creationTimestamp: null,
      labels: { 'projectcalico.org/tier': 'default' },
    },
    spec: { order: null, tier: 'default', types: ['Ingress'] },
  });
});

test('texts of digits are numbers where Calico takes both, host bits are a warning', () => {
  const spec = {
    ingress: [
      {
        action: 'Allow',
        protocol: '6',
        source: { nets: ['10.0.0.1/8'] },
        destination: { ports: ['53', 'dns', '80:90'] },
      },
    ],
  };
  const metadata = { name: 'a' };
  const { resource, problems } = validateResource({
    apiVersion: v3,
    kind: 'NetworkPolicy',
    metadata,
    spec,
  });
  assert.deepEqual(
    problems.map(({ severity }) => severity),
    ['warning'],
  );
  assert.match(JSON.stringify(resource), /"protocol":6.*"ports":\[53,"dns","80:90"\]/);
});

test('unknown fields: refused in Calico kinds and Kubernetes policies, kept in pods', () => {
  const policy = 'networking.k8s.io/v1';
  assert.deepEqual(problemsOf('NetworkPolicy', { podSelecto: {} }, policy), [
    'spec.podSelecto: unknown field; did you mean "podSelector"?',
  ]);
  assert.deepEqual(problemsOf('Pod', { containers: [], nodeSelector: { a: 'b' } }, 'v1'), []);
});

test('names of fields that every object has are no known fields', () => {
  assert.match(problemsOf('NetworkPolicy', { constructor: 1 })[0] ?? '', /unknown field/);
  const { problems } = validateResource(
    JSON.parse(
      `{"apiVersion":"${v3}","kind":"NetworkPolicy","metadata":{"name":"a"},"spec":{"__proto__":{}}}`,
    ),
  );
  assert.match(problems[0]?.message ?? '', /unknown field/);
});

test('a Kubernetes policy whose selectors or ports are wrong is refused', () => {
  const spec = {
    podSelector: { matchLabels: { a: "x' || all() || a == 'y" } },
    ingress: [
      { ports: [{ port: 80, endPort: 70 }], from: [{ ipBlock: { cidr: '10.0.0.0' } }, {}] },
    ],
  };
  const problems = problemsOf('NetworkPolicy', spec, 'networking.k8s.io/v1').join('\n');
  assert.match(problems, /podSelector\.matchLabels\["a"\]: .* is no label value/);
  assert.match(problems, /ingress\[0\]\.ports\[0\]\.endPort: 70/);
  assert.match(problems, /from\[0\]\.ipBlock\.cidr: "10\.0\.0\.0" is no CIDR/);
  assert.match(problems, /from\[1\]: an empty peer/);
});

test('kind and metadata', () => {
  const said = (value: unknown): string => {
    const { resource, problems } = validateResource(value);
    assert.equal(resource, undefined);
    return problems.map(({ path, message }) => `${path}: ${message}`).join('\n');
  };
  assert.match(said('x'), /must be an object/);
  assert.match(said({ kind: 'Tier' }), /^apiVersion: is required/);
  assert.match(said({ apiVersion: v3, kind: 'Teir' }), /did you mean "Tier"/);
  assert.match(
    said({ apiVersion: 'projectcalico.org/v1', kind: 'Tier' }),
    /"projectcalico.org\/v3"/,
  );
  assert.match(
    said({ apiVersion: v3, kind: 'Tier', metadata: {}, spec: {} }),
    /metadata\.name: is required/,
  );
  const labelled = { name: 'a', namespace: 'b', labels: { 'a b': 'c d' } };
  const text = said({ apiVersion: v3, kind: 'Tier', metadata: labelled, spec: {} });
  assert.match(text, /metadata\.namespace: a Tier belongs to no namespace/);
  assert.match(text, /metadata\.labels\["a b"\]: "a b" is no label key/);
  assert.match(text, /metadata\.labels\["a b"\]: "c d" is no label value/);
});

test('built-in tiers get their order and action, and keep them', () => {
  const { resource } = validateResource({
    apiVersion: v3,
    kind: 'Tier',
    metadata: { name: 'kube-admin' },
    spec: {},
  });
  assert.deepEqual((resource as unknown as { spec: unknown }).spec, {
    order: 1000,
    defaultAction: 'Pass',
  });
});

test('at most 100 problems are told', () => {
  const spec = { ingress: Array.from({ length: 200 }, () => ({ action: 'x' })) };
  assert.equal(problemsOf('NetworkPolicy', spec).length, 100);
});
