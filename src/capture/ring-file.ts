// A capture file that is replaced when it is big or old enough, of which so many old ones are kept.
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

export interface RingLimits {
  /** Of one file. */
  readonly maxBytes: number;
  /** A file with packets is replaced after this long. */
  readonly rotationMs: number;
  /** Files that are kept beside the one that is written. */
  readonly maxFiles: number;
}

export interface RingFileOptions {
  readonly directory: string;
  /** Name without its ending. */
  readonly stem: string;
  readonly limits: RingLimits;
  /** What every file begins with. */
  readonly header: () => Uint8Array;
  /** What a file may end with. */
  readonly trailer: () => Uint8Array;
}

export const CAPTURE_ENDING = '.pcap';

/**
 * Writes whole blocks, so that who reads the file at any time, or after its writer was killed, finds it whole. The
 * file is made when there is something to write; one that an earlier process left is kept as an old one.
 */
export class RingFile {
  readonly #options: RingFileOptions;
  readonly #path: string;
  #fd: number | undefined;
  #length = 0;
  #bornMs = 0;
  /** The stamp of the file that was set aside last, whether it is still there or not. */
  #newest = '';

  constructor(options: RingFileOptions) {
    this.#options = options;
    this.#path = join(options.directory, options.stem + CAPTURE_ENDING);
  }

  /**
   * Appends the blocks, as many as fit into a file at a time; returns how many were written. Throws where the disk
   * takes no more: then the file ends with the last whole block, and the rest can be given again.
   */
  write(blocks: readonly Uint8Array[], nowMs: number): number {
    let done = 0;
    try {
      while (done < blocks.length) {
        const batch = this.#batch(blocks, done, nowMs);
        this.#append(batch);
        done += batch.length;
      }
    } catch (error) {
      throw new RingWriteError(this.#path, done, error);
    }
    return done;
  }

  /** Replaces the file where it is old enough. */
  onTime(nowMs: number): void {
    const { rotationMs } = this.#options.limits;
    if (this.#fd !== undefined && nowMs - this.#bornMs >= rotationMs) this.#rotate(nowMs);
  }

  close(): void {
    this.#finish();
  }

  /** The blocks from `from` on that still fit; makes room for at least one. */
  #batch(blocks: readonly Uint8Array[], from: number, nowMs: number): Uint8Array[] {
    const { maxBytes } = this.#options.limits;
    const trailer = this.#options.trailer().length;
    const room = (): number => maxBytes - trailer - this.#length;
    const first = blocks[from]?.length ?? 0;
    if (this.#fd === undefined) this.#open(nowMs);
    else if (first > room()) {
      this.#rotate(nowMs);
      this.#open(nowMs);
    }
    const batch: Uint8Array[] = [];
    let left = room();
    for (let index = from; index < blocks.length; index++) {
      const next = blocks[index];
      // A block that is bigger than a whole file gets a file of its own.
      if (!next || (next.length > left && batch.length > 0)) break;
      batch.push(next);
      left -= next.length;
    }
    return batch;
  }

  #open(nowMs: number): void {
    const { directory, header } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#setAside(nowMs);
    this.#fd = openSync(this.#path, 'wx', 0o600);
    this.#length = 0;
    this.#bornMs = nowMs;
    try {
      this.#append([header()]);
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  #append(blocks: readonly Uint8Array[]): void {
    if (this.#fd === undefined) return;
    const bytes = blocks.length === 1 && blocks[0] ? blocks[0] : Buffer.concat(blocks);
    try {
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(this.#fd, bytes, at, bytes.length - at, this.#length + at);
      }
    } catch (error) {
      ftruncateSync(this.#fd, this.#length);
      throw error;
    }
    this.#length += bytes.length;
  }

  #rotate(nowMs: number): void {
    this.#finish();
    this.#setAside(nowMs);
  }

  /** Gives what stands under the file's name a name with its time, and removes what is too old. */
  #setAside(nowMs: number): void {
    const { directory, stem, limits } = this.#options;
    if (statSync(this.#path, { throwIfNoEntry: false })) {
      const there = oldFiles(directory, stem)
        .at(-1)
        ?.slice(stem.length + 1, -CAPTURE_ENDING.length);
      if (there !== undefined && there > this.#newest) this.#newest = there;
      this.#newest = stampAfter(this.#newest, nowMs);
      renameSync(this.#path, join(directory, `${stem}-${this.#newest}${CAPTURE_ENDING}`));
    }
    const old = oldFiles(directory, stem);
    for (const name of old.slice(0, Math.max(0, old.length - limits.maxFiles))) {
      rmSync(join(directory, name), { force: true });
    }
  }

  #finish(): void {
    if (this.#fd === undefined) return;
    try {
      this.#append([this.#options.trailer()]);
    } catch {
      // The file is whole without it; there is no room for more.
    }
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #abandon(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    rmSync(this.#path, { force: true });
  }
}

/** The disk refused; `written` blocks are in the file. */
export class RingWriteError extends Error {
  readonly written: number;

  constructor(path: string, written: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`cannot write ${JSON.stringify(path)}: ${reason}`, { cause });
    this.written = written;
  }
}

/** Files of a stem that were set aside, the oldest first. */
export function oldFiles(directory: string, stem: string): string[] {
  // The ending would sort before a count.
  return readdirSync(directory)
    .filter((name) => isOldFileOf(name, stem))
    .map((name) => name.slice(0, -CAPTURE_ENDING.length))
    .sort()
    .map((name) => name + CAPTURE_ENDING);
}

function isOldFileOf(name: string, stem: string): boolean {
  if (!name.startsWith(`${stem}-`) || !name.endsWith(CAPTURE_ENDING)) return false;
  return /^\d{8}T\d{9}Z(-\d{6})?$/.test(name.slice(stem.length + 1, -CAPTURE_ENDING.length));
}

/**
 * The time, `20260131T120000000Z`, and a count where the newest file was set aside in the same millisecond, or at
 * a later time by a clock that was set back: always after `newest`, whose place may be free again.
 */
function stampAfter(newest: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '');
  const [time = '', count = '0'] = newest.split('-');
  if (stamp > time) return stamp;
  return `${time}-${String(Number(count) + 1).padStart(6, '0')}`;
}
