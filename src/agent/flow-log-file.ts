// A file of lines that is set aside when it is big enough, of which so many old ones are kept.
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface FlowLogFileOptions {
  readonly directory: string;
  /** Of one file; a single line may be longer. */
  readonly maxBytes: number;
  /** Old files that are kept. */
  readonly maxFiles: number;
}

const LOOK_BYTES = 65_536;
const NEWLINE = 10;
const NAME = 'flows';
const ENDING = '.log';
const OLD = /^flows-\d{8}T\d{9}Z(-\d{6})?\.log$/;

/** `flows.log`, and old ones by the time at which they were set aside. One writer at a time. */
export class FlowLogFile {
  readonly #options: FlowLogFileOptions;
  readonly #path: string;
  /** Whether it is known to end with a whole line. */
  #isWhole = false;

  constructor(options: FlowLogFileOptions) {
    this.#options = options;
    this.#path = join(options.directory, NAME + ENDING);
  }

  get directory(): string {
    return this.#options.directory;
  }

  /**
   * Appends whole lines. Returns how many of them were taken; fewer than there are where the disk takes no
   * more: then the file ends with the last whole batch, and `error` says why.
   */
  async append(lines: readonly string[]): Promise<{ taken: number; error?: unknown }> {
    let taken = 0;
    try {
      await mkdir(this.#options.directory, { recursive: true, mode: 0o755 });
      await this.#makeWhole();
      while (taken < lines.length) taken += await this.#appendBatch(lines, taken);
      return { taken };
    } catch (error) {
      return { taken, error };
    }
  }

  /** Takes away the part of a line that a writer left who was killed. */
  async #makeWhole(): Promise<void> {
    if (this.#isWhole) return;
    const file = await open(this.#path, 'a+', 0o640);
    try {
      const { size } = await file.stat();
      let end = size;
      const piece = Buffer.alloc(LOOK_BYTES);
      while (end > 0) {
        const start = Math.max(0, end - piece.length);
        const { bytesRead } = await file.read(piece, 0, end - start, start);
        const newline = piece.subarray(0, bytesRead).lastIndexOf(NEWLINE);
        end = newline < 0 ? start : start + newline + 1;
        if (newline >= 0) break;
      }
      if (end < size) await file.truncate(end);
    } finally {
      await file.close();
    }
    this.#isWhole = true;
  }

  /** As many lines as fit into one file; sets it aside first where none does. */
  async #appendBatch(lines: readonly string[], from: number): Promise<number> {
    const { maxBytes } = this.#options;
    let length = (await stat(this.#path).catch(() => undefined))?.size ?? 0;
    const bytesOf = (index: number): number => Buffer.byteLength(lines[index] ?? '') + 1;
    if (length > 0 && length + bytesOf(from) > maxBytes) {
      await this.#setAside();
      length = 0;
    }
    let [end, size] = [from + 1, bytesOf(from)];
    while (end < lines.length && length + size + bytesOf(end) <= maxBytes) size += bytesOf(end++);
    const file = await open(this.#path, 'a', 0o640);
    try {
      await file.appendFile(`${lines.slice(from, end).join('\n')}\n`);
    } catch (error) {
      await file.truncate(length);
      throw error;
    } finally {
      await file.close();
    }
    return end - from;
  }

  async #setAside(): Promise<void> {
    const { directory, maxFiles } = this.#options;
    // The ending would sort before a count.
    const old = (await readdir(directory))
      .filter((name) => OLD.test(name))
      .map((name) => name.slice(0, -ENDING.length))
      .sort();
    const [, newest = '', count = '0'] = old.at(-1)?.split('-') ?? [];
    const stamp = new Date().toISOString().replaceAll(/[-:.]/g, '');
    const next = String(Number(count) + 1).padStart(6, '0');
    // Always after the newest, also by a clock that was set back.
    const name = stamp > newest ? stamp : `${newest}-${next}`;
    await rename(this.#path, join(directory, `${NAME}-${name}${ENDING}`));
    for (const oldest of old.slice(0, Math.max(0, old.length + 1 - maxFiles))) {
      await rm(join(directory, oldest + ENDING), { force: true });
    }
  }
}
