// For tests: an etcd of one's own on free loopback ports, which can be killed and started again, and its etcdctl.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface EtcdProcessOptions {
  /** More of etcd's flags. */
  readonly args?: readonly string[];
  /** `https` needs the certificates among the flags. */
  readonly scheme?: 'http' | 'https';
  /** More of etcdctl's flags. */
  readonly controlArgs?: readonly string[];
}

export class EtcdProcess {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #place: { readonly data: string; readonly peer: string };
  readonly #args: readonly string[];
  readonly #controlArgs: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(
    folder: string,
    { client, peer }: { client: string; peer: string },
    { args = [], controlArgs = [] }: EtcdProcessOptions,
  ) {
    this.#folder = folder;
    this.#place = { data: join(folder, 'data'), peer };
    this.endpoint = client;
    this.#controlArgs = controlArgs;
    this.#args = [
      '--name=test',
      // It is elected soon after it starts again.
      '--heartbeat-interval=20',
      '--election-timeout=200',
      `--data-dir=${this.#place.data}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=test=${peer}`,
      ...args,
    ];
  }

  /** A cluster of one member; resolves when it serves clients. */
  static async start(options: EtcdProcessOptions = {}): Promise<EtcdProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'tortie-etcd-'));
    const client = `${options.scheme ?? 'http'}://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const etcd = new EtcdProcess(folder, { client, peer }, options);
    await etcd.run();
    return etcd;
  }

  /** Starts it (again) with what it has on disk. */
  async run(): Promise<void> {
    const child = spawn('etcd', this.#args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let output = '';
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`etcd ended: ${output.slice(-2000)}`)));
    child.stderr.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-10_000);
      if (/serving (insecure )?client requests/.test(output)) resolve();
    });
    await promise;
  }

  /** Kills it with -9, as many times as one likes. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Stops it where it is, or lets it go on. */
  pause(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal);
  }

  /** Starts it with the contents of a snapshot instead of its own. */
  async restore(snapshot: string): Promise<void> {
    await this.kill();
    const { data, peer } = this.#place;
    await rm(data, { recursive: true });
    const cluster = `--initial-cluster=test=${peer}`;
    const own = ['--name=test', `--data-dir=${data}`, `--initial-advertise-peer-urls=${peer}`];
    await this.control('snapshot', 'restore', snapshot, cluster, ...own);
    await this.run();
  }

  /** Starts it anew, with nothing. */
  async forget(): Promise<void> {
    await this.kill();
    await rm(this.#place.data, { recursive: true });
    await this.run();
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** What etcdctl says. */
  async control(...args: string[]): Promise<string> {
    return this.controlWith('', ...args);
  }

  /** The same with something on its standard input. */
  async controlWith(input: string, ...args: string[]): Promise<string> {
    const env = { ...process.env, ETCDCTL_API: '3' };
    const all = [`--endpoints=${this.endpoint}`, ...this.#controlArgs, ...args];
    const running = promisify(execFile)('etcdctl', all, { env, maxBuffer: 1 << 28 });
    // It need not read it.
    running.child.stdin?.on('error', () => undefined).end(input);
    return (await running).stdout;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('there is no free port');
  return address.port;
}

/** Between a client and an etcd: it can cut all connections, and let new ones through again. */
export class EtcdProxy {
  readonly endpoint: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number | undefined;
  #budget = Infinity;
  #corrupted: string | undefined;

  private constructor(server: Server, { address, port }: AddressInfo, etcd: EtcdProcess) {
    this.endpoint = `${new URL(etcd.endpoint).protocol}//${address}:${port}`;
    this.#server = server;
    this.mend(etcd);
    server.on('connection', (client) => this.#onConnection(client));
  }

  static async start(etcd: EtcdProcess, host = '127.0.0.1'): Promise<EtcdProxy> {
    const server = createServer().listen(0, host);
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('there is no free port');
    return new EtcdProxy(server, address, etcd);
  }

  cut(): void {
    this.#target = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(etcd: EtcdProcess): void {
    this.#target = Number(new URL(etcd.endpoint).port);
  }

  /** Cuts all connections once so many bytes more have come from etcd. */
  cutAfter(bytes: number): void {
    this.#budget = bytes;
  }

  /** From now on turns the first byte of what etcd sends as this text into another. */
  corrupt(text: string): void {
    this.#corrupted = text;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #onConnection(client: Socket): void {
    if (this.#target === undefined) {
      client.destroy();
      return;
    }
    const etcd = connect(this.#target, '127.0.0.1');
    for (const socket of [client, etcd]) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        etcd.destroy();
      });
    }
    etcd.on('data', (chunk: Buffer) => {
      const at = this.#corrupted === undefined ? -1 : chunk.indexOf(this.#corrupted);
      if (at >= 0) chunk[at] = (chunk[at] ?? 0) ^ 1;
      this.#budget -= chunk.length;
      if (this.#budget < 0) this.cut();
    });
    client.pipe(etcd).pipe(client);
  }
}

/**
 * Makes `<name>.pem` and `<name>.key` of the authorities `ca` and `other-ca`, and by them of `server`
 * (for 127.0.0.1), `client` and `stranger` (by the other one).
 */
export async function makeCertificates(folder: string): Promise<void> {
  const openssl = async (...parts: readonly string[][]): Promise<unknown> =>
    promisify(execFile)('openssl', parts.flat());
  const path = (name: string): string => join(folder, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const ca of ['ca', 'other-ca']) {
    await openssl(
      ['req', '-x509', ...curve, '-days', '2', '-subj', `/CN=${ca}`],
      ['-keyout', path(`${ca}.key`), '-out', path(`${ca}.pem`)],
    );
  }
  await writeFile(path('extensions'), 'subjectAltName=IP:127.0.0.1\n');
  for (const [name, ca] of [
    ['server', 'ca'],
    ['client', 'ca'],
    ['stranger', 'other-ca'],
  ]) {
    await openssl(
      ['req', ...curve, '-subj', `/CN=${name}`],
      ['-keyout', path(`${name}.key`), '-out', path(`${name}.csr`)],
    );
    await openssl(
      ['x509', '-req', '-days', '2', '-in', path(`${name}.csr`), '-out', path(`${name}.pem`)],
      ['-CA', path(`${ca}.pem`), '-CAkey', path(`${ca}.key`), '-CAcreateserial'],
      ['-extfile', path('extensions')],
    );
  }
}

/** The flags of an etcd that has these certificates and asks clients for theirs. */
export function tlsArgs(folder: string): string[] {
  return [
    `--cert-file=${join(folder, 'server.pem')}`,
    `--key-file=${join(folder, 'server.key')}`,
    `--trusted-ca-file=${join(folder, 'ca.pem')}`,
    '--client-cert-auth',
  ];
}
