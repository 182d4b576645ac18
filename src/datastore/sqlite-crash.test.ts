// A process with 64 writers is killed at random points, again and again: nothing acknowledged is lost.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { backupStore, restoreStore } from './sqlite-backup.ts';
import { checkStore } from './sqlite-check.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { Item, Line } from './writer-fixture.ts';

/** The long form: FAULTS=1000. */
const KILLS = Number(process.env['FAULTS'] ?? 30);
const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WRITER = join(import.meta.dirname, 'writer-fixture.ts');
/** Every fourth is killed this long after its start, when it may not have opened the store yet. */
const START_MS = 250;
/** The others this long after their first line. */
const WRITING_MS = 120;
const RESTORE_KILLS = Math.ceil(KILLS / 3);
const RESTORING_MS = 150;

/** What the lines of all processes together say; each is checked against those before it. */
class History {
  /** What a watch that goes on after each kill was told: the last of each key. */
  readonly state = new Map<string, Item>();
  told = 0;
  events = 0;
  acknowledged = 0;
  /** Those of the last process. */
  #recent = new Map<number, Item>();
  /** When processes lived whose first write was not told yet: a process goes on at the time of its start. */
  #lives: (readonly [from: number, to: number])[] = [];

  /** What follows was written by a process of that time, or by one before it. */
  begin(from: number, to: number): void {
    this.#recent = new Map();
    this.#lives.push([from, to]);
  }

  take(line: Line): void {
    if (line.type === 'list') this.#listed(line.items, line.revision);
    else if (line.type === 'event') this.#event(line);
    else {
      const event = this.#recent.get(line.revision);
      assert.equal(event?.name, line.name, `revision ${line.revision} is acknowledged, not told`);
      this.acknowledged++;
    }
  }

  /** All that was ever told is there, as it was at the last revision that was told. */
  #listed(items: readonly Item[], revision: number): void {
    if (this.told === 0) this.told = revision;
    assert.equal(revision, this.told);
    const known = [...this.state.values()].filter(({ value }) => value !== undefined);
    assert.deepEqual(
      items.toSorted((a, b) => a.revision - b.revision),
      known.toSorted((a, b) => a.revision - b.revision),
    );
  }

  #event({ name, revision, value }: Item): void {
    if (revision !== this.told + 1) {
      assert.ok(revision > this.told, 'no repeat, in order');
      const life = this.#lives.findIndex(([from, to]) => revision >= from && revision <= to);
      assert.ok(life >= 0, `no gap between ${this.told} and ${revision}`);
      this.#lives.splice(0, life + 1);
    }
    if (name === 'shared') {
      const before = this.state.get(name)?.value as { count: number } | undefined;
      assert.deepEqual(
        value,
        { count: (before?.count ?? 0) + 1 },
        'each counted on what was there',
      );
    }
    const item = { name, revision, ...(value === undefined ? {} : { value }) };
    this.state.set(name, item);
    this.#recent.set(revision, item);
    this.told = revision;
    this.events++;
  }
}

/** The whole lines of the file; the last one may have been cut off by the kill. */
async function linesOf(file: string): Promise<Line[]> {
  if (!existsSync(file)) return [];
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Line);
}

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed: number, index: number): number {
  let state = (seed + Math.imul(index + 1, 0x9e37_79b1)) | 0;
  state = Math.imul(state ^ (state >>> 16), 0x85eb_ca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2_ae35);
  return ((state ^ (state >>> 16)) >>> 0) / 2 ** 32;
}

async function untilItWrites(child: ChildProcess, file: string): Promise<void> {
  for (let turn = 0; turn < 20_000 && child.exitCode === null; turn++) {
    if (existsSync(file) && statSync(file).size > 0) return;
    await setTimeout(3);
  }
}

test('[ST1] [ST5] [ST7] killed at random under 64 writers: no acknowledged write lost, no watch gap', {
  timeout: (60 + KILLS * 4) * 1000,
}, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-crash-'));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const path = join(folder, 'store.db');
  const history = new History();
  let whileStarting = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const file = join(folder, `lines-${kill}`);
    const from = Date.now();
    const child = spawn(process.execPath, [WRITER, path, file, String(history.told)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = once(child, 'exit');
    if (kill % 4 === 3) await setTimeout(random(SEED, kill) * START_MS);
    else {
      await untilItWrites(child, file);
      await setTimeout(random(SEED, kill) * WRITING_MS);
    }
    child.kill('SIGKILL');
    await ended;
    const lines = await linesOf(file);
    if (lines.length === 0) whileStarting++;
    history.begin(from, Date.now());
    try {
      for (const line of lines) history.take(line);
      assert.equal(child.signalCode, 'SIGKILL', JSON.stringify(lines.at(-1) ?? 'nothing'));
    } catch (error) {
      throw new Error(`after kill ${kill + 1}, seed ${SEED}`, { cause: error });
    }
    await rm(file, { force: true });
  }
  const { problems, revision } = checkStore(path);
  assert.deepEqual(problems, []);
  assert.ok(revision >= history.told && history.acknowledged > KILLS);
  context.diagnostic(
    `${KILLS} kills (${whileStarting} while starting), ${history.events} events, ` +
      `${history.acknowledged} acknowledged, none lost; seed ${SEED}`,
  );
});

/** Restores one backup after the other until it is killed; says when it begins with the first. */
const RESTORER = `
  const { restoreStore } = await import(process.argv[1]);
  const [path, ...backups] = process.argv.slice(2);
  process.stdout.write('begins');
  for (let turn = 0; ; turn++) {
    restoreStore(backups[turn % backups.length], path, { replace: true, now: 1 });
  }`;

test('[ST14] killed within a restore: the store is the one before or the backup, and whole', {
  timeout: 120_000,
}, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-crash-'));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const [path, made] = [join(folder, 'store.db'), join(folder, 'made.db')];
  const backups: string[] = [];
  const store = await openSqliteStore({ path: made });
  for (const count of [5, 700]) {
    for (let n = 0; n < count; n++) {
      const key = { kind: 'pods', namespace: '', name: `p${n}` };
      await store.write({ key, value: { n, text: 'x'.repeat(1000) } });
    }
    backups.push(join(folder, `backup-${count}`));
    backupStore(made, backups.at(-1) ?? '');
  }
  await store.close();
  let revision = restoreStore(backups[0] ?? '', path, { replace: false, now: 1 }).revision;
  const program = pathToFileURL(join(import.meta.dirname, 'sqlite-backup.ts')).href;
  for (let kill = 0; kill < RESTORE_KILLS; kill++) {
    const words = ['--input-type=module', '--eval', RESTORER, program, path, ...backups];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    await Promise.race([once(child.stdout, 'data'), ended]);
    await setTimeout(random(SEED, kill) * RESTORING_MS);
    child.kill('SIGKILL');
    await ended;
    assert.equal(child.signalCode, 'SIGKILL');
    const report = checkStore(path);
    assert.deepEqual(report.problems, [], `kill ${kill + 1}, seed ${SEED}`);
    assert.ok(report.revision >= revision, 'a revision is never given again');
    revision = report.revision;
    const opened = await openSqliteStore({ path });
    const { length } = (await opened.list('pods')).items;
    assert.ok(length === 5 || length === 700, `${length} objects, seed ${SEED}`);
    revision = await opened.write({
      key: { kind: 'services', namespace: '', name: 'a' },
      value: {},
    });
    await opened.close();
  }
  restoreStore(backups[1] ?? '', path, { replace: true, now: 1 });
  const names = await readdir(folder);
  assert.deepEqual(
    names.filter((name) => name.includes('restoring')),
    [],
  );
  assert.ok(names.some((name) => name.includes('replaced-')));
});
