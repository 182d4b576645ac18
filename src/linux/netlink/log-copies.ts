// Hands copies of logged packets to another thread of the process, as many as that thread asked for.

import { BroadcastChannel } from 'node:worker_threads';
import type { LogPacket } from './log.ts';

/** `packets` more may be sent from now on; 0 ends it. To be said again within seconds. */
export interface LogCopyRequest {
  readonly type: 'take';
  readonly packets: number;
  /** Also packets that were let through; else those alone that were denied. */
  readonly allowed: boolean;
  /** All bytes of each packet; else its beginning. */
  readonly whole: boolean;
}

export interface LogCopyDelivery {
  readonly type: 'copies';
  readonly packets: readonly LogPacket[];
  /** Denied packets that there were meanwhile beyond those asked for. */
  readonly skipped: number;
  /** Of those that were let through likewise. */
  readonly unseen: number;
}

export interface LogCopiesOptions {
  /** Undefined for packets that nobody may ask for. */
  readonly verdictOf: (packet: LogPacket) => 'denied' | 'allowed' | undefined;
  /** Somebody asks for copies from now on, of another kind than before, or not any more. */
  readonly onAsked?: (asked: Pick<LogCopyRequest, 'whole'> | undefined) => void;
}

/** Name of the BroadcastChannel. */
export const LOG_COPY_CHANNEL = 'tortie log copies';

/** Who asked and is not heard of for so long has gone. */
const FORGET_MS = 5_000;

export class LogCopies {
  readonly #options: LogCopiesOptions;
  readonly #channel = new BroadcastChannel(LOG_COPY_CHANNEL);
  #left = 0;
  #askedMs = 0;
  #asked: LogCopyRequest | undefined;

  constructor(options: LogCopiesOptions) {
    this.#options = options;
    this.#channel.onmessage = (event: { readonly data: unknown }) => {
      const message = event.data as LogCopyRequest | LogCopyDelivery;
      if (message.type !== 'take') return;
      this.#left = message.packets;
      this.#askedMs = performance.now();
      this.#setAsked(message.packets > 0 ? message : undefined);
    };
  }

  /** To be given all packets that are read. */
  offer(packets: readonly LogPacket[]): void {
    if (!this.#asked || packets.length === 0) return;
    if (performance.now() - this.#askedMs > FORGET_MS) return this.#setAsked(undefined);
    const { verdictOf } = this.#options;
    const { allowed } = this.#asked;
    const sent: LogPacket[] = [];
    let [skipped, unseen] = [0, 0];
    for (const packet of packets) {
      const verdict = verdictOf(packet);
      if (verdict === undefined || (verdict === 'allowed' && !allowed)) continue;
      // A payload is a view into the whole datagram, which would go along.
      if (this.#left > 0) sent.push({ ...packet, payload: packet.payload.slice() });
      else if (verdict === 'denied') skipped++;
      else unseen++;
      this.#left = Math.max(0, this.#left - 1);
    }
    if (sent.length + skipped + unseen > 0) this.#send(sent, skipped, unseen);
  }

  close(): void {
    this.#channel.close();
  }

  #send(packets: readonly LogPacket[], skipped: number, unseen: number): void {
    const delivery: LogCopyDelivery = { type: 'copies', packets, skipped, unseen };
    this.#channel.postMessage(delivery);
  }

  #setAsked(asked: LogCopyRequest | undefined): void {
    const before = this.#asked;
    this.#asked = asked;
    if (asked?.whole !== before?.whole) this.#options.onAsked?.(asked);
    // Who asked knows by this that nothing is missed from now on.
    if (asked && !before) this.#send([], 0, 0);
  }
}
