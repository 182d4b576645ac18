// The command line as a whole: its commands as a table, and how a run of it ends.
import { Command, CommanderError } from 'commander';
import { addApplyCommand, addCreateCommand, addReplaceCommand } from './apply-command.ts';
import { addCaptureCommands } from './capture-command.ts';
import { describeFailure, EXIT } from './cli-error.ts';
import { addConfirmCommand } from './confirm-command.ts';
import { addConvertCommand } from './convert-command.ts';
import { addDatastoreCommands } from './datastore-commands.ts';
import { addDeleteCommand } from './delete-command.ts';
import { addDiffCommand } from './diff-command.ts';
import { addExplainCommand } from './explain-command.ts';
import { addFlowsCommand } from './flows-command.ts';
import { addGetCommand } from './get-command.ts';
import { addLabelCommand, addPatchCommand } from './label-command.ts';
import { addIpamCommands } from './ipam-commands.ts';
import { addLabCommands } from './lab-commands.ts';
import { addLintCommand } from './lint-command.ts';
import { addMatrixCommand } from './matrix-command.ts';
import { addTestCommand } from './test-command.ts';
import type { Terminal } from './terminal.ts';
import { addValidateCommand } from './validate-command.ts';
import { addVersionCommand } from './version-command.ts';
import { addWaitCommand } from './wait-command.ts';

/** Where the program is, and what it is. */
export interface ProgramPlace {
  readonly version: string;
  /** The program itself, to be started again for parts of a lab. */
  readonly executable: string;
  /** The project's folder: programs of pods start here. */
  readonly root: string;
}

type AddCommand = (program: Command, terminal: Terminal, place: ProgramPlace) => void;

/** In the order of the help. */
const COMMANDS: readonly AddCommand[] = [
  addGetCommand,
  addCreateCommand,
  addApplyCommand,
  addConfirmCommand,
  addReplaceCommand,
  addPatchCommand,
  addLabelCommand,
  addDeleteCommand,
  addWaitCommand,
  addExplainCommand,
  addMatrixCommand,
  addDiffCommand,
  addTestCommand,
  addLintCommand,
  addValidateCommand,
  addConvertCommand,
  addFlowsCommand,
  addCaptureCommands,
  addIpamCommands,
  addDatastoreCommands,
  addLabCommands,
  (program, terminal, { version }) => addVersionCommand(program, terminal, version),
];

/** The program with the commands of people; `cmd` adds those that run as services. */
export function createProgram(terminal: Terminal, place: ProgramPlace): Command {
  const program = new Command('tortie')
    .description(
      'Kubernetes and host networking, network security and observability in one program.',
    )
    .version(place.version, '-V, --version', 'show the version')
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'Cannot run this: ')),
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Exit codes: 0 done; 1 it failed; 2 the command is not understood.

While one lab runs, every command finds it. Start with:
  tortie lab up -f examples/shop`,
    );
  for (const add of COMMANDS) add(program, terminal, place);
  return program;
}

/** Runs a command line; the exit code. Errors that are faults of the program itself are thrown on. */
export async function runProgram(
  program: Command,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  try {
    if (words.length === 0) {
      terminal.err(program.helpInformation());
      return EXIT.usage;
    }
    await program.parseAsync([...words], { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    const failure = describeFailure(error);
    if (!failure) throw error;
    terminal.err(`${failure.message}\n`);
    return failure.exitCode;
  }
}
