// Lines appended to a file that is set aside when it is full; so many older files are kept.
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';

export interface AuditFileOptions {
  readonly path: string;
  /** Bytes of a file; the line that goes beyond begins the next. */
  readonly maxBytes: number;
  /** How many older files are kept; 0: all. */
  readonly maxBackups: number;
  readonly onError: (error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Bytes that may wait for the disk; beyond, lines are given up, and `onError` is told how many. */
const MAX_WAITING = 16 * 1024 * 1024;

export class AuditFile {
  readonly #options: AuditFileOptions;
  #file: FileHandle | undefined;
  #size = 0;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;

  private constructor(options: AuditFileOptions) {
    this.#options = options;
  }

  /** Throws where the file cannot be opened: a server that is to log must not start without. */
  static async open(options: AuditFileOptions): Promise<AuditFile> {
    const file = new AuditFile(options);
    await file.#open();
    return file;
  }

  /** Takes a line without its end; it is written in its turn. */
  append(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#waitingBytes + bytes > MAX_WAITING) {
      this.#lost++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves once all that was taken is written. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#file?.datasync();
    await this.#file?.close();
    this.#file = undefined;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      await this.#writeLines(lines).catch((error: unknown) => {
        this.#lost += lines.length;
        this.#options.onError(error);
      });
    }
    if (this.#lost === 0) return;
    this.#options.onError(new Error(`${this.#lost} audit events could not be written`));
    this.#lost = 0;
  }

  async #writeLines(lines: readonly string[]): Promise<void> {
    let batch = '';
    for (const line of lines) {
      const full = this.#size + Buffer.byteLength(batch) + Buffer.byteLength(line) + 1;
      if (full > this.#options.maxBytes && this.#size + batch.length > 0) {
        await this.#append(batch);
        batch = '';
        await this.#rotate();
      }
      batch += `${line}\n`;
    }
    await this.#append(batch);
  }

  async #append(text: string): Promise<void> {
    if (text === '') return;
    if (!this.#file) await this.#open();
    await this.#file?.appendFile(text);
    this.#size += Buffer.byteLength(text);
  }

  async #open(): Promise<void> {
    this.#file = await open(this.#options.path, 'a', 0o600);
    this.#size = (await this.#file.stat()).size;
  }

  /** Sets the file aside as `NAME-<time>.EXT`, as kube-apiserver does. */
  async #rotate(): Promise<void> {
    const { path, maxBackups, now = Date.now } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    const extension = extname(path);
    const stem = basename(path, extension);
    const folder = dirname(path);
    const time = new Date(now()).toISOString().replace('Z', '').replaceAll(':', '-');
    let aside = join(folder, `${stem}-${time}${extension}`);
    for (let count = 1; await isThere(aside); count++) {
      aside = join(folder, `${stem}-${time}-${count}${extension}`);
    }
    await rename(path, aside);
    await this.#open();
    if (maxBackups <= 0) return;
    const backups = (await readdir(folder))
      .filter((name) => name.startsWith(`${stem}-`) && name.endsWith(extension))
      .filter((name) => /^\d{4}-\d\d-\d\dT/.test(name.slice(stem.length + 1)))
      .sort();
    for (const name of backups.slice(0, -maxBackups)) await rm(join(folder, name), { force: true });
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
