// A terminal for tests: keeps what is written, reads what it was given.
import { Readable } from 'node:stream';
import { Command } from 'commander';
import { createProgram, runProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

export interface Ran {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

const PLACE = { version: '1.2.3', executable: '/opt/tortie/bin/tortie', root: '/opt/tortie' };

/** Runs a command line in this process. */
export async function run(words: readonly string[], input = ''): Promise<Ran> {
  const written = { out: '', err: '' };
  const terminal: Terminal = {
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    outBytes: () => Promise.resolve(),
    readInput: () => Promise.resolve(input),
    inputStream: () => Readable.from([input]),
    environment: { KUBECONFIG: '/nonexistent/kubeconfig' },
    isScreen: false,
  };
  const program: Command = createProgram(terminal, PLACE);
  const exitCode = await runProgram(program, words, terminal);
  return { exitCode, ...written };
}
