// `tortie lint`: what valid policies do that their authors hardly meant.
import type { Command } from 'commander';
import { type Finding, lint } from '#policy';
import { CommandFailure } from './cli-error.ts';
import { formatValue, readOutput } from './resource-output.ts';
import { readResources, type SourceFlags, withSourceFlags } from './resource-source.ts';
import type { Terminal } from './terminal.ts';
import { countText } from './validate-command.ts';

interface LintFlags extends SourceFlags {
  readonly output?: string;
}

export function addLintCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('lint')
    .summary('find policies that do not do what they seem to')
    .description(
      'Finds shadowed rules, policies and selectors that match nothing, Pass that leads nowhere, rules open by ' +
        'accident, policies that only log and so deny, and what cuts DNS, the API server or a node off.',
    )
    .option('-o, --output <format>', 'json');
  withSourceFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie lint -f examples/shop
  tortie lint -f policies -R -o json

Each finding names the object, the field, the reason and what to do. Policies and selectors that match nothing
are looked for where pods are among the manifests. Rules count as shadowed only where that is provable.

Exit codes: 0 nothing found but warnings; 1 an error was found; 2 the command or a manifest is not understood.`,
    )
    .action((flags: LintFlags) => run(flags, terminal));
}

async function run(flags: LintFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['json']);
  const findings = lint(await readResources(flags, terminal));
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.length - errors;
  if (output === 'json') terminal.out(formatValue({ errors, warnings, findings }, 'json'));
  else for (const finding of findings) terminal.out(formatFinding(finding));
  const counts = `${countText(errors, 'error')}, ${countText(warnings, 'warning')}`;
  if (errors > 0) throw new CommandFailure(`Lint found ${counts}`);
  if (output !== 'json') terminal.out(findings.length === 0 ? 'Nothing found\n' : `${counts}\n`);
}

function formatFinding({ severity, check, object, path, reason, advice }: Finding): string {
  return `${severity}  ${object}  ${path}  (${check})\n  ${reason}\n  What to do: ${advice}\n\n`;
}
