// Where a command reads and writes: the process's own streams, or those of a test.
import { once } from 'node:events';
import type { Readable } from 'node:stream';

export interface Terminal {
  /** Results. */
  out(text: string): void;
  /** Results that are no text; resolves when more may come. */
  outBytes(bytes: Uint8Array): Promise<void>;
  /** Progress, warnings and errors. */
  err(text: string): void;
  /** All of standard input. */
  readInput(): Promise<string>;
  /** Standard input as it comes. */
  inputStream(): Readable;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether results go to a person's screen. */
  readonly isScreen: boolean;
}

const INPUT_MAX = 16 * 1024 * 1024;

/** The terminal of this process. A reader that goes away ends the process quietly, as with any filter. */
export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
  return {
    out: (text) => void process.stdout.write(text),
    outBytes: async (bytes) => {
      if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
    },
    err: (text) => void process.stderr.write(text),
    readInput: readStandardInput,
    inputStream: () => process.stdin,
    environment: process.env,
    isScreen: process.stdout.isTTY === true,
  };
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    length += bytes.length;
    if (length > INPUT_MAX)
      throw new Error(`Cannot read standard input: more than ${INPUT_MAX} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
