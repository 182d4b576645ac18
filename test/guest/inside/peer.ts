// A process inside one namespace: echoes what it gets, and exchanges with others what it is told to.
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

export const PORT = 7;
const WAIT_MS = 4_000;

export type PeerRequest =
  /** So many datagrams of so many bytes, one after the other, from one port: how many came back. */
  | {
      readonly type: 'udp';
      readonly address: string;
      readonly count: number;
      readonly bytes: number;
      readonly localPort: number;
    }
  /** Opens the one TCP connection that is kept. */
  | { readonly type: 'open'; readonly address: string }
  /** Sends so many bytes on it: how many came back in time. */
  | { readonly type: 'say'; readonly bytes: number; readonly waitMs: number };

let connection: net.Socket | undefined;

async function exchange(request: PeerRequest & { type: 'udp' }): Promise<number> {
  const { address, count, bytes, localPort } = request;
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(localPort);
  await once(socket, 'listening');
  let answered = 0;
  for (let sent = 0; sent < count; sent++) {
    socket.send(Buffer.alloc(bytes), PORT, address);
    const signal = AbortSignal.timeout(1_000);
    answered += await once(socket, 'message', { signal }).then(
      () => 1,
      () => 0,
    );
  }
  socket.close();
  return answered;
}

async function open(host: string): Promise<number> {
  connection = net.connect({ host, port: PORT, noDelay: true });
  connection.on('error', () => undefined);
  await once(connection, 'connect', { signal: AbortSignal.timeout(WAIT_MS) });
  return 1;
}

async function say({ bytes, waitMs }: PeerRequest & { type: 'say' }): Promise<number> {
  const socket = connection;
  if (!socket) throw new Error('no connection is open');
  let got = 0;
  const { promise, resolve } = Promise.withResolvers<number>();
  const onData = (data: Buffer): void => {
    got += data.length;
    if (got >= bytes) resolve(got);
  };
  socket.on('data', onData).write(Buffer.alloc(bytes));
  const timer = setTimeout(() => resolve(got), waitMs);
  const result = await promise;
  clearTimeout(timer);
  socket.off('data', onData);
  return result;
}

function answer(request: PeerRequest): Promise<number> {
  switch (request.type) {
    case 'udp':
      return exchange(request);
    case 'open':
      return open(request.address);
    case 'say':
      return say(request);
    default:
      return request satisfies never;
  }
}

async function serve(): Promise<void> {
  const echo = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined).pipe(socket);
  });
  await once(echo.listen({ port: PORT, host: '::' }), 'listening');
  const datagrams = dgram.createSocket('udp6');
  datagrams.on('message', (message, { port, address }) => {
    datagrams.send(message, port, address);
  });
  datagrams.bind(PORT, '::');
  await once(datagrams, 'listening');
}

process.on('message', (request: PeerRequest) => {
  answer(request).then(
    (figure) => process.send?.({ figure }),
    (error: unknown) => process.send?.({ figure: -1, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
await serve();
process.send?.('ready');
