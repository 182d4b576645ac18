// Verdicts a second of the reference, in the process and through "tortie explain --queries".
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadManifests, type Resource } from '#api';
import { buildWorld, evaluate, type Packet, parseParty } from '#policy';
import { podsOf, world as randomWorld } from '../test/worlds.ts';
import { printFigure, printMachine, rate, timed } from './measurement.ts';
import { withScratch } from './scratch.ts';

const SECONDS = 3;
const SEED = 1;
const WORLDS = 20;
const LINES = 100_000;
const PORTS = [80, 8080, 5432];
const SHOP = new URL('../examples/shop/', import.meta.url).pathname;
const LAUNCHER = new URL('../bin/tortie', import.meta.url).pathname;

interface Query {
  readonly from: string;
  readonly to: string;
  readonly port: number;
}

function shop(): Resource[] {
  const files = readdirSync(SHOP).filter((name) => name.endsWith('.yaml'));
  return files.flatMap((name) => {
    const { resources, problems } = loadManifests(readFileSync(join(SHOP, name), 'utf8'), name);
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    return resources;
  });
}

/** Every pod to every other one, on each port. */
function queriesOf(resources: readonly Resource[]): Query[] {
  const pods = podsOf(resources).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  return pods.flatMap((from) =>
    pods.filter((to) => to !== from).flatMap((to) => PORTS.map((port) => ({ from, to, port }))),
  );
}

/** Over all queries of all worlds in turn. */
function verdictsASecond(worlds: readonly (readonly Resource[])[]): number {
  const questions = worlds.flatMap((resources) => {
    const world = buildWorld(resources);
    return queriesOf(resources).map(({ from, to, port }) => {
      const parties = { from: parseParty(world, from), to: parseParty(world, to) };
      return { world, packet: { ...parties, protocol: 6, port } satisfies Packet };
    });
  });
  let next = 0;
  return rate(() => {
    const question = questions[next++ % questions.length];
    if (question) evaluate(question.world, question.packet);
  }, SECONDS);
}

/** Seconds of one process that answers so many lines, its start included. */
function explain(folder: string, queries: readonly Query[], lines: number): number {
  const asked = join(folder, 'queries.jsonl');
  const answers = join(folder, 'answers.jsonl');
  const text = Array.from({ length: lines }, (_, index) =>
    JSON.stringify(queries[index % queries.length]),
  );
  writeFileSync(asked, `${text.join('\n')}\n`);
  const output = openSync(answers, 'w');
  const seconds = timed(() => {
    execFileSync(LAUNCHER, ['explain', '-f', SHOP, '--queries', asked], {
      stdio: ['ignore', output, 'inherit'],
    });
  });
  closeSync(output);
  const given = readFileSync(answers, 'utf8').split('\n').length - 1;
  if (given !== lines) throw new Error(`${given} answers to ${lines} queries`);
  return seconds;
}

await withScratch(async (scratch) => {
  printMachine();
  const resources = shop();
  const shopRate = verdictsASecond([resources]);
  printFigure('evaluate, shop example', shopRate, 'verdicts/s');
  const random = fc.sample(randomWorld, { seed: SEED, numRuns: WORLDS });
  const randomRate = verdictsASecond(random.map(({ resources: each }) => each));
  printFigure(`evaluate, ${WORLDS} random worlds of seed ${SEED}`, randomRate, 'verdicts/s', {
    name: 'the shop',
    figure: shopRate,
  });
  const folder = scratch.folder();
  const queries = queriesOf(resources);
  explain(folder, queries, 1);
  const start = explain(folder, queries, 1);
  printFigure('explain --queries, one line', start * 1000, 'ms');
  const all = explain(folder, queries, LINES);
  printFigure(`explain --queries, ${LINES} lines with the start`, LINES / all, 'lines/s', {
    name: 'evaluate',
    figure: shopRate,
  });
});
