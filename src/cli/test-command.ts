// `tortie test`: judges what PolicyTest manifests say that policies must allow and deny.
import { writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { Command } from 'commander';
import type { Resource } from '#api';
import { type AssertionResult, buildWorld, checkAssertion } from '#policy';
import { CommandFailure, UsageError } from './cli-error.ts';
import { formatJunit, type TestRun } from './junit-report.ts';
import { loadManifestFiles, type LoadedTest } from './manifest-files.ts';
import { formatValue, readOutput } from './resource-output.ts';
import { readResources, type SourceFlags, withSourceFlags } from './resource-source.ts';
import type { Terminal } from './terminal.ts';
import { countText } from './validate-command.ts';

interface TestFlags extends SourceFlags {
  readonly output?: string;
  readonly junit?: string;
}

export function addTestCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('test')
    .summary('check that policies allow and deny what they must')
    .description(
      'Judges the assertions of PolicyTest manifests against the manifests that they name, those beside them after ' +
        '-f, or the running cluster. What fails is explained.',
    )
    .option('-o, --output <format>', 'junit or json')
    .option('--junit <file>', 'write the JUnit report to a file as well');
  withSourceFlags(command)
    .addHelpText(
      'after',
      `
A test, as in examples/offline/policy-test.yaml:
  apiVersion: tortie.dev/v1
  kind: PolicyTest
  metadata: {name: shop}
  spec:
    manifests: [shop.yaml]               # files and folders beside this one
    assertions:
      - {from: web/front, to: shop/cart, port: 8080, expect: allow}
      - name: nobody else
        from: [web/intruder, 203.0.113.7]  # lists mean every combination
        to: shop/cart
        port: [8080, udp/53]
        expect: deny
        by: {direction: ingress, tier: default, policy: shop/cart, rule: 1}  # optional, and each part of it

Examples:
  tortie test -f examples/offline/policy-test.yaml
  tortie test -f policy-test.yaml policies/ -o junit > report.xml

Exit codes: 0 all hold; 1 one fails; 2 the command, a test or a manifest is not understood.`,
    )
    .action((flags: TestFlags) => run(flags, terminal));
}

async function run(flags: TestFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['junit', 'json']);
  if (flags.filename === undefined) {
    throw new UsageError('Cannot test: name a PolicyTest with -f, see "tortie test --help"');
  }
  const recursive = flags.recursive === true;
  const { resources, tests } = await loadManifestFiles(flags.filename, { recursive }, terminal);
  if (tests.length === 0) {
    throw new UsageError(
      `Cannot test: there is no PolicyTest in ${flags.filename.join(', ')}; see "tortie test --help"`,
    );
  }
  const runs: TestRun[] = [];
  for (const loaded of tests) {
    const own = await resourcesOf(loaded, resources, flags, terminal);
    const world = buildWorld(own);
    const results = loaded.test.assertions.map((it) => checkAssertion(world, it));
    runs.push({ name: loaded.test.name, source: loaded.source, results });
  }
  if (flags.junit !== undefined) writeReport(flags.junit, formatJunit(runs));
  if (output === 'junit') terminal.out(formatJunit(runs));
  else if (output === 'json') terminal.out(formatValue(runs.map(jsonOf), 'json'));
  else for (const it of runs) terminal.out(formatRun(it));
  const all = runs.flatMap(({ results }) => results);
  const failed = all.filter(({ failure }) => failure !== undefined).length;
  const count = countText(all.length, 'assertion');
  if (failed > 0) throw new CommandFailure(`${failed} of ${count} failed`);
  if (output === undefined) terminal.out(`All of ${count} hold\n`);
}

/** What the test names, with what was given beside it; else the cluster. */
async function resourcesOf(
  { test, source }: LoadedTest,
  given: readonly Resource[],
  flags: SourceFlags,
  terminal: Terminal,
): Promise<Resource[]> {
  const folder = source === 'stdin' ? '.' : dirname(source);
  const paths = test.manifests.map((path) => (isAbsolute(path) ? path : join(folder, path)));
  if (paths.length === 0 && given.length > 0) return [...given];
  const { filename: _tests, ...cluster } = flags;
  const own = await readResources(
    paths.length === 0 ? cluster : { ...flags, filename: paths },
    terminal,
  );
  return [...own, ...given];
}

function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`Cannot write the report to ${path}: ${reason}`);
  }
}

function formatRun({ name, source, results }: TestRun): string {
  return `${name} (${source})\n${results.map(formatResult).join('')}`;
}

function formatResult({ title, failure, explanation, assertion }: AssertionResult): string {
  if (failure === undefined) return `  ok    ${title}\n`;
  const lines = explanation === undefined ? [] : explanation.split('\n');
  const details = [`${assertion.path}: ${failure}`, ...lines];
  return `  FAIL  ${title}\n${details.map((line) => (line === '' ? '\n' : `        ${line}\n`)).join('')}`;
}

function jsonOf({ name, source, results }: TestRun): object {
  return {
    name,
    source,
    assertions: results.map(({ title, failure, assertion }) => ({
      title,
      path: assertion.path,
      passed: failure === undefined,
      ...(failure === undefined ? {} : { failure }),
    })),
  };
}
