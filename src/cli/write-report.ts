// What a command that writes resources says at its end, in calicoctl's words: how many, and what went wrong.
import type { KindDefinition } from '#api';
import { CommandFailure } from './cli-error.ts';

export type WriteVerb = 'create' | 'apply' | 'replace' | 'delete' | 'patch';

const PAST: Readonly<Record<WriteVerb, string>> = {
  create: 'created',
  apply: 'applied',
  replace: 'replaced',
  delete: 'deleted',
  patch: 'patched',
};

/** Counts the resources of one command, and remembers what failed. */
export class WriteReport {
  readonly #verb: WriteVerb;
  readonly #kinds = new Set<string>();
  readonly #failures: string[] = [];
  #done = 0;
  #skipped = 0;

  constructor(verb: WriteVerb) {
    this.#verb = verb;
  }

  done({ kind }: KindDefinition): void {
    this.#kinds.add(kind);
    this.#done++;
  }

  /** Nothing was to be done, as a flag of the command says. */
  skipped({ kind }: KindDefinition): void {
    this.#kinds.add(kind);
    this.#skipped++;
  }

  failed({ kind }: KindDefinition, name: string, reason: string): void {
    this.#kinds.add(kind);
    this.#failures.push(`${name}: ${reason}`);
  }

  /** The last line of a success. Throws CommandFailure with all failures, and how many went well. */
  conclude(): string {
    const [kind] = this.#kinds;
    const ofKind = this.#kinds.size === 1 ? `'${kind}' ` : '';
    const handled = this.#done + this.#skipped;
    const total = handled + this.#failures.length;
    if (this.#failures.length === 0) {
      const skipped = this.#skipped > 0 ? ` (${this.#skipped} skipped)` : '';
      return `Successfully ${PAST[this.#verb]} ${this.#done} ${ofKind}resource(s)${skipped}`;
    }
    const head =
      handled > 0
        ? `Partial success: ${PAST[this.#verb]} ${handled} out of ${total} ${ofKind}resources; failed:`
        : total === 1
          ? `Failed to ${this.#verb} ${ofKind}resource:`
          : `Failed to ${this.#verb} any ${ofKind}resources:`;
    throw new CommandFailure([head, ...this.#failures].join('\n'));
  }
}
