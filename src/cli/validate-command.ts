// `tortie validate`: everything that is wrong with manifests, with file and line.
import type { Command } from 'commander';
import { CommandFailure } from './cli-error.ts';
import { problemText, readManifestFiles } from './manifest-files.ts';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';

interface ValidateFlags {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly output?: string;
}

export function addValidateCommand(program: Command, terminal: Terminal): void {
  program
    .command('validate')
    .summary('check manifests, without a cluster')
    .description(
      'Checks manifests as the server would: every problem at once, with file, line and field path.',
    )
    .requiredOption('-f, --filename <path...>', 'files, folders, or - for standard input')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('-o, --output <format>', 'json')
    .addHelpText(
      'after',
      `
Examples:
  tortie validate -f examples/shop
  tortie validate -f policies -R -o json

Exit codes: 0 valid, warnings or not; 1 a manifest has an error; 2 the command is not understood.
"tortie lint" looks further: at what valid policies do to each other.`,
    )
    .action((flags: ValidateFlags) => validate(flags, terminal));
}

async function validate(flags: ValidateFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['json']);
  const recursive = flags.recursive === true;
  const read = await readManifestFiles(flags.filename, { recursive }, terminal);
  const { resources, labs, tests, problems } = read;
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const valid = resources.length + labs.length + tests.length;
  if (output === 'json') {
    terminal.out(
      formatValue({ valid, errors, warnings: problems.length - errors, problems }, 'json'),
    );
  } else {
    for (const problem of problems) terminal.out(`${problem.severity}: ${problemText(problem)}\n`);
  }
  const warnings = countText(problems.length - errors, 'warning');
  if (errors > 0) throw new CommandFailure(`Not valid: ${countText(errors, 'error')}, ${warnings}`);
  if (output !== 'json') terminal.out(`Valid: ${countText(valid, 'manifest')}, ${warnings}\n`);
}

/** `1 error`, `2 errors`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
