// `tortie diff`: exactly which flows a change of manifests opens or closes.
import type { Command } from 'commander';
import { diffResources, formatDiff } from '#policy';
import { CommandFailure, UsageError } from './cli-error.ts';
import { loadManifestFiles } from './manifest-files.ts';
import { formatValue, readOutput } from './resource-output.ts';
import { readResources, type SourceFlags } from './resource-source.ts';
import { withClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';

interface DiffFlags extends SourceFlags {
  readonly exitCode?: boolean;
  readonly output?: string;
}

/** Stands for the running cluster. */
const CLUSTER = 'cluster';

export function addDiffCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('diff')
    .summary('say which flows a change opens or closes')
    .description(
      'Compares two sets of manifests by what they let pass: all packets, not some. Policies that are written ' +
        'differently and mean the same are no difference.',
    )
    .argument('<old>', 'a file, a folder, - for standard input, or "cluster" for the running one')
    .argument('<new>', 'the same')
    .option('-f, --filename <path...>', 'manifests that stand on both sides, such as the pods')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('--exit-code', 'end with 1 where a flow opens or closes')
    .option('-o, --output <format>', 'json');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie diff examples/shop changed/
  tortie diff old.yaml new.yaml -f pods.yaml namespaces.yaml
  tortie diff cluster examples/shop --exit-code

Exit codes: 0 compared; 1 with --exit-code, a flow opens or closes; 2 the command or a manifest is not understood.`,
    )
    .action((before: string, after: string, flags: DiffFlags) =>
      diff([before, after], flags, terminal),
    );
}

async function diff(
  paths: readonly [old: string, now: string],
  flags: DiffFlags,
  terminal: Terminal,
): Promise<void> {
  const output = readOutput(flags.output, ['json']);
  const common = flags.filename ?? [];
  if ([...paths, ...common].filter((path) => path === '-').length > 1) {
    throw new UsageError('Cannot read standard input twice: name a file for one side');
  }
  const recursive = flags.recursive === true;
  const load = async (files: readonly string[]) =>
    (await loadManifestFiles(files, { recursive }, terminal)).resources;
  const { filename: _common, ...cluster } = flags;
  const shared = await load(common);
  const read = async (path: string) => [
    ...shared,
    ...(path === CLUSTER ? await readResources(cluster, terminal) : await load([path])),
  ];
  const before = await read(paths[0]);
  const found = diffResources(before, await read(paths[1]));
  terminal.out(output === 'json' ? formatValue(found, 'json') : `${formatDiff(found)}\n`);
  if (flags.exitCode === true && found.opened.length + found.closed.length > 0) {
    throw new CommandFailure('There are flows that open or close');
  }
}
