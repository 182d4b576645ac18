// A process inside one namespace of a benchmark: serves an echo and a sink, and makes traffic when told.
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

export const ECHO_PORT = 7;
export const SINK_PORT = 9;

export type TrafficRequest =
  | { readonly type: 'serve' }
  /** Median microseconds until one byte is back, on one connection. */
  | { readonly type: 'roundTrip'; readonly address: string; readonly seconds: number }
  /** Connections a second that were answered with a byte, so many at once. */
  | {
      readonly type: 'connect';
      readonly address: string;
      readonly seconds: number;
      readonly parallel: number;
    }
  /** Bytes a second that the other side received on one connection. */
  | { readonly type: 'stream'; readonly address: string; readonly seconds: number }
  /** UDP packets a second that were sent, in turn to the ports from 10,000 on. */
  | {
      readonly type: 'flood';
      readonly address: string;
      readonly packets: number;
      readonly ports: number;
    };

export interface TrafficAnswer {
  readonly figure: number;
  readonly error?: string;
}

const FLOOD_BATCH = 100;
const PIECE = Buffer.alloc(64 * 1024);

async function serve(): Promise<number> {
  const echo = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined).pipe(socket);
  });
  const sink = net.createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.on('end', () => socket.end(String(bytes)));
  });
  for (const [server, port] of [
    [echo, ECHO_PORT],
    [sink, SINK_PORT],
  ] as const) {
    await once(server.listen({ port, host: '0.0.0.0', backlog: 4096 }), 'listening');
  }
  return 0;
}

async function connected(host: string, port: number): Promise<net.Socket> {
  const socket = net.connect({ host, port, noDelay: true });
  await once(socket, 'connect', { signal: AbortSignal.timeout(5_000) });
  return socket;
}

async function roundTrip(address: string, seconds: number): Promise<number> {
  const socket = await connected(address, ECHO_PORT);
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  for (let start = performance.now(); start < end; start = performance.now()) {
    socket.write('x');
    await new Promise((resolve) => socket.once('data', resolve));
    times.push(performance.now() - start);
  }
  socket.destroy();
  return (times.toSorted((a, b) => a - b)[times.length >> 1] ?? NaN) * 1000;
}

/** Ends with a reset: else the ports that wait for their time would run out. */
async function connect(address: string, seconds: number, parallel: number): Promise<number> {
  let count = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      const socket = await connected(address, ECHO_PORT);
      socket.write('x');
      await once(socket, 'data');
      socket.resetAndDestroy();
      count++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return count / ((performance.now() - start) / 1000);
}

async function stream(address: string, seconds: number): Promise<number> {
  const socket = await connected(address, SINK_PORT);
  const start = performance.now();
  while (performance.now() < start + seconds * 1000) {
    if (!socket.write(PIECE)) await once(socket, 'drain');
  }
  const answer = once(socket, 'data');
  socket.end();
  const [bytes] = (await answer) as [Buffer];
  return Number(bytes) / ((performance.now() - start) / 1000);
}

async function flood(address: string, packets: number, ports: number): Promise<number> {
  const socket = dgram.createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, resolve));
  const start = performance.now();
  for (let sent = 0; sent < packets; sent += FLOOD_BATCH) {
    const count = Math.min(FLOOD_BATCH, packets - sent);
    await Promise.all(
      Array.from({ length: count }, (_, each) => {
        const port = 10_000 + ((sent + each) % ports);
        return new Promise<void>((resolve, reject) => {
          socket.send('x', port, address, (error) => (error ? reject(error) : resolve()));
        });
      }),
    );
  }
  const seconds = (performance.now() - start) / 1000;
  socket.close();
  return packets / seconds;
}

function answer(request: TrafficRequest): Promise<number> {
  switch (request.type) {
    case 'serve':
      return serve();
    case 'roundTrip':
      return roundTrip(request.address, request.seconds);
    case 'connect':
      return connect(request.address, request.seconds, request.parallel);
    case 'stream':
      return stream(request.address, request.seconds);
    case 'flood':
      return flood(request.address, request.packets, request.ports);
  }
}

if (process.argv[1] === import.meta.filename) {
  process.on('message', (request: TrafficRequest) => {
    answer(request).then(
      (figure) => process.send?.({ figure }),
      (error: unknown) => process.send?.({ figure: NaN, error: String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
}
