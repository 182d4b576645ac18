// A process inside one namespace of a test: serves the probed ports, and probes others when told.
import dgram from 'node:dgram';
import net from 'node:net';
import type { ServedPort } from './cluster-layout.ts';
import type { Ping, SctpProbe } from './raw-probe.ts';

export interface ProbeRequest {
  readonly id: number;
  readonly protocol: ServedPort['protocol'] | 'icmp';
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

export interface ProbeAnswer {
  readonly id: number;
  /** `refused`: policy let it pass, nobody listens. `silent`: no answer within the time. */
  readonly outcome: 'open' | 'refused' | 'silent';
}

function serve(protocol: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    if (protocol === 'tcp') {
      const server = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.end('ok');
      });
      server.on('error', reject).listen(port, '::', resolve);
    } else {
      const socket = dgram.createSocket({ type: 'udp6', ipv6Only: false });
      socket.on('message', (message, from) => socket.send(message, from.port, from.address));
      socket.on('error', reject).bind(port, '::', resolve);
    }
  });
}

let sctp: SctpProbe | undefined;
let ping: Ping | undefined;

/** Only where SCTP is served, or somebody pings: they load a native library. */
async function serveSctp(ports: readonly number[]): Promise<SctpProbe> {
  return new (await import('./raw-probe.ts')).SctpProbe(ports);
}

async function probe(request: ProbeRequest): Promise<ProbeAnswer['outcome']> {
  const { protocol, address, port, timeoutMs } = request;
  if (protocol === 'tcp') return probeTcp(request);
  if (protocol === 'udp') return probeUdp(request);
  if (protocol === 'sctp') return (sctp ??= await serveSctp([])).probe(address, port, timeoutMs);
  ping ??= new (await import('./raw-probe.ts')).Ping();
  return ping.probe(address, timeoutMs);
}

function probeTcp({ address, port, timeoutMs }: ProbeRequest): Promise<ProbeAnswer['outcome']> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port });
    const timer = setTimeout(() => finish('silent'), timeoutMs);
    const finish = (outcome: ProbeAnswer['outcome']) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    socket.on('connect', () => finish('open'));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      finish(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'),
    );
  });
}

function probeUdp({ address, port, timeoutMs }: ProbeRequest): Promise<ProbeAnswer['outcome']> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const timer = setTimeout(() => finish('silent'), timeoutMs);
    const finish = (outcome: ProbeAnswer['outcome']) => {
      clearTimeout(timer);
      socket.close();
      resolve(outcome);
    };
    socket.on('message', () => finish('open'));
    socket.on('error', () => finish('refused'));
    socket.connect(port, address, () => socket.send('ping'));
  });
}

async function main(): Promise<void> {
  const served = JSON.parse(process.argv[2] ?? '[]') as ServedPort[];
  const sctpPorts = served.filter((it) => it.protocol === 'sctp').map((it) => it.port);
  if (sctpPorts.length > 0) sctp = await serveSctp(sctpPorts);
  const others = served.filter((it) => it.protocol !== 'sctp');
  await Promise.all(others.map(({ protocol, port }) => serve(protocol, port)));
  process.on('message', (request: ProbeRequest) => {
    void probe(request).then((outcome) => process.send?.({ id: request.id, outcome }));
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
}

if (process.argv[1] === import.meta.filename) await main();
