// `tortie matrix`, `lint`, `validate` and `convert` as their users meet them: output, errors, exit codes.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { EXAMPLE, folderWith, tortie } from './tortie.ts';

const MISTAKES = [join(EXAMPLE, 'cluster.yaml'), join(EXAMPLE, 'mistakes')];

test('the help of each command names its options and gives examples', () => {
  for (const name of ['explain', 'matrix', 'test', 'lint', 'diff', 'validate', 'convert']) {
    const { exitCode, out, err } = tortie([name, '--help']);
    assert.deepEqual([exitCode, err], [0, ''], name);
    assert.match(out, new RegExp(`^Usage: tortie ${name} `));
    assert.match(out, /-f, --filename <path\.\.\.>/);
    assert.match(out, /\nExamples?:\n {2}tortie /);
  }
});

test('the matrix as JSON has rows of dots, crosses and stars', () => {
  const ports = ['--port', 'tcp/8443', 'TCP/5432', '--port', 'icmp'];
  const { exitCode, out, err } = tortie([
    'matrix',
    '-f',
    EXAMPLE,
    ...ports,
    '--address',
    '203.0.113.7',
    '-o',
    'json',
  ]);
  assert.deepEqual([exitCode, err], [0, '']);
  assert.deepEqual(JSON.parse(out), {
    endpoints: [
      'clinic/booking',
      'clinic/kiosk',
      'clinic/portal',
      'kube-system/coredns',
      'records/store',
      '203.0.113.7',
    ],
    ports: {
      'tcp/8443': ['*...X.', 'X*.XXX', '..*.X.', 'X..*X.', 'X...*X', 'X...X*'],
      'tcp/5432': ['*.X...', 'X*XXXX', 'X.*.X.', 'X.X*X.', 'X.X.*X', 'X.X.X*'],
      icmp: ['*.X.X.', 'X*XXXX', 'X.*.X.', 'X.X*X.', 'X.X.*X', 'X.X.X*'],
    },
  });
});

test('ends without a common address family do not reach each other', (context) => {
  const pod = (name: string, ip: string) =>
    `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: x}\n` +
    `spec: {containers: [{name: m}]}\nstatus: {podIPs: [{ip: "${ip}"}]}\n`;
  const folder = folderWith(context, { 'p.yaml': pod('a', '10.0.0.1') + pod('b', 'fd00::2') });
  const { ports } = JSON.parse(tortie(['matrix', '-f', folder, '-o', 'json']).out) as {
    ports: unknown;
  };
  assert.deepEqual(ports, { 'tcp/80': ['*X', 'X*'] });
  assert.match(tortie(['matrix', '-f', folder]).out, /- no address family in common\n$/);
});

test('the table lines up and says what its marks mean', () => {
  const { exitCode, out } = tortie(['matrix', '-f', EXAMPLE, '--port', 'tcp/5432']);
  assert.equal(exitCode, 0);
  assert.equal(
    out,
    `tcp/5432  (8 of 20 allowed)
                        1 2 3 4 5
1  clinic/booking       * . X . .
2  clinic/kiosk         X * X X X
3  clinic/portal        X . * . X
4  kube-system/coredns  X . X * X
5  records/store        X . X . *

from each row to each column   . allowed   X denied   * itself
`,
  );
});

const WRONG: readonly (readonly [words: string, exitCode: number, message: RegExp])[] = [
  [
    'matrix -f FOLDER --port tcp',
    2,
    /^Cannot draw a matrix: --port "tcp": port is missing: TCP needs a port; write it as tcp\/80\n$/,
  ],
  [
    'matrix -f FOLDER --port udp/x tpc/1',
    2,
    /"udp\/x": port "x" is no number from 1 to 65535[^]*"tpc\/1": protocol "tpc" is no protocol/,
  ],
  ['matrix -f FOLDER --address 10.x', 2, /^Cannot read "10\.x": write namespace\/pod/],
  ['get ippool --kubeconfig /none -o go-template={{nosuch}}', 2, /: there is no function "nosuch"/],
  [
    'get ippool --kubeconfig /none -o go-template={{range',
    2,
    /^Cannot use the template .*not closed/,
  ],
  [
    'get ippool --kubeconfig /none -o custom-columns=COLOUR',
    2,
    /^Cannot print the columns COLOUR of ipp/,
  ],
  [
    'get ippool --kubeconfig /none -o go-template-file=/none',
    1,
    /^Cannot use --output "\/none": there is no/,
  ],
  ['matrix -f /nonexistent', 2, /^Cannot read \/nonexistent: /],
  ['matrix', 1, /^Cannot use the kubeconfig \/nonexistent\/kubeconfig: /],
  ['lint -f FOLDER -o yaml', 2, /^Cannot print as "yaml": use -o json\n$/],
  ['convert', 2, /required option '-f, --filename/],
  [
    'test -f FOLDER/cluster.yaml',
    2,
    /^Cannot test: there is no PolicyTest in .*cluster\.yaml; see "tortie test --help"\n$/,
  ],
  ['test', 2, /^Cannot test: name a PolicyTest with -f/],
];

test('what cannot be done says why, and ends with the code that its help promises', () => {
  for (const [words, code, message] of WRONG) {
    const { exitCode, out, err } = tortie(words.replaceAll('FOLDER', EXAMPLE).split(' '));
    assert.deepEqual([exitCode, out], [code, ''], words);
    assert.match(err, message);
  }
});

test('lint of the example finds nothing, of its mistakes each one', () => {
  const clean = tortie(['lint', '-f', EXAMPLE]);
  assert.deepEqual(clean, { exitCode: 0, out: 'Nothing found\n', err: '' });
  const { exitCode, out, err } = tortie(['lint', '-f', ...MISTAKES]);
  assert.equal(exitCode, 1);
  assert.equal(err, 'Lint found 5 errors, 2 warnings\n');
  const heads = out.split('\n').filter((line) => /^(error|warning) /.test(line));
  assert.deepEqual(heads, [
    'error  GlobalNetworkPolicy node-web  spec.ingress  (locks-node-out)',
    'error  GlobalNetworkPolicy watch  spec.ingress  (log-only)',
    'error  HostEndpoint north  spec  (locks-node-out)',
    'error  KubernetesNetworkPolicy clinic/only-records  spec.egress  (cuts-dns)',
    'error  NetworkPolicy records/wrong-order  spec.ingress[1]  (shadowed-rule)',
    'warning  GlobalNetworkPolicy node-web  spec.ingress  (locks-node-out)',
    'warning  KubernetesNetworkPolicy clinic/dash  spec.ingress[1]  (allow-all)',
  ]);
  const json = tortie(['lint', '-f', ...MISTAKES, '-o', 'json']);
  assert.equal(json.exitCode, 1);
  const { errors, warnings, findings } = JSON.parse(json.out) as Record<string, object[] | number>;
  assert.deepEqual([errors, warnings, Array.isArray(findings) && findings.length], [5, 2, 7]);
});

test('lint with warnings alone is no failure', () => {
  const manifest = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: clinic}
spec: {selector: app == 'portl', ingress: [{action: Deny}]}
`;
  const { exitCode, out, err } = tortie(['lint', '-f', '-', MISTAKES[0] ?? ''], manifest);
  assert.deepEqual([exitCode, err], [0, '']);
  assert.match(
    out,
    /^warning {2}NetworkPolicy clinic\/p {2}spec\.selector {2}\(policy-selects-nothing\)/,
  );
  assert.match(out, /\n0 errors, 1 warning\n$/);
});

const MALFORMED = `apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: clinic}
spec:
  selectr: all()
  ingress:
    - action: Alow
---
kind: [
`;

test('validate tells every problem with file, line and field', (context) => {
  const folder = folderWith(context, { 'p.yaml': MALFORMED });
  const file = join(folder, 'p.yaml');
  const { exitCode, out, err } = tortie(['validate', '-f', folder]);
  assert.equal(exitCode, 1);
  const [first, second, third, ...rest] = out.trimEnd().split('\n');
  assert.equal(first, `error: ${file}:5: spec.selectr: unknown field; did you mean "selector"?`);
  assert.match(second ?? '', /p\.yaml:7: spec\.ingress\[0\]\.action: "Alow" is not allowed/);
  assert.match(third ?? '', /p\.yaml:\d+: YAML: /);
  assert.deepEqual(rest, []);
  assert.equal(err, 'Not valid: 3 errors, 0 warnings\n');
  const json = tortie(['validate', '-f', folder, '-o', 'json']);
  const { valid, errors, problems } = JSON.parse(json.out) as {
    valid: number;
    errors: number;
    problems: { source: string; line: number }[];
  };
  assert.deepEqual([json.exitCode, valid, errors, problems[0]?.line], [1, 0, 3, 5]);
  assert.deepEqual(tortie(['validate', '-f', EXAMPLE]), {
    exitCode: 0,
    out: 'Valid: 18 manifests, 0 warnings\n',
    err: '',
  });
});

test('what is converted is valid, has no Kubernetes policy, and means the same', (context) => {
  const { exitCode, out, err } = tortie(['convert', '-f', EXAMPLE]);
  assert.deepEqual([exitCode, err], [0, '']);
  const kinds = parseAllDocuments(out).map((it) => String(it.get('apiVersion')));
  assert.ok(!kinds.some((it) => it.startsWith('networking.k8s.io') || it.startsWith('policy.')));
  const folder = folderWith(context, { 'converted.yaml': out });
  assert.equal(tortie(['validate', '-f', folder]).exitCode, 0);
  const words = [
    '--port',
    'tcp/8443',
    'tcp/5432',
    'udp/53',
    '--address',
    '203.0.113.7',
    '-o',
    'json',
  ];
  const matrixOf = (path: string) => tortie(['matrix', '-f', path, ...words]).out;
  assert.equal(matrixOf(folder), matrixOf(EXAMPLE));
  const list = JSON.parse(tortie(['convert', '-f', EXAMPLE, '-o', 'json']).out) as {
    items: unknown[];
  };
  assert.equal(list.items.length, kinds.length);
});

test('a converted policy whose name Calico cannot have, or has already, gets another', () => {
  const manifests = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec: {podSelector: {}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec: {}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: a.b.c}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
`;
  const { exitCode, out, err } = tortie(['convert', '-f', '-', '-o', 'json'], manifests);
  assert.equal(exitCode, 0);
  const { items } = JSON.parse(out) as { items: { metadata: { name: string } }[] };
  assert.deepEqual(
    items.map(({ metadata }) => metadata.name),
    ['knp.default.p', 'p', 'kcnp-a-b-c'],
  );
  assert.match(err, /^warning: NetworkPolicy x\/p: is named knp\.default\.p now/);
});
