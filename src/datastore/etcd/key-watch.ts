// Follows all keys of a prefix in etcd: goes on after failures from the revision it has, at any endpoint.
import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { EtcdConnection } from './etcd-connection.ts';
import {
  prefixEnd,
  watch,
  type WatchEvent,
  type WatchRequest,
  type WatchResponse,
} from './etcd-messages.ts';
import type { InputOf } from '#lib/protobuf-message';

export interface KeyWatchOptions {
  readonly prefix: string;
  /** Events after this revision. */
  readonly from: number;
  /** Of the etcd that `from` is of. */
  readonly clusterId: string;
  /** The events of whole revisions, in order. */
  readonly onEvents: (events: readonly WatchEvent[]) => void;
  /** Everything up to the revision has been told. */
  readonly onProgress: (revision: number) => void;
  /** etcd has forgotten the events that come next. Nothing more is told. */
  readonly onForgotten: () => void;
  /** Another etcd answered. Nothing is told of it, and nothing more. */
  readonly onStranger: (clusterId: string) => void;
  /** The stream broke; it is being opened again. */
  readonly onTrouble: (error: Error) => void;
}

type Stream = ClientDuplexStream<InputOf<typeof WatchRequest>, WatchResponse>;

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;

export class KeyWatch {
  readonly #connection: EtcdConnection;
  readonly #options: KeyWatchOptions;
  /** The last revision that is told completely. */
  #revision: number;
  /** The beginning of a revision whose end is still to come. */
  #rest: WatchEvent[] = [];
  #stream: Stream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wait = FIRST_WAIT_MS;
  #ended = false;

  constructor(connection: EtcdConnection, options: KeyWatchOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#revision = options.from;
    void this.#open();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  async #open(): Promise<void> {
    this.#rest = [];
    try {
      const stream = await this.#connection.duplex(watch);
      if (this.#ended) {
        stream.on('error', () => undefined).cancel();
        return;
      }
      this.#stream = stream;
      stream.on('data', (response: WatchResponse) => this.#onResponse(stream, response));
      stream.on('error', (error) => this.#onBroken(stream, error));
      stream.on('end', () => this.#onBroken(stream, new Error('etcd ended the watch')));
      const { prefix } = this.#options;
      stream.write({
        create: {
          key: prefix,
          rangeEnd: prefixEnd(prefix),
          startRevision: this.#revision + 1,
          progressNotify: true,
          fragment: true,
        },
      });
    } catch (error) {
      this.#again(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #onResponse(stream: Stream, response: WatchResponse): void {
    if (stream !== this.#stream) return;
    const { events, header, created } = response;
    if (header && header.clusterId !== this.#options.clusterId) {
      this.end();
      this.#options.onStranger(header.clusterId);
      return;
    }
    if (response.canceled) {
      if (response.compactRevision > this.#revision) {
        this.end();
        this.#options.onForgotten();
      } else this.#onBroken(stream, new Error(`etcd ended the watch: ${response.cancelReason}`));
      return;
    }
    this.#wait = FIRST_WAIT_MS;
    if (events.length > 0) this.#onPart(events, response.fragment);
    // A notice of progress alone comes in order with events; a response with events may have a later
    // revision than they reach, and so may the first one.
    else if (!created && header && header.revision > this.#revision) {
      this.#revision = header.revision;
      this.#options.onProgress(header.revision);
    }
  }

  /** A part may end within a revision: that is told when the rest of it has come. */
  #onPart(events: readonly WatchEvent[], moreFollow: boolean): void {
    for (const event of events) this.#rest.push(event);
    const last = this.#rest.at(-1)?.kv?.modRevision ?? 0;
    const isWhole = ({ kv }: WatchEvent): boolean => !moreFollow || kv?.modRevision !== last;
    const whole = this.#rest.filter(isWhole);
    this.#rest = this.#rest.filter((event) => !isWhole(event));
    if (whole.length === 0) return;
    this.#revision = whole.at(-1)?.kv?.modRevision ?? this.#revision;
    this.#options.onEvents(whole);
  }

  #onBroken(stream: Stream, error: Error): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    stream.cancel();
    this.#again(error);
  }

  #again(error: Error): void {
    if (this.#ended) return;
    this.#options.onTrouble(error);
    this.#connection.forgetToken();
    this.#connection.advance();
    this.#timer = setTimeout(() => void this.#open(), this.#wait * (0.5 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }
}
