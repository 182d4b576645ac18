// The MTU of workloads in a file, for CNI plugins of others that read it there (spec 04: MTU auto-detect).
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Written where it changes, whole. */
export class MtuFile {
  readonly #path: string;
  readonly #log: (message: string) => void;
  #written: number | undefined;
  #told = '';

  constructor(path: string, log: (message: string) => void) {
    this.#path = path;
    this.#log = log;
  }

  /** Whether the present MTU could be written. */
  get isThere(): boolean {
    return this.#written !== undefined;
  }

  write(mtu: number): void {
    if (mtu === this.#written) return;
    this.#written = undefined;
    try {
      const unfinished = `${this.#path}.unfinished`;
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
      writeFileSync(unfinished, `${mtu}`, { mode: 0o644 });
      renameSync(unfinished, this.#path);
      this.#written = mtu;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#told) this.#log(`Cannot write the MTU into ${this.#path}: ${reason}`);
      this.#told = reason;
    }
  }
}
