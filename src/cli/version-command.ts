// `tortie version`.
import type { Command } from 'commander';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';

export function addVersionCommand(program: Command, terminal: Terminal, version: string): void {
  program
    .command('version')
    .summary('show the version of this program')
    .description('Shows the version of this program and of the Node.js that runs it.')
    .option('-o, --output <format>', 'json|yaml')
    .action((flags: { output?: string }) => {
      const output = readOutput(flags.output, ['json', 'yaml']);
      const value = {
        version,
        node: process.versions.node,
        platform: `${process.platform}/${process.arch}`,
      };
      if (output !== undefined) terminal.out(formatValue(value, output));
      else terminal.out(`tortie ${version} (Node.js ${value.node}, ${value.platform})\n`);
    });
}
