// Progress, line by line: how long it has taken, and what is there now.
import type { Terminal } from './terminal.ts';

export class StepReporter {
  readonly #terminal: Terminal;
  readonly #startMs = performance.now();

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  step(line: string): void {
    const seconds = ((performance.now() - this.#startMs) / 1000).toFixed(1);
    this.#terminal.err(`${seconds.padStart(6)} s  ${line}\n`);
  }
}
