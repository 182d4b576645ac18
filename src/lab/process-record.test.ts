// Tests of starting, recognising and ending processes, with real ones.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LabFolder } from './lab-folder.ts';
import { launch } from './launch.ts';
import {
  findProcesses,
  isAlive,
  processStartTime,
  readProcessRecords,
  signalProcess,
} from './process-record.ts';

let count = 0;

function makeFolder(t: TestContext): LabFolder {
  const labs = mkdtempSync(join(tmpdir(), 'tortie-lab-test-'));
  t.after(() => rmSync(labs, { recursive: true, force: true }));
  return new LabFolder(`test-${process.pid}-${++count}`, labs);
}

test("a process is launched with a record, a log and the lab's mark, and found by it", async (t) => {
  const folder = makeFolder(t);
  const argv = [process.execPath, '-e', 'console.log("here"); setInterval(() => 0, 1000)'];
  const launched = launch(folder, { label: 'pod/a/b', argv });
  t.after(() => launched.end(1000));
  const [record] = readProcessRecords(folder);
  assert.equal(record?.pid, launched.pid);
  assert.ok(record && isAlive(record));
  assert.deepEqual(
    findProcesses([], folder.name).map(({ pid }) => pid),
    [launched.pid],
  );
  assert.deepEqual(findProcesses([], `${folder.name}-other`), []);
  await launched.end(5000);
  assert.equal(isAlive(record), false);
  const exit = await launched.ended;
  assert.equal(exit.signal, 'SIGTERM');
  assert.deepEqual(readProcessRecords(folder)[0]?.exit, exit);
  assert.match(readFileSync(launched.log, 'utf8'), /^(here\n)?$/);
});

test('a process that does not end when asked is killed after the grace', async (t) => {
  const folder = makeFolder(t);
  const program = 'process.on("SIGTERM", () => 0); console.log("up"); setInterval(() => 0, 1000)';
  const launched = launch(folder, { label: 'x', argv: [process.execPath, '-e', program] });
  while (!readFileSync(launched.log, 'utf8').includes('up')) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await launched.end(50);
  assert.equal((await launched.ended).signal, 'SIGKILL');
});

test('a program that cannot be started ends with a code like any other', async (t) => {
  const folder = makeFolder(t);
  const launched = launch(folder, { label: 'x', argv: ['/nonexistent/program'] });
  assert.equal((await launched.ended).code, 127);
  await launched.end(10);
});

test('another process with the same pid is never signalled', () => {
  const startTime = processStartTime(process.pid);
  assert.ok(startTime);
  assert.ok(isAlive({ pid: process.pid, startTime }));
  const other = { pid: process.pid, startTime: `${startTime}1` };
  assert.equal(isAlive(other), false);
  assert.equal(signalProcess(other, 'SIGKILL'), false);
  assert.equal(processStartTime(4_194_305), undefined);
});
