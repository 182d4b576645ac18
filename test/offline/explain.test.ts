// `tortie explain` on manifests: single packets, many queries, and what is wrong with either.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXAMPLE, folderWith, tortie } from './tortie.ts';

const READ = ['explain', '-f', EXAMPLE];

test('the words after -f may be the ends, and the manifests come from standard input too', () => {
  const words = ['clinic/portal', 'records/store', '--port', '5432'];
  const behind = tortie([...READ, ...words]);
  assert.equal(behind.exitCode, 0);
  assert.match(behind.out, /^DENY {2}clinic\/portal -> records\/store, TCP port 5432\n/);
  const before = tortie(['explain', ...words, '-f', EXAMPLE]);
  assert.deepEqual(before, behind);
  const manifests = ['cluster.yaml', 'policies.yaml']
    .map((name) => readFileSync(join(EXAMPLE, name), 'utf8'))
    .join('\n---\n');
  assert.deepEqual(tortie(['explain', ...words, '-f', '-'], manifests), behind);
});

test('ICMP types, codes and source ports are weighed', (context) => {
  const folder = folderWith(context, {
    'world.yaml': `
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x}
spec: {containers: [{name: m}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: p}
spec:
  types: [Ingress]
  ingress:
    - {action: Allow, protocol: ICMP, icmp: {type: 13, code: 2}}
    - {action: Allow, protocol: UDP, source: {ports: [123]}}
`,
  });
  const verdictOf = (...words: readonly string[]) => {
    const { out } = tortie(['explain', '203.0.113.7', 'x/a', '-f', folder, '-o', 'json', ...words]);
    return (JSON.parse(out) as { verdict: string }).verdict;
  };
  const icmp = (type: string, code: string) =>
    verdictOf('--protocol', 'icmp', '--icmp-type', type, '--icmp-code', code);
  assert.deepEqual([icmp('13', '2'), icmp('13', '1'), icmp('8', '2')], ['allow', 'deny', 'deny']);
  const udp = (port: string) => verdictOf('--protocol', '17', '--port', '9', '--source-port', port);
  assert.deepEqual([udp('123'), udp('124')], ['allow', 'deny']);
});

test('a node on the way is asked by the interfaces in and out', (context) => {
  const folder = folderWith(context, {
    'world.yaml': `
apiVersion: v1
kind: Node
metadata: {name: gate}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: gate-eth1, labels: {at: gate}}
spec: {node: gate, interfaceName: eth1}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: at == 'gate'
  applyOnForward: true
  egress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
`,
  });
  const ask = (port: string, through: string) =>
    tortie([
      'explain',
      '198.51.100.7',
      '203.0.113.9',
      '-f',
      folder,
      '--port',
      port,
      '--through',
      through,
    ]);
  assert.match(ask('80', 'gate:eth0:eth1').out, /^ALLOW/);
  assert.match(ask('443', 'gate:eth0:eth1').out, /^DENY[^]*egress at eth1 of node:gate: deny/);
  assert.match(ask('443', 'gate:eth1:eth0').out, /^ALLOW/);
  const wrong = ask('443', 'gate');
  assert.equal(wrong.exitCode, 2);
  assert.match(wrong.err, /--through "gate" does not name a node and two interfaces/);
});

const NO_PROTOCOL =
  '"tpc" is no protocol: use icmp, tcp, udp, icmpv6, sctp, udplite or a number from 0 to 255';

const WRONG: readonly (readonly [words: string, message: string])[] = [
  [
    'clinic/prtal records/store --port 80',
    'Cannot find pod "clinic/prtal": did you mean clinic/portal?',
  ],
  ['node:nord records/store --port 80', 'Cannot find node "nord": did you mean north?'],
  [
    'nonsense records/store --port 80',
    'Cannot read "nonsense": write namespace/pod, node:NAME or an IPv4 or IPv6 address',
  ],
  ['clinic/portal records/store', 'Cannot explain: --port is missing: TCP needs a port'],
  [
    'clinic/portal',
    'Cannot explain: name a source and a destination, as in "tortie explain web/front-1 shop/cart --port 8080"',
  ],
  [
    'clinic/portal records/store --protocol tpc --port 0',
    `Cannot explain: --protocol ${NO_PROTOCOL}; --port "0" is no number from 1 to 65535`,
  ],
  [
    'clinic/portal records/store --protocol icmp --port 80 --icmp-type 256',
    'Cannot explain: --icmp-type "256" is no number from 0 to 255; --port makes no sense: ICMP has no ports',
  ],
  [
    'clinic/portal records/store --port 80 --icmp-code 1',
    'Cannot explain: --icmp-code makes no sense: TCP has no ICMP types',
  ],
  [
    'clinic/portal records/store --port 80 --family 5',
    'Cannot explain: --family "5" is neither 4 nor 6',
  ],
  ['clinic/portal records/store --port 80 -o yaml', 'Cannot print as "yaml": use -o json'],
];

test('what staged policies would do is said in words, in JSON and for each of many queries', (context) => {
  const folder = folderWith(context, {
    'world.yaml': `
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x}
spec: {containers: [{name: m}]}
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: p, namespace: x}
spec: {types: [Ingress]}
`,
  });
  const words = ['203.0.113.7', 'x/a', '--port', '80', '-f', folder];
  const { out } = tortie(['explain', ...words]);
  assert.equal(
    out.split('\n')[1],
    'If staged policies were enforced: DENY (was ALLOW), ingress by the default action of tier default',
  );
  const json = JSON.parse(tortie(['explain', ...words, '-o', 'json']).out) as object;
  assert.deepEqual(Object.keys(json), ['verdict', 'egress', 'ingress', 'steps', 'pending']);
  const query = { from: '203.0.113.7', to: 'x/a', protocol: 'tcp', port: 80 };
  const answers = tortie(['explain', '-f', folder, '--queries', '-'], JSON.stringify(query));
  assert.deepEqual(JSON.parse(answers.out), json);
});

test('a question that makes no sense ends with code 2 and one line that says why', () => {
  for (const [words, message] of WRONG) {
    const { exitCode, out, err } = tortie(['explain', ...words.split(' '), '-f', EXAMPLE]);
    assert.deepEqual({ exitCode, out, err }, { exitCode: 2, out: '', err: `${message}\n` });
  }
});

test('queries are answered in their order, each as the single packet would be', () => {
  const queries = join(EXAMPLE, 'queries.jsonl');
  const { exitCode, out, err } = tortie([...READ, '--queries', queries]);
  assert.deepEqual([exitCode, err], [0, '']);
  const answers = out
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  const single = (...words: readonly string[]): unknown =>
    JSON.parse(tortie([...READ, ...words, '-o', 'json']).out);
  assert.deepEqual(answers, [
    single('203.0.113.7', 'clinic/portal', '--port', '8443'),
    single('clinic/portal', 'records/store', '--port', '5432', '--source-port', '40000'),
    single('records/store', '203.0.113.7', '--protocol', 'icmp', '--icmp-type', '8'),
  ]);
  assert.deepEqual(tortie([...READ, '--queries', '-'], readFileSync(queries, 'utf8')).out, out);
});

const QUERIES: readonly (readonly [query: string, error: RegExp])[] = [
  [
    '{"from":"clinic/prtal","to":"records/store","port":80}',
    /^Cannot find pod "clinic\/prtal": did you mean clinic\/portal\?$/,
  ],
  [
    '{"to":"records/store","port":80}',
    /^from is missing: write namespace\/pod, node:NAME or an address$/,
  ],
  ['{"from":1,"to":"records/store","port":80}', /^from is no text/],
  [
    '{"from":"clinic/portal","to":"records/store","protocol":"udp"}',
    /^port is missing: UDP needs a port$/,
  ],
  [
    '{"from":"clinic/portal","to":"records/store","prot":"udp","port":1}',
    /^prot is not known: did you mean port\?$|^prot is not known/,
  ],
  [
    '{"from":"clinic/portal","to":"2001:db8::1","port":1}',
    /^Cannot judge .*: they share no address family/,
  ],
  ['[]', /^\[\] is no JSON object such as/],
  ['{"from"', /^this is no JSON: /],
];

test('a query that makes no sense has an error for its answer, and code 2 comes in the end', () => {
  const good = '{"from":"203.0.113.7","to":"clinic/portal","protocol":null,"port":8443}';
  const lines = QUERIES.flatMap(([query]) => [query, '', good]);
  const { exitCode, out, err } = tortie([...READ, '--queries', '-'], lines.join('\r\n'));
  assert.equal(exitCode, 2);
  assert.equal(
    err,
    'Cannot answer 8 of the queries: line 1, 4, 7, 10, 13 and 3 more; their answers say why\n',
  );
  const answers = out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { error?: string });
  assert.equal(answers.length, 2 * QUERIES.length);
  for (const [index, [, pattern]] of QUERIES.entries()) {
    assert.match(answers[2 * index]?.error ?? '', pattern);
    assert.equal(answers[2 * index + 1]?.error, undefined);
  }
});

test('queries exclude what cannot be meant beside them', () => {
  const both = tortie(['explain', 'a/b', 'c/d', '-f', EXAMPLE, '--queries', '-']);
  assert.equal(both.exitCode, 2);
  assert.equal(both.err, 'Cannot explain a packet and --queries at once: leave one out\n');
  const input = tortie(['explain', '-f', '-', '--queries', '-']);
  assert.equal(input.exitCode, 2);
  assert.match(input.err, /^Cannot read both manifests and queries from standard input/);
  const absent = tortie([...READ, '--queries', '/nonexistent']);
  assert.equal(absent.exitCode, 2);
  assert.match(absent.err, /^Cannot read \/nonexistent: /);
});

test('ten thousand queries are answered, none left out', () => {
  const lines = Array.from(
    { length: 10_000 },
    (_, index) => `{"from":"clinic/booking","to":"records/store","port":${index + 1}}`,
  );
  const { exitCode, out } = tortie([...READ, '--queries', '-'], lines.join('\n'));
  assert.equal(exitCode, 0);
  const verdicts = out
    .trimEnd()
    .split('\n')
    .map((line) => line.slice(0, 18));
  assert.equal(verdicts.length, 10_000);
  const allowed = verdicts.flatMap((line, index) => (line.includes('allow') ? [index + 1] : []));
  assert.deepEqual(allowed, [5432]);
});
