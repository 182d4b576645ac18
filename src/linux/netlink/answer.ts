// The answer to one request: its messages, how it ended, and whether a dump was whole.

import {
  type Acknowledgement,
  CONTROL_TYPE,
  MESSAGE_FLAG,
  type NetlinkMessage,
  parseAcknowledgement,
} from './message.ts';

/** Gathers the messages with the sequence number of a request until its acknowledgement or end. */
export class Answer {
  readonly messages: NetlinkMessage[] = [];
  readonly #sequence: number;
  #interrupted = false;
  #end: Acknowledgement | undefined;

  constructor(sequence: number) {
    this.#sequence = sequence;
  }

  /** How it ended; undefined while more is to come. */
  get end(): Acknowledgement | undefined {
    return this.#end;
  }

  /** The table changed while it was dumped: entries may be missing or twice there. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** False when the message answers something else. */
  add(message: NetlinkMessage): boolean {
    if (message.sequence !== this.#sequence || this.#end) return false;
    if (message.flags & MESSAGE_FLAG.DUMP_INTERRUPTED) this.#interrupted = true;
    const { ERROR, DONE } = CONTROL_TYPE;
    if (message.type === ERROR || message.type === DONE) this.#end = parseAcknowledgement(message);
    else this.messages.push(message);
    return true;
  }
}
