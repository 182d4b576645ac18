// For tests: the command line in this process, against a server in one of its own.
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { createProgram, runProgram } from '#cli';
import type { ApiClient } from '#datastore/client';
import { startServerProcess, temporaryFolder } from './server-process.ts';

export interface Ran {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command; what is no text is given to it as JSON. */
export type Tortie = (words: readonly string[], input?: unknown) => Promise<Ran>;

const PLACE = { version: '1.2.3', executable: '/opt/tortie/bin/tortie', root: '/opt/tortie' };

/** The commands of a kubeconfig's cluster. */
export function tortieWith(kubeconfig: string): Tortie {
  return async (words, value) => {
    const input = typeof value === 'string' ? value : JSON.stringify(value);
    const written = { out: '', err: '' };
    const terminal = {
      out: (text: string) => void (written.out += text),
      err: (text: string) => void (written.err += text),
      outBytes: (bytes: Uint8Array) =>
        Promise.resolve(void (written.out += Buffer.from(bytes).toString('latin1'))),
      readInput: () => Promise.resolve(input),
      inputStream: () => Readable.from([input]),
      environment: { KUBECONFIG: kubeconfig },
      isScreen: false,
    };
    const exitCode = await runProgram(createProgram(terminal, PLACE), words, terminal);
    return { exitCode, ...written };
  };
}

/** A new server, and the command line as its administrator. */
export async function startTortie(
  context: TestContext,
  flags: readonly string[] = [],
): Promise<{ readonly tortie: Tortie; readonly client: ApiClient }> {
  const data = join(await temporaryFolder(context), 'server');
  const { kubeconfig, client } = await startServerProcess(context, data, { flags });
  return { tortie: tortieWith(kubeconfig), client };
}
