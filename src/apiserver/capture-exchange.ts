// Asks nodes for the files of packet captures: over requests that their agents hold open, as they listen to nobody.
import type { ServerResponse } from 'node:http';
import { isObject } from '#lib';
import { badRequest, RequestError } from './request-error.ts';

export interface CaptureRequest {
  /** `follow` is of packets from now on, `follow all` also of those before. */
  readonly action: 'read' | 'remove' | 'follow' | 'follow all';
  readonly namespace: string;
  readonly name: string;
}

/** A piece of a file. Pieces of a file come one after another. */
export interface CapturePiece {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** What a node sends for a request: pieces, and in the end that it is done, or why it cannot be. */
type Answer = CapturePiece | 'done' | Error;

const HEARTBEAT_MS = 15_000;
/** The next piece must come within this. */
const ANSWER_MS = 20_000;

interface Waiting {
  readonly node: string;
  /** The next answer, and how to say that it was taken. */
  arrive: (answer: Answer) => Promise<void>;
}

export class CaptureExchange {
  readonly #nodes = new Map<string, ServerResponse>();
  readonly #waiting = new Map<string, Waiting>();
  #count = 0;

  /** A node's agent listens: one request a line, until it goes. A second one of a node takes the first one's place. */
  listen(node: string, response: ServerResponse): void {
    this.#nodes.get(node)?.end();
    this.#nodes.set(node, response);
    response.writeHead(200, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-cache',
    });
    response.flushHeaders();
    const heartbeat = setInterval(() => response.write('\n'), HEARTBEAT_MS);
    response.once('close', () => {
      clearInterval(heartbeat);
      if (this.#nodes.get(node) === response) this.#nodes.delete(node);
    });
  }

  isListening(node: string): boolean {
    return this.#nodes.has(node);
  }

  /** What a node has to say on a request; resolves when it was taken, so that the node sends no faster. */
  async answer(node: string, id: string, body: unknown): Promise<void> {
    const waiting = this.#waiting.get(id);
    if (waiting?.node !== node) throw badRequest('nobody waits for this answer any more');
    await waiting.arrive(readAnswer(body));
  }

  /** The pieces of the files that a node has. Throws RequestError. */
  async *ask(node: string, request: CaptureRequest): AsyncGenerator<CapturePiece> {
    const response = this.#nodes.get(node);
    if (!response) throw unavailable(`the agent of node ${node} is not connected; try again`);
    const id = `${++this.#count}-${crypto.randomUUID()}`;
    let taken = Promise.withResolvers<void>();
    let next = Promise.withResolvers<Answer>();
    let acknowledge = (): void => undefined;
    this.#waiting.set(id, {
      node,
      arrive: (answer) => {
        next.resolve(answer);
        return taken.promise;
      },
    });
    response.write(`${JSON.stringify({ id, ...request })}\n`);
    try {
      for (;;) {
        const answer = await within(next.promise, node);
        acknowledge = taken.resolve;
        next = Promise.withResolvers();
        taken = Promise.withResolvers();
        if (answer instanceof Error) throw unavailable(`node ${node}: ${answer.message}`);
        if (answer === 'done') return;
        yield answer;
        acknowledge();
      }
    } finally {
      this.#waiting.delete(id);
      acknowledge();
      taken.resolve();
    }
  }
}

function readAnswer(body: unknown): Answer {
  if (isObject(body)) {
    const { file, data, done, error } = body;
    if (done === true) return 'done';
    if (typeof error === 'string') return new Error(error.slice(0, 1000));
    if (typeof file === 'string' && /^[\w.-]{1,400}$/.test(file) && typeof data === 'string') {
      return { file, bytes: Buffer.from(data, 'base64') };
    }
  }
  throw badRequest('the body must be {"file", "data"}, {"done": true} or {"error"}');
}

async function within(answer: Promise<Answer>, node: string): Promise<Answer> {
  const late = Promise.withResolvers<Answer>();
  const timer = setTimeout(() => {
    late.resolve(new Error(`no answer of ${node} within ${ANSWER_MS / 1000} s`));
  }, ANSWER_MS);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function unavailable(message: string): RequestError {
  return new RequestError(503, 'ServiceUnavailable', `cannot get the files: ${message}`);
}
