// Flow log files: written at the end of an interval, in their limits, whole after anything; what is lost is counted.
import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AGENT_PARAMETERS, defaultValue, type ParameterValue } from '#api';
import type { Flow } from '#flows';
import { FlowFileLog } from './flow-file-log.ts';
import { FlowLogFile } from './flow-log-file.ts';

function flow(sourcePort: number, more: Partial<Flow> = {}): Flow {
  const end = (name: string, address: string): Flow['source'] => {
    return { type: 'workload', namespace: 'shop', name, address, labels: {} };
  };
  return {
    startTime: 0,
    endTime: 0,
    reporter: 'src',
    node: 'one',
    source: end('cart', '10.0.0.1'),
    destination: end('db', '10.0.0.2'),
    protocol: 'tcp',
    sourcePort,
    port: 5432,
    verdict: 'allow',
    packets: { in: 1, out: 2 },
    bytes: { in: 60, out: 120 },
    connections: { started: 1, completed: 1, live: 0 },
    policies: [],
    ...more,
  };
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tortie-flow-logs-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The defaults of the parameters, with files to be written, but for these. */
function parameters(directory: string, more: Record<string, ParameterValue> = {}) {
  const values = new Map(AGENT_PARAMETERS.map((one) => [one.name, defaultValue(one)]));
  values.set('FlowLogsFileEnabled', true).set('FlowLogsFileDirectory', directory);
  for (const [name, value] of Object.entries(more)) values.set(`FlowLogs${name}`, value);
  return values;
}

function linesIn(directory: string, name = 'flows.log'): Record<string, unknown>[] {
  const text = readFileSync(join(directory, name), 'utf8');
  assert.ok(text === '' || text.endsWith('\n'));
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let look = 0; look < 600 && !holds(); look++) await sleep(20);
  assert.ok(holds(), what);
}

test('entries are written at the end of an interval, with the defaults of the parameters', async (t) => {
  const directory = join(folder(t), 'flowlogs');
  let now = 60_000;
  const log = new FlowFileLog({ host: 'one', log: assert.fail, now: () => now });
  t.after(() => log.stop());
  log.setParameters(parameters(directory));
  log.add([flow(1), flow(2), flow(3, { verdict: 'deny' })]);
  assert.deepEqual([log.waiting('allow'), log.waiting('deny')], [1, 1]);
  now += 300_000;
  await until('written', () => log.counts.written === 2);
  const told = linesIn(directory).map((entry) =>
    ['action', 'num_flows', 'source_name', 'start_time', 'end_time'].map((name) => entry[name]),
  );
  assert.deepEqual(told, [
    ['allow', 2, '-', 60, 360],
    ['deny', 1, 'cart', 60, 360],
  ]);
  assert.equal(log.waiting('allow'), 0);
});

test('nothing is written unless it is asked for; what changes goes as it was to be before', async (t) => {
  const directory = folder(t);
  const log = new FlowFileLog({ host: 'one', log: assert.fail });
  log.setParameters(parameters(directory, { FileEnabled: false }));
  log.add([flow(1)]);
  log.setParameters(parameters(directory, { FileAggregationKindForAllowed: 0 }));
  log.add([flow(2)]);
  log.setParameters(parameters(directory, { FileAggregationKindForAllowed: 3 }));
  log.add([flow(3)]);
  log.setParameters(parameters(directory, { FileEnabledForAllowed: false }));
  log.add([flow(4)]);
  await log.stop();
  const told = linesIn(directory).map((entry) => [entry['source_port'], entry['dest_port']]);
  assert.deepEqual(told, [
    [2, 5432],
    [null, null],
  ]);
});

test('an interval with very many entries ends early', async (t) => {
  const directory = folder(t);
  const log = new FlowFileLog({ host: 'one', log: assert.fail, entriesMax: 10 });
  log.setParameters(parameters(directory, { FileAggregationKindForAllowed: 0 }));
  log.add(Array.from({ length: 10 }, (_, port) => flow(port + 1)));
  await until('written', () => log.counts.written === 10);
  await log.stop();
  assert.equal(linesIn(directory).length, 10);
});

test('files are set aside by size, the oldest go, and no line is cut or lost meanwhile', async (t) => {
  const directory = folder(t);
  const file = new FlowLogFile({ directory, maxBytes: 100, maxFiles: 3 });
  const lines = Array.from({ length: 20 }, (_, index) =>
    JSON.stringify({ index, text: 'x'.repeat(15) }),
  );
  for (const line of lines.slice(0, 10)) assert.deepEqual(await file.append([line]), { taken: 1 });
  assert.deepEqual(await file.append(lines.slice(10)), { taken: 10 });
  const names = readdirSync(directory)
    .map((name) => name.slice(0, -'.log'.length))
    .sort((a, b) => (a === 'flows' ? 1 : b === 'flows' ? -1 : a < b ? -1 : 1))
    .map((name) => `${name}.log`);
  assert.equal(names.length, 4);
  assert.equal(names.at(-1), 'flows.log');
  const kept = names.flatMap((name) => linesIn(directory, name).map(({ index }) => index));
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, index) => 20 - kept.length + index),
  );
  assert.ok(kept.length >= 8 && kept.length <= 12, String(kept.length));
});

test('the part of a line that a killed writer left is taken away', async (t) => {
  const directory = folder(t);
  const options = { directory, maxBytes: 1_000_000, maxFiles: 1 };
  await new FlowLogFile(options).append(['{"a":1}', '{"a":2}']);
  for (const rest of ['{"a":3', `{"a":"${'x'.repeat(200_000)}`]) {
    appendFileSync(join(directory, 'flows.log'), rest);
    await new FlowLogFile(options).append(['{"a":4}']);
  }
  assert.deepEqual(
    linesIn(directory).map(({ a }) => a),
    [1, 2, 4, 4],
  );
  writeFileSync(join(directory, 'flows.log'), '{"a"');
  await new FlowLogFile(options).append(['{"a":5}']);
  assert.deepEqual(linesIn(directory), [{ a: 5 }]);
});

test('entries wait for a disk that takes none, are written later, and what is too much is counted', async (t) => {
  const parent = folder(t);
  const directory = join(parent, 'flowlogs');
  writeFileSync(directory, 'a file in the way');
  const told: string[] = [];
  const log = new FlowFileLog({
    host: 'one',
    log: (message) => told.push(message),
    entriesMax: 1,
    pendingMax: 2_000,
  });
  log.setParameters(parameters(directory, { FileAggregationKindForAllowed: 0 }));
  for (let port = 1; port <= 10; port++) log.add([flow(port)]);
  await until('said', () => told.length === 1);
  assert.match(told[0] ?? '', /^Cannot write flow logs to .*flowlogs: /);
  const { lost, written } = log.counts;
  assert.ok(lost > 0 && lost < 10 && written === 0, String(lost));
  rmSync(directory);
  log.add([flow(99)]);
  await log.stop();
  assert.match(told[1] ?? '', /^Flow logs are written again; given up so far: [1-9]/);
  assert.equal(linesIn(directory).length + log.counts.lost, 11);
  const last = new FlowFileLog({ host: 'one', log: (message) => told.push(message) });
  last.setParameters(parameters(join(directory, 'flows.log'), { FileMaxFiles: 1 }));
  last.add([flow(1), flow(2)]);
  await last.stop();
  assert.match(told.at(-1) ?? '', /^Flow logs end, 1 entries of which could not be written$/);
});
