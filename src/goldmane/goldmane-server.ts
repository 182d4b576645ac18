// Goldmane's gRPC API over kept flows: lists, streams, hints, statistics, and flows of others taken in.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Flow, FlowRecord } from '#flows';
import type { FlowKeeper } from '#flowstore';
import type { Encodable, Fields, Message, MessageOf } from '#lib/protobuf-message';
import { reportOf } from './goldmane-flow.ts';
import { conditionOfFilter, matchesTraces } from './goldmane-filter.ts';
import {
  type Filter,
  FilterHintsRequest,
  FilterHintsResult,
  FlowListRequest,
  FlowListResult,
  FlowReceipt,
  FlowResult,
  FlowStreamRequest,
  FlowUpdate,
  StatisticsRequest,
  StatisticsResult,
} from './goldmane-messages.ts';
import { flowsOf, hintsOf, pageOf, sortFlows, statisticsOf } from './goldmane-queries.ts';
import { SeenFlows } from './seen-flows.ts';

export interface GoldmaneTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Clients' certificates are signed by one of these; they must have one. */
  readonly caFile: string;
}

export interface GoldmaneOptions {
  readonly keeper: FlowKeeper;
  /** `127.0.0.1:7443`; 0 is any free port. */
  readonly address: string;
  /** Absent on loopback alone. */
  readonly tls?: GoldmaneTls;
  readonly now?: () => number;
  /** How often a stream looks for buckets that were closed. */
  readonly pollMs?: number;
}

const BUCKET_MS = 15_000;
const POLL_MS = 1_000;
const RECORDS_MAX = 200_000;
/** Flows that a client of a stream may leave unread, as bytes. */
const UNREAD_MAX = 8 * 1024 * 1024;
/** Sources that are counted apart. */
const SOURCES_MAX = 10_000;
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost):\d+$/;

export interface GoldmaneCounts {
  /** Streams of flows open now, to and from. */
  readonly streams: number;
  readonly collectors: number;
  readonly collected: number;
  /** Flows that came, those that came before too, by the address that they came from. */
  readonly received: ReadonlyMap<string, number>;
}

/** Told of how long things took. */
export interface GoldmaneMeter {
  /** A stream has told what there was when it began. */
  readonly onBackfill: (milliseconds: number) => void;
  /** A flow of another agent was taken in, from this address. */
  readonly onCollected: (source: string, seconds: number) => void;
}

export class GoldmaneServer {
  readonly #options: GoldmaneOptions;
  readonly #server: Server;
  readonly #now: () => number;
  readonly #ids = new Map<string, number>();
  readonly #seen = new SeenFlows();
  readonly #abort = new AbortController();
  readonly #counts = { streams: 0, collectors: 0, collected: 0 };
  readonly #received = new Map<string, number>();
  #port = 0;
  #meter: GoldmaneMeter | undefined;

  private constructor(options: GoldmaneOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
    this.#addServices();
  }

  /** Throws an Error that says which address or file cannot be used. */
  static async listen(options: GoldmaneOptions): Promise<GoldmaneServer> {
    const { address, tls } = options;
    if (!tls && !LOOPBACK.test(address)) {
      throw new Error(
        `Cannot serve flows at ${address} without TLS: give certificate, key and CA files, or use loopback`,
      );
    }
    const server = new GoldmaneServer(options);
    await server.#bind(address, tls);
    return server;
  }

  get port(): number {
    return this.#port;
  }

  get counts(): GoldmaneCounts {
    return { ...this.#counts, received: this.#received };
  }

  /** Has the work measured from now on. */
  measure(meter: GoldmaneMeter): void {
    this.#meter = meter;
  }

  close(): Promise<void> {
    this.#abort.abort();
    this.#server.forceShutdown();
    return Promise.resolve();
  }

  #bind(address: string, tls: GoldmaneTls | undefined): Promise<void> {
    const credentials = tls ? tlsCredentials(tls) : ServerCredentials.createInsecure();
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => {
        if (error) reject(new Error(`Cannot serve flows at ${address}: ${error.message}`));
        else {
          this.#port = port;
          resolve();
        }
      });
    });
  }

  #addServices(): void {
    this.#server.addService(
      {
        List: unary('/goldmane.Flows/List', FlowListRequest, FlowListResult),
        FilterHints: unary('/goldmane.Flows/FilterHints', FilterHintsRequest, FilterHintsResult),
        Stream: {
          ...unary('/goldmane.Flows/Stream', FlowStreamRequest, FlowResult),
          responseStream: true,
        },
      },
      {
        List: answered((request: MessageOf<typeof FlowListRequest>) => this.#list(request)),
        FilterHints: answered((request: MessageOf<typeof FilterHintsRequest>) =>
          this.#hints(request),
        ),
        Stream: (call: StreamCall) => void this.#stream(call),
      },
    );
    this.#server.addService(
      {
        List: {
          ...unary('/goldmane.Statistics/List', StatisticsRequest, StatisticsResult),
          responseStream: true,
        },
      },
      { List: (call: StatisticsCall) => void this.#statistics(call) },
    );
    this.#server.addService(
      {
        Connect: {
          ...unary('/goldmane.FlowCollector/Connect', FlowUpdate, FlowReceipt),
          requestStream: true,
          responseStream: true,
        },
      },
      { Connect: (call: CollectorCall) => this.#collect(call) },
    );
  }

  async #list(
    request: MessageOf<typeof FlowListRequest>,
  ): Promise<Encodable<FieldsOf<typeof FlowListResult>>> {
    const { aggregationInterval, page, pageSize, sortBy, filter } = request;
    if (aggregationInterval % (BUCKET_MS / 1_000) !== 0) {
      throw new RequestError(
        `aggregation_interval ${aggregationInterval} is no multiple of 15 seconds`,
      );
    }
    const records = await this.#records(request, filter);
    const flows = sortFlows(flowsOf(records, aggregationInterval * 1_000), sortBy[0]?.sortBy ?? 0);
    const { items, meta } = pageOf(flows, page, pageSize);
    return { meta, flows: items.map(({ key, flow }) => ({ id: this.#idOf(key), flow })) };
  }

  async #hints(
    request: MessageOf<typeof FilterHintsRequest>,
  ): Promise<Encodable<FieldsOf<typeof FilterHintsResult>>> {
    const hints = hintsOf(await this.#records(request, request.filter), request.type);
    if (!hints) throw new RequestError(`type ${request.type} is none from 1 to 8`);
    const { items, meta } = pageOf(hints, request.page, request.pageSize);
    return { meta, hints: items.map((value) => ({ value })) };
  }

  async #statistics(call: StatisticsCall): Promise<void> {
    try {
      const { request } = call;
      const { policyMatch: match, type, groupBy, timeSeries } = request;
      const { from, to } = this.#window(request);
      const records = await this.#records(request, undefined);
      const oldest = Math.min(to, ...records.map(({ bucketStart }) => bucketStart));
      const question = {
        fromMs: Math.max(from, oldest),
        toMs: to,
        type,
        groupBy,
        match,
        timeSeries,
      };
      for (const result of statisticsOf(records, question)) call.write(result);
      call.end();
    } catch (error) {
      call.destroy(failure(error));
    }
  }

  /** Each closed bucket once, from the requested time on. */
  async #stream(call: StreamCall): Promise<void> {
    const { startTimeGte, filter } = call.request;
    this.#counts.streams++;
    const ended = new AbortController();
    const stop = (): void => ended.abort();
    call.on('cancelled', stop);
    this.#abort.signal.addEventListener('abort', stop);
    try {
      const now = this.#now();
      const begin = startTimeGte === 0 ? now : absolute(startTimeGte, now);
      let next = Math.floor(begin / BUCKET_MS) * BUCKET_MS;
      let began: number | undefined = performance.now();
      while (!ended.signal.aborted) {
        // A bucket takes late reports for as long as it was open, and is kept soon after.
        const closed = Math.floor((this.#now() - 2 * BUCKET_MS) / BUCKET_MS) * BUCKET_MS;
        if (next <= closed) {
          const records = await this.#select({ from: next, to: closed + BUCKET_MS }, filter);
          for (const { key, flow } of flowsOf(records, BUCKET_MS)) {
            call.write({ id: this.#idOf(key), flow });
          }
          next = closed + BUCKET_MS;
        }
        if (began !== undefined) this.#meter?.onBackfill(performance.now() - began);
        began = undefined;
        if (call.writableLength > UNREAD_MAX) throw new RequestError('flows are not read in time');
        await sleep(this.#options.pollMs ?? POLL_MS, undefined, { signal: ended.signal }).catch(
          () => undefined,
        );
      }
      call.end();
    } catch (error) {
      call.destroy(failure(error));
    } finally {
      this.#counts.streams--;
      this.#abort.signal.removeEventListener('abort', stop);
    }
  }

  #collect(call: CollectorCall): void {
    const peer = call.getPeer().replace(/:\d+$/, '');
    this.#counts.collectors++;
    call.on('data', ({ flow }: MessageOf<typeof FlowUpdate>) => {
      try {
        const began = performance.now();
        const source = this.#countFrom(peer);
        if (flow) this.#takeIn(reportOf(flow, peer));
        this.#meter?.onCollected(source, (performance.now() - began) / 1_000);
        call.write({});
      } catch (error) {
        call.destroy(
          failure(new RequestError(error instanceof Error ? error.message : String(error))),
        );
      }
    });
    call.on('error', () => undefined);
    call.on('end', () => call.end());
    call.on('close', () => this.#counts.collectors--);
  }

  /** Returns by which name it is counted. */
  #countFrom(peer: string): string {
    const isFull = this.#received.size >= SOURCES_MAX && !this.#received.has(peer);
    const source = isFull ? 'other' : peer;
    this.#received.set(source, (this.#received.get(source) ?? 0) + 1);
    return source;
  }

  /** A client that connects again sends again what it sent before. */
  #takeIn(flow: Flow): void {
    if (!this.#seen.isNew(flow, this.#now())) return;
    this.#counts.collected++;
    this.#options.keeper.add([flow]);
  }

  #window({ startTimeGte, startTimeLt }: TimeWindow): { from: number; to: number } {
    const now = this.#now();
    return {
      from: startTimeGte === 0 ? 0 : absolute(startTimeGte, now),
      to: startTimeLt === 0 ? now : absolute(startTimeLt, now),
    };
  }

  #records(request: TimeWindow, filter: Filter | undefined): Promise<FlowRecord[]> {
    return this.#select(this.#window(request), filter);
  }

  async #select(
    window: { from: number; to: number },
    filter: Filter | undefined,
  ): Promise<FlowRecord[]> {
    const where = conditionOfFilter(filter);
    const query = {
      from: Math.floor(window.from),
      to: Math.ceil(window.to),
      where,
      limit: RECORDS_MAX,
    };
    const records = await this.#options.keeper.records(query);
    return records.filter((record) => matchesTraces(filter, record));
  }

  /** The same number for the same key while this server runs. */
  #idOf(key: string): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#ids.size + 1;
    if (this.#ids.size < RECORDS_MAX) this.#ids.set(key, id);
    return id;
  }
}

interface TimeWindow {
  readonly startTimeGte: number;
  readonly startTimeLt: number;
}

type StreamCall = ServerWritableStream<
  MessageOf<typeof FlowStreamRequest>,
  Encodable<FieldsOf<typeof FlowResult>>
>;
type StatisticsCall = ServerWritableStream<
  MessageOf<typeof StatisticsRequest>,
  Encodable<FieldsOf<typeof StatisticsResult>>
>;
type CollectorCall = ServerDuplexStream<MessageOf<typeof FlowUpdate>, object>;
type FieldsOf<M> = M extends Message<infer F> ? F : never;

/** The request cannot be answered as it is. */
class RequestError extends Error {}

function failure(error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof RequestError ? status.INVALID_ARGUMENT : status.INTERNAL;
  return Object.assign(new Error(message), { code, details: message });
}

/** Seconds since the epoch, or before now where negative, in milliseconds. */
function absolute(seconds: number, nowMs: number): number {
  return seconds < 0 ? nowMs + seconds * 1_000 : seconds * 1_000;
}

function unary<Request extends Fields, Response extends Fields>(
  path: string,
  request: Message<Request>,
  response: Message<Response>,
): ServiceDefinition[string] {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Encodable<Request>) => Buffer.from(request.encode(value)),
    requestDeserialize: (bytes: Buffer) => request.decode(bytes),
    responseSerialize: (value: Encodable<Response>) => Buffer.from(response.encode(value)),
    responseDeserialize: (bytes: Buffer) => response.decode(bytes),
  };
}

function answered<Request, Response>(
  act: (request: Request) => Promise<Response>,
): UntypedServiceImplementation[string] {
  const handle: handleUnaryCall<Request, Response> = (call, callback) => {
    act(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => callback(failure(error)),
    );
  };
  return handle;
}

function tlsCredentials({ certFile, keyFile, caFile }: GoldmaneTls): ServerCredentials {
  const pair = { cert_chain: readFileSync(certFile), private_key: readFileSync(keyFile) };
  return ServerCredentials.createSsl(readFileSync(caFile), [pair], true);
}
