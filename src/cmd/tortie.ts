// The program: the command line, and the services that run under its name.
import { join } from 'node:path';
import { createProgram, processTerminal, runProgram } from '#cli';
import { VERSION } from './version.ts';

const root = join(import.meta.dirname, '..', '..');
const words = process.argv.slice(2);
const terminal = processTerminal();
const program = createProgram(terminal, {
  version: VERSION,
  executable: join(root, 'bin', 'tortie'),
  root,
});

/** Loaded only where they are run or listed: they bring the server's and the agent's parts with them. */
const SERVICES: Readonly<Record<string, () => Promise<unknown>>> = {
  server: async () => (await import('./server.ts')).addServerCommand(program),
  node: async () => (await import('./node.ts')).addNodeCommand(program),
};

program
  .command('cni')
  .summary('the CNI plugin, as container runtimes run it')
  .description('Speaks CNI 1.1 by environment and standard input; asks the agent over its socket.')
  .action(async () => {
    await import('./cni.ts');
  });

const [first = '--help'] = words;
const known = program.commands.some((command) => command.name() === first);
if (!known) for (const add of Object.values(SERVICES)) await add();
process.exitCode = await runProgram(program, words, terminal);
