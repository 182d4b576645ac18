// The agent's side of the CNI socket: one request a connection, bounded, one container at a time.
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import { isObject } from '#lib';
import { CniError } from './cni-error.ts';
import { faultOf } from './fault.ts';
import { KeyedLock } from './keyed-lock.ts';
import {
  type AgentCommand,
  CNI_CODE,
  type CniReply,
  type CniRequest,
  type CniResult,
  MAX_LINE,
} from './protocol.ts';

/** Carries the commands out. A signal that aborts means: nobody waits any more, undo and stop. */
export interface CniHandler {
  add(request: CniRequest, signal: AbortSignal): Promise<CniResult>;
  delete(request: CniRequest): Promise<void>;
  check(request: CniRequest): Promise<void>;
  collectGarbage(request: CniRequest): Promise<void>;
  /** Throws when ADD would not work now. */
  status(): Promise<void>;
}

export interface CniServerOptions {
  readonly socketPath: string;
  readonly handler: CniHandler;
  readonly log: (message: string) => void;
}

/** A plugin sends its request at once; milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 1024;
const COMMANDS: ReadonlySet<string> = new Set<AgentCommand>([
  'ADD',
  'DEL',
  'CHECK',
  'GC',
  'STATUS',
]);

/** Only root may open the socket. Must be made on the main thread, which alone may set the umask. */
export class CniServer {
  readonly #options: CniServerOptions;
  readonly #server: Server;
  readonly #containers = new KeyedLock();
  readonly #connections = new Set<Socket>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(options: CniServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Takes the place of a socket that nobody serves; throws when another agent serves it. */
  async listen(): Promise<void> {
    const { socketPath } = this.#options;
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
    await removeStale(socketPath);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    const umask = process.umask(0o177);
    try {
      this.#server.listen(socketPath, resolve);
    } finally {
      process.umask(umask);
    }
    await promise;
    this.#server.removeListener('error', reject);
    chmodSync(socketPath, 0o600);
  }

  /** Ends requests under way (they undo what they did) and removes the socket. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#closing.abort(new CniError(CNI_CODE.tryAgainLater, 'the agent is stopping; try again'));
    await Promise.all(this.#running);
    for (const socket of this.#connections) socket.destroy();
    await promise;
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    const gone = new AbortController();
    socket.on('close', () => {
      this.#connections.delete(socket);
      gone.abort(new CniError(CNI_CODE.tryAgainLater, 'the plugin went away'));
    });
    socket.on('error', () => socket.destroy());
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
    const chunks: Buffer[] = [];
    let length = 0;
    let isAnswered = false;
    socket.on('data', (chunk: Buffer) => {
      if (isAnswered) return;
      length += chunk.length;
      chunks.push(chunk);
      const end = chunk.indexOf(0x0a);
      if (end < 0 && length <= MAX_LINE) return;
      isAnswered = true;
      socket.setTimeout(0);
      const line = Buffer.concat(chunks).subarray(0, length - chunk.length + Math.max(end, 0));
      const signal = AbortSignal.any([gone.signal, this.#closing.signal]);
      const answered = this.#answer(end < 0 ? '' : line.toString('utf8'), signal).then((reply) => {
        socket.end(`${JSON.stringify(reply)}\n`);
      });
      this.#running.add(answered);
      void answered.finally(() => this.#running.delete(answered));
    });
  }

  /** Never rejects. */
  async #answer(line: string, signal: AbortSignal): Promise<CniReply> {
    const request = parseRequest(line);
    if (!request) {
      const msg = `the request is not one JSON line of at most ${MAX_LINE} bytes`;
      return { error: { code: CNI_CODE.decodeFailure, msg } };
    }
    const { command, containerId, args } = request;
    const pod = `${args['K8S_POD_NAMESPACE'] ?? ''}/${args['K8S_POD_NAME'] ?? ''}`;
    const what = containerId === '' ? command : `${command} ${containerId} of pod ${pod}`;
    const started = performance.now();
    try {
      const result = await this.#dispatch(request, signal);
      if (command !== 'STATUS') {
        this.#options.log(`${what}: done in ${Math.round(performance.now() - started)} ms`);
      }
      return { result };
    } catch (error) {
      const fault = faultOf(what, error);
      this.#options.log(`${fault.msg} (code ${fault.code})`);
      return { error: fault };
    }
  }

  async #dispatch(request: CniRequest, signal: AbortSignal): Promise<CniResult | null> {
    const { handler } = this.#options;
    if (request.command === 'STATUS') {
      await handler.status();
      return null;
    }
    // GC names no container: it runs alone among those that name none.
    return this.#containers.run(request.containerId, async () => {
      signal.throwIfAborted();
      if (request.command === 'ADD') return handler.add(request, signal);
      if (request.command === 'DEL') await handler.delete(request);
      else if (request.command === 'CHECK') await handler.check(request);
      else await handler.collectGarbage(request);
      return null;
    });
  }
}

/** A socket file that nobody listens at is what an agent that was killed leaves behind. */
async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return;
  if (!stat.isSocket()) {
    throw new Error(`Cannot listen at "${path}": it is there and is no socket; remove it`);
  }
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(path, () => resolve(true)).on('error', () => resolve(false));
  const isServed = await promise;
  probe.destroy();
  if (isServed)
    throw new Error(`Cannot listen at "${path}": another agent serves it; stop it first`);
  rmSync(path, { force: true });
}

function parseRequest(line: string): CniRequest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(value) || !isObject(value['args'])) return undefined;
  const { command, network, containerId, netns, ifname, args, validAttachments } = value;
  const texts = [command, network, containerId, netns, ifname, ...Object.values(args)];
  const isValid =
    texts.every((text) => typeof text === 'string') &&
    COMMANDS.has(String(command)) &&
    Array.isArray(validAttachments) &&
    validAttachments.every((item) => isObject(item) && typeof item['containerID'] === 'string');
  return isValid ? (value as unknown as CniRequest) : undefined;
}
