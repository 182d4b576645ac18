// Hands copies of logged packets to another thread of the process, as many as that thread asked for.

import { BroadcastChannel } from 'node:worker_threads';
import type { LogPacket } from './log.ts';

/** `packets` more may be sent from now on; 0 ends it. To be said again within seconds. */
export interface LogCopyRequest {
  readonly type: 'take';
  readonly packets: number;
}

export interface LogCopyDelivery {
  readonly type: 'copies';
  readonly packets: readonly LogPacket[];
  /** Packets that there were meanwhile beyond those asked for. */
  readonly skipped: number;
}

export interface LogCopiesOptions {
  /** Which packets are meant at all. */
  readonly wanted: (packet: LogPacket) => boolean;
  /** Somebody asks for copies from now on, or does not any more. */
  readonly onAsked?: (asked: boolean) => void;
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
  #asked = false;

  constructor(options: LogCopiesOptions) {
    this.#options = options;
    this.#channel.onmessage = (event: { readonly data: unknown }) => {
      const message = event.data as LogCopyRequest | LogCopyDelivery;
      if (message.type !== 'take') return;
      this.#left = message.packets;
      this.#askedMs = performance.now();
      this.#setAsked(message.packets > 0);
    };
  }

  /** To be given all packets that are read. */
  offer(packets: readonly LogPacket[]): void {
    if (!this.#asked || packets.length === 0) return;
    if (performance.now() - this.#askedMs > FORGET_MS) return this.#setAsked(false);
    const wanted = packets.filter((packet) => this.#options.wanted(packet));
    if (wanted.length === 0) return;
    const sent = wanted.slice(0, this.#left);
    this.#left -= sent.length;
    // A payload is a view into the whole datagram, which would go along.
    const copies = sent.map((packet) => ({ ...packet, payload: packet.payload.slice() }));
    this.#send(copies, wanted.length - sent.length);
  }

  close(): void {
    this.#channel.close();
  }

  #send(packets: readonly LogPacket[], skipped: number): void {
    const delivery: LogCopyDelivery = { type: 'copies', packets, skipped };
    this.#channel.postMessage(delivery);
  }

  #setAsked(asked: boolean): void {
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#options.onAsked?.(asked);
    // Who asked knows by this that nothing is missed from now on.
    if (asked) this.#send([], 0);
  }
}
