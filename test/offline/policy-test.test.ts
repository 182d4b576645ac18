// `tortie test`: what holds, what fails and why, the report for build servers, and mistakes in the test itself.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXAMPLE, folderWith, tortie } from './tortie.ts';

const BOOKING = 'KubernetesNetworkPolicy clinic/booking';
const NO_PROTOCOL =
  '"tpc" is no protocol: use icmp, tcp, udp, icmpv6, sctp, udplite or a number from 0 to 255';
const MANIFESTS = [join(EXAMPLE, 'cluster.yaml'), join(EXAMPLE, 'policies.yaml')];

function policyTest(...assertions: readonly string[]): string {
  const lines = assertions.map((it) => `    - ${it}\n`).join('');
  return `apiVersion: tortie.dev/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n  assertions:\n${lines}`;
}

test('the example holds: lists are every combination, and manifests are found beside the test', () => {
  const { exitCode, out, err } = tortie(['test', '-f', join(EXAMPLE, 'policy-test.yaml')]);
  assert.deepEqual([exitCode, err], [0, '']);
  assert.match(
    out,
    /\n {2}ok {4}records are for readers alone: clinic\/kiosk -> records\/store, udp\/5432: deny\n/,
  );
  assert.match(out, /\nAll of 23 assertions hold\n$/);
});

const FAILING: readonly (readonly [assertion: string, failure: string])[] = [
  [
    '{from: clinic/booking, to: records/store, port: 5432, expect: deny}',
    'expected deny, but it is allow',
  ],
  [
    '{from: clinic/portl, to: records/store, port: 1, expect: deny}',
    'Cannot find pod "clinic/portl": did you mean clinic/portal?',
  ],
  [
    '{from: clinic/portal, to: records/store, port: 1, expect: deny, by: {policy: records/store}}',
    'it is deny, but not by policy records/store: ingress by the default action of tier default',
  ],
  [
    '{from: clinic/portal, to: clinic/booking, port: 8443, expect: allow, by: {tier: default, rule: 3}}',
    'it is allow, but not by rule 3 of tier default: egress by no policy and ' +
      `ingress by rule 0 of ${BOOKING} in tier default`,
  ],
  [
    '{from: clinic/portal, to: records/store, port: 1, expect: deny, by: {direction: egress}}',
    'it is deny, but not by that half: no egress decides so',
  ],
];

test('what fails says what was found, with the whole explanation, and ends with code 1', () => {
  const text = policyTest(...FAILING.map(([assertion]) => assertion));
  const { exitCode, out, err } = tortie(['test', '-f', '-', ...MANIFESTS], text);
  assert.equal(exitCode, 1);
  assert.equal(err, '5 of 5 assertions failed\n');
  for (const [index, [, failure]] of FAILING.entries()) {
    assert.ok(out.includes(`        spec.assertions[${index}]: ${failure}\n`), failure);
  }
  assert.match(out, /\n {8}ALLOW {2}clinic\/booking -> records\/store, TCP port 5432\n/);
  assert.match(out, /\n {8}What to change\n/);
});

test('who decides may be said by direction, tier, policy and rule, and null means none', () => {
  const text = policyTest(
    '{from: clinic/portal, to: clinic/booking, port: 8443, expect: allow, ' +
      `by: {direction: ingress, tier: default, policy: ${BOOKING}, rule: 0}}`,
    '{from: clinic/portal, to: records/store, port: 1, expect: deny, by: {tier: default, policy: null}}',
    '{from: clinic/portal, to: clinic/booking, port: 8443, expect: allow, by: {direction: egress, tier: null}}',
  );
  assert.equal(tortie(['test', '-f', '-', ...MANIFESTS], text).exitCode, 0);
});

test('the JUnit report counts, names and explains, and escapes what XML needs escaped', (context) => {
  const text = policyTest(
    '{name: "<a> & \\"b\\"", from: clinic/booking, to: records/store, port: 5432, expect: deny}',
    '{from: clinic/booking, to: records/store, port: 5432, expect: allow}',
  );
  const folder = folderWith(context, {});
  const file = join(folder, 'report.xml');
  const words = ['test', '-f', '-', ...MANIFESTS, '-o', 'junit', '--junit', file];
  const { exitCode, out } = tortie(words, text);
  assert.equal(exitCode, 1);
  assert.equal(readFileSync(file, 'utf8'), out);
  const [head, suites, suite, first] = out.split('\n');
  assert.equal(head, '<?xml version="1.0" encoding="UTF-8"?>');
  assert.equal(suites, '<testsuites name="tortie" tests="2" failures="1" errors="0">');
  assert.equal(suite, '  <testsuite name="t" tests="2" failures="1" errors="0" file="stdin">');
  const title = '&lt;a&gt; &amp; &quot;b&quot;: clinic/booking -&gt; records/store, tcp/5432: deny';
  assert.equal(first, `    <testcase classname="t" name="${title}">`);
  assert.match(
    out,
    /<failure message="expected deny, but it is allow">ALLOW {2}clinic\/booking -&gt; /,
  );
  const unwritable = tortie([...words.slice(0, -1), '/nonexistent/x.xml'], text);
  assert.equal(unwritable.exitCode, 1);
  assert.match(unwritable.err, /^Cannot write the report to \/nonexistent\/x\.xml: /);
});

test('mistakes in a test come all at once, with line and field, and end with code 2', () => {
  const text = `apiVersion: tortie.dev/v1
kind: PolicyTest
spec:
  manifest: [cluster.yaml]
  assertions:
    - {from: a/b, too: c/d, port: 80, expect: allow}
    - {from: a/b, to: [], port: [80, udp/x, 99999], expect: maybe}
    - {from: a/b, to: c/d, protocol: tpc, port: 80, expect: deny, by: {rule: -1, polcy: x}}
    - {from: a/b, to: c/d}
    - {from: a/b, to: c/d, protocol: udp, port: tcp/80, expect: deny}
    - nonsense
`;
  const { exitCode, out, err } = tortie(['test', '-f', '-'], text);
  assert.deepEqual([exitCode, out], [2, '']);
  assert.deepEqual(err.trimEnd().split('\n'), [
    'Cannot use these manifests:',
    'stdin:4: spec.manifest: is not known: did you mean manifests?',
    'stdin:6: spec.assertions[0].too: is not known: did you mean to?',
    'stdin:6: spec.assertions[0].to: is required: namespace/pod, node:NAME, an address, or a list of them',
    'stdin:7: spec.assertions[1].expect: "maybe" is neither allow nor deny',
    'stdin:7: spec.assertions[1].to: is required: namespace/pod, node:NAME, an address, or a list of them',
    'stdin:7: spec.assertions[1].port[1]: "x" is no number from 1 to 65535',
    'stdin:7: spec.assertions[1].port[2]: 99999 is no number from 1 to 65535',
    `stdin:8: spec.assertions[2].protocol: ${NO_PROTOCOL}`,
    'stdin:8: spec.assertions[2].by.polcy: is not known: did you mean policy?',
    'stdin:8: spec.assertions[2].by.rule: -1 is no index of a rule: they count from 0',
    'stdin:9: spec.assertions[3].expect: is required: allow or deny',
    'stdin:9: spec.assertions[3].port: is missing: TCP needs a port',
    'stdin:10: spec.assertions[4].port: "tcp/80" names a protocol, and so does protocol; leave one out',
    'stdin:11: spec.assertions[5]: must be an object, is "nonsense"',
  ]);
});

test('a test among the manifests of another command is passed over', () => {
  const { exitCode, err } = tortie(['matrix', '-f', EXAMPLE]);
  assert.deepEqual([exitCode, err], [0, '']);
});
