// A live stream of a packet capture: what all its nodes capture, as one pcapng, for as long as its reader wants.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PacketCapture, packetCaptureKind } from '#api';
import { emptyPcapngBlock, PcapngMerge } from '#lib';
import type { CaptureExchange } from './capture-exchange.ts';
import { notFound } from './request-error.ts';
import type { Resources } from './resources.ts';

export interface CaptureStreamOptions {
  readonly resources: Resources;
  readonly exchange: CaptureExchange;
  readonly namespace: string;
  readonly name: string;
  /** Also what is in the files already. */
  readonly all: boolean;
  /** Called when there is a capture to follow. */
  readonly start: () => ServerResponse;
}

const LOOK_MS = 1_000;
/** Who reads is told so often that the stream lives. */
const ALIVE_MS = 15_000;

/**
 * Follows nodes as they begin to capture, and ends with the capture. A node that cannot go on ends the connection:
 * packets would be missing. Throws RequestError before it has begun.
 */
export async function streamCapture(options: CaptureStreamOptions): Promise<void> {
  const { resources, namespace, name, exchange } = options;
  const find = async (): Promise<PacketCapture | undefined> => {
    const found = await resources.find({ kind: packetCaptureKind, namespace, name });
    return found as PacketCapture | undefined;
  };
  let capture = await find();
  if (!capture) throw notFound(packetCaptureKind, name);
  const response = options.start();
  const stream = new CaptureStream(options, response);
  response.writeHead(200, { 'content-type': 'application/x-pcapng', 'cache-control': 'no-cache' });
  response.flushHeaders();
  try {
    while (capture && !response.destroyed) {
      const nodes = (capture.status?.files ?? []).map(({ node }) => node);
      for (const node of nodes) if (exchange.isListening(node)) stream.follow(node);
      if (stream.failure) throw stream.failure;
      if (stream.isOver && hasEnded(capture)) break;
      await stream.aliveOrChange(LOOK_MS);
      capture = await find();
    }
    await stream.ended();
    response.end();
  } catch {
    response.destroy();
  }
}

function hasEnded({ spec = {}, status }: PacketCapture): boolean {
  const isPast = typeof spec.endTime === 'string' && Date.parse(spec.endTime) <= Date.now();
  return isPast && (status?.files ?? []).every(({ state }) => state === 'Finished');
}

class CaptureStream {
  readonly #options: CaptureStreamOptions;
  readonly #response: ServerResponse;
  readonly #merge = new PcapngMerge();
  readonly #running = new Map<string, Promise<void>>();
  readonly #followed = new Set<string>();
  /** The reader has gone. */
  readonly #gone: Promise<unknown>;
  #failure: Error | undefined;
  #spokeAt = performance.now();

  constructor(options: CaptureStreamOptions, response: ServerResponse) {
    this.#options = options;
    this.#response = response;
    this.#gone = new Promise((resolve) => response.once('close', resolve));
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Whether no node has more to say. */
  get isOver(): boolean {
    return this.#running.size === 0;
  }

  /** Once for each node: one that has said all is not asked again. */
  follow(node: string): void {
    if (this.#followed.has(node)) return;
    this.#followed.add(node);
    const running = this.#read(node)
      .catch((error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => this.#running.delete(node));
    this.#running.set(node, running);
  }

  /** Waits a moment, and shows the reader that the stream lives. */
  async aliveOrChange(milliseconds: number): Promise<void> {
    if (performance.now() - this.#spokeAt >= ALIVE_MS) this.#write(emptyPcapngBlock());
    await Promise.race([sleep(milliseconds), this.#gone]);
  }

  async ended(): Promise<void> {
    await Promise.all(this.#running.values());
    if (this.#failure) throw this.#failure;
  }

  async #read(node: string): Promise<void> {
    const { exchange, namespace, name, all } = this.#options;
    const action = all ? 'follow all' : 'follow';
    for await (const { file, bytes } of exchange.ask(node, { action, namespace, name })) {
      if (this.#response.destroyed) return;
      const blocks = this.#merge.add(`${node}/${file}`, bytes);
      if (blocks.length === 0 || this.#write(Buffer.concat(blocks))) continue;
      await Promise.race([once(this.#response, 'drain'), this.#gone]);
    }
  }

  #write(bytes: Uint8Array): boolean {
    this.#spokeAt = performance.now();
    return this.#response.write(bytes);
  }
}
