// The policy library in a browser: bundled as it is, it gives headless Chromium the answers that Node.js gets.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { chromium, type BrowserContext } from 'playwright-core';
import { loadManifests } from '#api';
import { buildWorld, diffResources, evaluate, formatExplanation, lint, parseParty } from '#policy';

const ROOT = join(import.meta.dirname, '..', '..');
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const skip = existsSync(CHROMIUM) ? false : `needs Chromium at ${CHROMIUM}`;

/** What the page can do: everything that the libraries export. */
const library = {
  loadManifests,
  buildWorld,
  diffResources,
  evaluate,
  formatExplanation,
  lint,
  parseParty,
};
type Library = typeof library;

/** Runs alike here and in the page: nothing of this file may be used in it. */
function judge(tortie: Library, manifests: string): object {
  const { resources, problems } = tortie.loadManifests(manifests, 'shop');
  const world = tortie.buildWorld(resources);
  const names = [...world.workloads.keys(), 'node:node-1', '203.0.113.10', '2001:db8::1'];
  const parties = names.flatMap((name) => {
    const party = tortie.parseParty(world, name);
    return name.includes('::') ? [] : [{ name, party }];
  });
  const probes = [
    { protocol: 6, port: 8080 },
    { protocol: 6, port: 5432 },
    { protocol: 6, port: 443 },
    { protocol: 1, icmpType: 8 },
  ];
  const answers = parties.flatMap((from) =>
    parties.flatMap((to) =>
      probes.map((probe) => {
        const packet = { ...probe, from: from.party, to: to.party };
        const explanation = tortie.evaluate(world, packet);
        const text = tortie.formatExplanation(explanation, packet, world);
        return { from: from.name, to: to.name, probe, explanation, text };
      }),
    ),
  );
  const fewer = resources.filter(({ metadata }) => metadata.name !== 'shop-front');
  const diff = tortie.diffResources(resources, fewer);
  return { problems, answers, findings: tortie.lint(resources), diff };
}

/** Self-contained: a browser has neither Node.js' modules nor this project's folders. */
async function bundle(): Promise<string> {
  const contents = `
    export * from './src/policy/index.ts';
    export { loadManifests } from './src/api/index.ts';`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: ROOT, loader: 'ts' },
    bundle: true,
    write: false,
    minify: true,
    format: 'iife',
    globalName: 'tortie',
    platform: 'browser',
    logLevel: 'silent',
  });
  return outputFiles[0]?.text ?? '';
}

function shop(): string {
  const folder = join(ROOT, 'examples', 'shop');
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  return files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n---\n');
}

let profile = '';
let browser: BrowserContext | undefined;

before(async () => {
  if (skip !== false) return;
  profile = mkdtempSync(join(tmpdir(), 'tortie-chromium-'));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: ARGUMENTS,
  });
});

after(async () => {
  await browser?.close();
  if (profile !== '') rmSync(profile, { recursive: true, force: true });
});

test('the browser explains, lints and compares the shop as Node.js does', { skip }, async () => {
  const script = await bundle();
  process.stdout.write(`# the bundle has ${Math.ceil(script.length / 1024)} KiB\n`);
  const page = await browser?.newPage();
  assert.ok(page);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  await page.addScriptTag({ content: script });
  const manifests = shop();
  const found = await page.evaluate<unknown>(
    `(${judge.toString()})(tortie, ${JSON.stringify(manifests)})`,
  );
  assert.deepEqual(faults, []);
  const expected: unknown = JSON.parse(JSON.stringify(judge(library, manifests)));
  assert.deepEqual(found, expected);
  const { answers } = found as { answers: { explanation: { verdict: string } }[] };
  const verdicts = new Set(answers.map(({ explanation }) => explanation.verdict));
  assert.deepEqual([...verdicts].sort(), ['allow', 'deny']);
});
