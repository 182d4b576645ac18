// Start with a million objects: time against reading the rows bare, and memory an object against parsed ones.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { argv } from 'node:process';
import { DatabaseSync } from 'node:sqlite';
import { openSqliteStore, STORE_FILE } from '#datastore';
import { median, printFigure, printMachine } from './measurement.ts';
import { withScratch } from './scratch.ts';

const OBJECTS = Number(process.env['OBJECTS'] ?? 1_000_000);
/** Of so many kinds, each in so many namespaces. */
const KINDS = 10;
const NAMESPACES = 100;
/** For the memory of objects that are held parsed. */
const PARSED = 100_000;
const ROUNDS = 3;
const PAGE = 500;
const PAGES = 200;
const WRITES = 5_000;

/** What a fresh process measures. */
interface Figures {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Resident, above what the process had before. */
  readonly bytes: number;
  readonly heapBytes: number;
  readonly pageMs: number;
  readonly earlierPageMs: number;
}

/** About a kilobyte, as a policy is. */
function textOf(index: number): string {
  const rules = Array.from({ length: 8 }, (_, rule) => ({
    action: 'Allow',
    protocol: 'TCP',
    source: { selector: `app == "client-${rule}" && tier in {"front", "back"}` },
    destination: { ports: [8000 + rule] },
  }));
  const metadata = { name: `policy-${index}`, labels: { app: `app-${index % 50}` } };
  return JSON.stringify({ metadata, spec: { rules } });
}

/** A store that was written in no order of names, and compacted. */
async function fill(path: string): Promise<void> {
  const store = await openSqliteStore({ path, firstRevision: OBJECTS + 1 });
  await store.close();
  const database = new DatabaseSync(path);
  database.exec('PRAGMA synchronous = OFF; BEGIN');
  const place = database.prepare('INSERT INTO place VALUES (?, ?, ?)');
  for (let id = 0; id < KINDS * NAMESPACES; id++) {
    place.run(id + 1, `kind-${id % KINDS}`, `namespace-${Math.floor(id / KINDS)}`);
  }
  const insert = database.prepare('INSERT INTO history VALUES (?, ?, ?, ?)');
  for (let revision = 1; revision <= OBJECTS; revision++) {
    const index = (revision * 7919) % OBJECTS;
    insert.run(revision, 1 + (index % (KINDS * NAMESPACES)), `policy-${index}`, textOf(index));
  }
  database.exec('COMMIT');
  database.close();
}

function readBare(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true });
  const all = database.prepare('SELECT revision, place, name, value FROM history');
  let length = 0;
  for (const row of all.iterate()) length += String(row['value']).length;
  database.close();
  if (length < OBJECTS) throw new Error('rows are missing');
}

function parseSome(): Map<string, unknown> {
  const parsed = new Map<string, unknown>();
  for (let index = 0; index < PARSED; index++) {
    parsed.set(`policy-${index}`, JSON.parse(textOf(index)));
  }
  return parsed;
}

function memory(): { rss: number; heapUsed: number } {
  // `--expose-gc`
  for (let turn = 0; turn < 3; turn++) globalThis.gc?.();
  return process.memoryUsage();
}

async function start(path: string): Promise<{ held: unknown; pages?: () => Promise<number[]> }> {
  const store = await openSqliteStore({ path });
  const page = async (at?: number): Promise<number> => {
    const begin = performance.now();
    const { items } = await store.list('kind-3', { limit: PAGE, at });
    if (items.length !== Math.min(PAGE, OBJECTS / KINDS)) throw new Error('the page is not full');
    return performance.now() - begin;
  };
  const repeated = async (at?: number): Promise<number> => {
    const times: number[] = [];
    for (let turn = 0; turn < PAGES; turn++) times.push(await page(at));
    return median(times);
  };
  const pages = async (): Promise<number[]> => {
    const at = store.revision;
    const now = await repeated();
    const writes = Array.from({ length: WRITES }, (_, index) => {
      const key = {
        kind: 'kind-3',
        namespace: `namespace-${index % NAMESPACES}`,
        name: `p${index}`,
      };
      return store.write({ key, value: { index } });
    });
    await Promise.all(writes);
    const earlier = await repeated(at);
    await store.close();
    return [now, earlier];
  };
  return { held: store, pages };
}

/** In a fresh process. */
async function measure(mode: string, path: string): Promise<Figures> {
  const before = memory();
  const cpu = process.cpuUsage();
  const begin = performance.now();
  const { held, pages }: { held: unknown; pages?: () => Promise<number[]> } =
    mode === 'store' ? await start(path) : { held: mode === 'bare' ? readBare(path) : parseSome() };
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const after = memory();
  const [pageMs = 0, earlierPageMs = 0] = (await pages?.()) ?? [];
  void held;
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    bytes: after.rss - before.rss,
    heapBytes: after.heapUsed - before.heapUsed,
    pageMs,
    earlierPageMs,
  };
}

function inFreshProcess(mode: string, path: string): Figures {
  const words = ['--expose-gc', '--max-old-space-size=8192', import.meta.filename, mode, path];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' })) as Figures;
}

const [, , mode, file] = argv;
if (mode !== undefined && file !== undefined) {
  process.stdout.write(JSON.stringify(await measure(mode, file)));
} else {
  await withScratch(async (scratch) => {
    printMachine();
    const path = join(scratch.folder(), STORE_FILE);
    await fill(path);
    const bare: Figures[] = [];
    const store: Figures[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      bare.push(inFreshProcess('bare', path));
      store.push(inFreshProcess('store', path));
    }
    const of = (all: readonly Figures[], figure: keyof Figures): number =>
      median(all.map((each) => each[figure]));
    const parsed = inFreshProcess('parsed', path);
    const name = 'reading the rows with bare node:sqlite';
    printFigure(`start with ${OBJECTS.toLocaleString('en')} objects`, of(store, 'seconds'), 's', {
      name,
      figure: of(bare, 'seconds'),
    });
    printFigure('CPU time of that, both threads', of(store, 'cpuSeconds'), 's', {
      name,
      figure: of(bare, 'cpuSeconds'),
    });
    printFigure('memory an object', of(store, 'bytes') / OBJECTS, 'bytes', {
      name: 'the same held parsed',
      figure: parsed.bytes / PARSED,
    });
    printFigure('of its JSON text alone', of(store, 'bytes') / OBJECTS / textOf(1).length, 'times');
    printFigure('heap an object', of(store, 'heapBytes') / OBJECTS, 'bytes');
    printFigure(`page of ${PAGE}`, of(store, 'pageMs'), 'ms');
    printFigure(`page as of ${WRITES} writes ago`, of(store, 'earlierPageMs'), 'ms');
  });
}
