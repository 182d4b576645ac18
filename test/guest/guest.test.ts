// What takes another kernel than this machine's: the tests of `inside`, run in a guest in one go.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { test } from 'node:test';
import { type GuestRun, runInGuest } from './guest.ts';

const LIMIT_SECONDS = 480;
/** Where every third dies at its start, ten seconds each, that leaves one run in a thousand without a test. */
const BOOTS = 6;

test('tests that need another kernel pass in a guest', async (t) => {
  const files = globSync('test/guest/inside/*.test.ts').sort();
  assert.ok(files.length > 0, 'run from the root of the project');
  // V8 without threads of its own: the fewer, the seldomer it dies there.
  const flags = [
    '--single-threaded',
    '--test',
    '--test-isolation=none',
    '--test-force-exit',
    '--test-reporter=tap',
  ];
  const argv = [process.execPath, ...flags, ...files];
  let run = await runInGuest(argv, LIMIT_SECONDS);
  for (let boot = 1; boot < BOOTS && hasDiedAtStart(run); boot++) {
    t.diagnostic(`the guest's Node died before the first test, status ${run.status}: once more`);
    run = await runInGuest(argv, LIMIT_SECONDS);
  }
  t.diagnostic(`guest: ${run.seconds.toFixed(1)} s`);
  const results = [...run.output.matchAll(/^ *(not )?ok \d+ - (.*)$/gm)];
  assert.ok(results.length > 0, reasonOf(run));
  for (const [, failed, name = ''] of results) {
    await t.test(name, () => assert.equal(failed, undefined, reasonOf(run)));
  }
  assert.equal(run.status, 0, reasonOf(run));
});

/**
 * Node with native code loaded dies of a signal under emulation now and then, of a check of V8's own or of a bad
 * access, before any test has begun. That says nothing of the tests; it has not been seen on a real processor.
 */
function hasDiedAtStart({ status, output }: GuestRun): boolean {
  return status !== undefined && status > 128 && !/^ *(not )?ok \d+/m.test(output);
}

function reasonOf(run: GuestRun): string {
  return `status ${run.status}\n${run.output.slice(-20_000)}\nkernel:\n${run.console.slice(-5_000)}`;
}
