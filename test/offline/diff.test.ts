// `tortie diff`: what a change opens and closes, in words and as JSON, and what it refuses.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXAMPLE, folderWith, tortie } from './tortie.ts';

const CLUSTER = join(EXAMPLE, 'cluster.yaml');
const POLICIES = join(EXAMPLE, 'policies.yaml');

test('policies written differently that mean the same are no difference', () => {
  const converted = tortie(['convert', '-f', EXAMPLE]).out;
  const { exitCode, out, err } = tortie(['diff', EXAMPLE, '-', '--exit-code'], converted);
  assert.deepEqual([exitCode, out, err], [0, 'No flow opens or closes.\n', '']);
});

test('what opens and closes is named with who, whom and the rules that decided', (context) => {
  const changed = readFileSync(POLICIES, 'utf8')
    .replace('destination: {ports: [5432]}', 'destination: {ports: [5433]}')
    .replace('port: 8443', 'port: 8444');
  const folder = folderWith(context, { 'new.yaml': changed });
  const words = ['diff', POLICIES, join(folder, 'new.yaml'), '-f', CLUSTER];
  const { exitCode, out, err } = tortie(words);
  assert.deepEqual([exitCode, err], [0, '']);
  assert.match(out, /^\+ clinic\/booking → records\/store {3}tcp 5433$/m);
  assert.match(out, /^- clinic\/booking → records\/store {3}tcp 5432$/m);
  assert.match(out, /^- clinic\/portal → clinic\/booking {3}tcp 8443$/m);
  assert.match(out, /was allowed by rule 0 of NetworkPolicy records\/store in tier default/);
  const judged = tortie([...words, '--exit-code', '-o', 'json']);
  assert.equal(judged.exitCode, 1);
  assert.equal(judged.err, 'There are flows that open or close\n');
  const { opened, closed } = JSON.parse(judged.out) as { opened: unknown[]; closed: unknown[] };
  assert.deepEqual([opened.length, closed.length], [2, 2]);
});

test('what cannot be compared ends with code 2 and says why', () => {
  const twice = tortie(['diff', '-', '-']);
  assert.deepEqual(twice, {
    exitCode: 2,
    out: '',
    err: 'Cannot read standard input twice: name a file for one side\n',
  });
  const one = tortie(['diff', EXAMPLE]);
  assert.deepEqual(
    [one.exitCode, one.err],
    [2, "Cannot run this: missing required argument 'new'\n"],
  );
  const absent = tortie(['diff', '/nonexistent', EXAMPLE]);
  assert.equal(absent.exitCode, 2);
  assert.match(absent.err, /^Cannot read \/nonexistent: /);
});
