// Runs every test in order of cost, one runner a group, and ends with one line that counts them all.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';

interface Group {
  readonly name: string;
  readonly patterns: readonly string[];
  readonly concurrency: number;
}

/** Kernel, Kubernetes and lab tests share one machine's kernel: one file at a time. */
const GROUPS: readonly Group[] = [
  {
    name: 'unit',
    patterns: ['scripts/**/*.test.ts', 'src/**/*.test.ts', 'test/*.test.ts'],
    concurrency: 2,
  },
  { name: 'corpora', patterns: ['test/corpora/**/*.test.ts'], concurrency: 2 },
  { name: 'offline', patterns: ['test/offline/**/*.test.ts'], concurrency: 2 },
  { name: 'browser', patterns: ['test/browser/**/*.test.ts'], concurrency: 1 },
  { name: 'peers', patterns: ['test/peers/**/*.test.ts'], concurrency: 1 },
  { name: 'kernel', patterns: ['test/kernel/**/*.test.ts'], concurrency: 1 },
  { name: 'guest', patterns: ['test/guest/*.test.ts'], concurrency: 1 },
  { name: 'kubernetes', patterns: ['test/kubernetes/**/*.test.ts'], concurrency: 1 },
  { name: 'lab', patterns: ['test/lab/**/*.test.ts'], concurrency: 1 },
];
const TIMEOUT_MS = 20 * 60 * 1000;

const totals = { passed: 0, failed: 0, skipped: 0 };
const only = process.argv.slice(2);
for (const group of GROUPS) {
  if (only.length > 0 && !only.includes(group.name)) continue;
  const files = globSync([...group.patterns]).sort();
  if (files.length === 0) continue;
  const started = Date.now();
  const run = spawnSync(
    process.execPath,
    ['--test', '--test-reporter=tap', `--test-concurrency=${group.concurrency}`, ...files],
    { encoding: 'utf8', maxBuffer: 1 << 30, timeout: TIMEOUT_MS },
  );
  const count = (label: string) =>
    Number(new RegExp(`^# ${label} (\\d+)$`, 'm').exec(run.stdout)?.[1] ?? 0);
  const failed = count('fail') + count('cancelled');
  const crashed = run.status !== 0 && failed === 0 ? 1 : 0;
  totals.passed += count('pass');
  totals.skipped += count('skipped') + count('todo');
  totals.failed += failed + crashed;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `${group.name}: ${files.length} files, ${count('pass')} passed, ${failed + crashed} failed, ` +
      `${count('skipped')} skipped, ${seconds} s\n`,
  );
  for (const line of run.stdout.split('\n')) {
    const said = /^# \\# (.*)$/.exec(line)?.[1];
    if (said !== undefined) process.stdout.write(`  ${said}\n`);
  }
  if (failed + crashed > 0) process.stdout.write(`${run.stdout}\n${run.stderr}\n`);
}
process.stdout.write(
  `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`,
);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
