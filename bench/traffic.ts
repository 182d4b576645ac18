// A process inside one namespace of a benchmark: serves an echo, and makes traffic when told.
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

export const ECHO_PORT = 7;
/** Takes UDP and never answers. */
export const SILENT_PORT = 9;

export type TrafficRequest =
  | { readonly type: 'serve' }
  /**
   * Microseconds until one byte is back, on one connection; or until a new connection was made and has
   * answered. A tenth is faster: what waits for a CPU that others use is not what is asked for.
   */
  | {
      readonly type: 'roundTrip' | 'connection';
      readonly address: string;
      readonly seconds: number;
    }
  /** Connections a second that were answered with a byte, so many at once. */
  | {
      readonly type: 'connect';
      readonly address: string;
      readonly seconds: number;
      readonly parallel: number;
    }
  /**
   * Microseconds of sending one small UDP packet, a tenth is faster: over veths the packet's whole way, to the
   * other side's socket, is within the call. To a port that answers the first is answered.
   */
  | {
      readonly type: 'packet';
      readonly address: string;
      readonly port: number;
      readonly seconds: number;
    }
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
/** So few that nobody else gets the CPU meanwhile, as a rule. */
const BURST = 20;
const SMALL = Buffer.alloc(64);

async function serve(): Promise<number> {
  const echo = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined).pipe(socket);
  });
  const [answering, silent] = [dgram.createSocket('udp4'), dgram.createSocket('udp4')];
  answering.on('message', (message, { port, address }) => {
    if (message.length === 1) answering.send(message, port, address);
  });
  for (const [socket, port] of [
    [answering, ECHO_PORT],
    [silent, SILENT_PORT],
  ] as const) {
    socket.bind(port);
    await once(socket, 'listening');
  }
  await once(echo.listen({ port: ECHO_PORT, host: '0.0.0.0', backlog: 4096 }), 'listening');
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
  return lowestTenth(times) * 1000;
}

function lowestTenth(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 10)] ?? NaN;
}

async function answered(address: string): Promise<void> {
  const socket = await connected(address, ECHO_PORT);
  socket.write('x');
  await once(socket, 'data');
  // Else the ports that wait for their time would run out.
  socket.resetAndDestroy();
}

async function connection(address: string, seconds: number): Promise<number> {
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  for (let start = performance.now(); start < end; start = performance.now()) {
    await answered(address);
    times.push(performance.now() - start);
  }
  return lowestTenth(times) * 1000;
}

async function connect(address: string, seconds: number, parallel: number): Promise<number> {
  let count = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      await answered(address);
      count++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return count / ((performance.now() - start) / 1000);
}

async function packet(address: string, port: number, seconds: number): Promise<number> {
  const socket = dgram.createSocket('udp4');
  socket.connect(port, address);
  await once(socket, 'connect');
  if (port === ECHO_PORT) {
    socket.send('x');
    await once(socket, 'message', { signal: AbortSignal.timeout(5_000) });
  }
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const sent: Promise<void>[] = [];
    const start = performance.now();
    for (let each = 0; each < BURST; each++) {
      sent.push(new Promise((resolve) => socket.send(SMALL, () => resolve())));
    }
    times.push((performance.now() - start) / BURST);
    await Promise.all(sent);
  }
  socket.close();
  return lowestTenth(times) * 1000;
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
    case 'connection':
      return connection(request.address, request.seconds);
    case 'connect':
      return connect(request.address, request.seconds, request.parallel);
    case 'packet':
      return packet(request.address, request.port, request.seconds);
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
