// Which batches of flows an agent has delivered already: one whose answer was lost comes again.
import { isObject } from '#lib';

const AGENTS_MAX = 20_000;
const NAME_MAX = 512;

/** Agents send batches in order, and a new one only once the last was taken. */
export class TakenBatches {
  /** The last number by agent; the one that was silent longest goes first. */
  readonly #last = new Map<string, number>();

  /** Whether the batch was not delivered yet; without a number it always is new. */
  isNew(batch: unknown): boolean {
    const known = readBatch(batch);
    return !known || known.number > (this.#last.get(known.agent) ?? -1);
  }

  /** The batch has been taken in. */
  note(batch: unknown): void {
    const known = readBatch(batch);
    if (!known) return;
    this.#last.delete(known.agent);
    this.#last.set(known.agent, known.number);
    if (this.#last.size <= AGENTS_MAX) return;
    for (const oldest of this.#last.keys()) {
      this.#last.delete(oldest);
      return;
    }
  }
}

function readBatch(batch: unknown): { agent: string; number: number } | undefined {
  if (!isObject(batch)) return undefined;
  const { agent, number } = batch;
  if (typeof agent !== 'string' || agent.length > NAME_MAX) return undefined;
  return typeof number === 'number' ? { agent, number } : undefined;
}
