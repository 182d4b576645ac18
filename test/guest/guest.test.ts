// What takes another kernel than this machine's: the tests of `inside`, run in a guest in one go.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { test } from 'node:test';
import { type GuestRun, runInGuest } from './guest.ts';

const LIMIT_SECONDS = 480;

test('tests that need another kernel pass in a guest', async (t) => {
  const files = globSync('test/guest/inside/*.test.ts').sort();
  assert.ok(files.length > 0, 'run from the root of the project');
  // Without threads of its own V8 lasts: with them it has died there while it compiled, "it->second.Size() > offset".
  const flags = [
    '--single-threaded',
    '--test',
    '--test-isolation=none',
    '--test-force-exit',
    '--test-reporter=tap',
  ];
  const argv = [process.execPath, ...flags, ...files];
  let run = await runInGuest(argv, LIMIT_SECONDS);
  if (hasDiedAtStart(run)) {
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

/** V8 itself has been seen to die of a signal under emulation before any test began, which says nothing of them. */
function hasDiedAtStart({ status, output }: GuestRun): boolean {
  return status !== undefined && status > 128 && !/^ *(not )?ok \d+/m.test(output);
}

function reasonOf(run: GuestRun): string {
  return `status ${run.status}\n${run.output.slice(-20_000)}\nkernel:\n${run.console.slice(-5_000)}`;
}
