// Serves metrics over HTTP or HTTPS, with client certificates where they are asked for.
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import type { MetricRegistry } from './metric-registry.ts';

export interface MetricsTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Clients' certificates are signed by one of these. */
  readonly caFile?: string;
  /** Whether a client must have a certificate, may have one, or is not asked (Felix' ClientAuth). */
  readonly clientAuth: 'require' | 'ask' | 'none';
}

/** An address, or a socket that listens already. */
export type MetricsListener =
  | {
      /** Every address where absent. */
      readonly host?: string;
      /** 0 is any free one. */
      readonly port: number;
    }
  | { readonly fd: number };

export interface MetricsServerOptions {
  readonly metrics: MetricRegistry;
  readonly where: MetricsListener;
  readonly tls?: MetricsTls;
  /** Told when files of TLS that changed cannot be used: the old ones stay. */
  readonly log: (message: string) => void;
}

const TIMEOUT_MS = 10_000;
const RENEW_EVERY_MS = 60_000;

export class MetricsServer {
  readonly #server: Server | SecureServer;
  readonly #options: MetricsServerOptions;
  readonly #timer: NodeJS.Timeout;
  #files: string;

  private constructor(server: Server | SecureServer, options: MetricsServerOptions, files: string) {
    this.#server = server;
    this.#options = options;
    this.#files = files;
    this.#timer = setInterval(() => this.renew(), RENEW_EVERY_MS);
    this.#timer.unref();
  }

  /** Throws an Error that says which address or file cannot be used. */
  static async listen(options: MetricsServerOptions): Promise<MetricsServer> {
    const { metrics, where, tls } = options;
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      void respond(metrics, request, response);
    };
    const secure = tls && tlsOptions(tls);
    const server = secure ? createSecureServer(secure, answer) : createServer(answer);
    // A certificate need not be given, but one that is given must be good.
    server.on('secureConnection', (socket: TLSSocket) => {
      const isGiven = Object.keys(socket.getPeerCertificate()).length > 0;
      if (isGiven && !socket.authorized && tls?.clientAuth !== 'none') socket.destroy();
    });
    server.requestTimeout = TIMEOUT_MS;
    server.maxConnections = 64;
    server.unref();
    server.listen(where);
    try {
      await once(server, 'listening');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot serve metrics at ${listenerText(where)}: ${reason}`, {
        cause: error,
      });
    }
    return new MetricsServer(server, options, filesText(secure));
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Takes certificate, key and authority as their files are now; also done by itself, each minute. */
  renew(): void {
    const { tls, log } = this.#options;
    if (!tls || !('setSecureContext' in this.#server)) return;
    try {
      const secure = tlsOptions(tls);
      const files = filesText(secure);
      if (files === this.#files) return;
      this.#server.setSecureContext(secure);
      this.#files = files;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log(`${reason}; metrics are served with the certificate there was`);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

function listenerText(where: MetricsListener): string {
  return 'fd' in where ? `descriptor ${where.fd}` : `${where.host ?? '*'}:${where.port}`;
}

function tlsOptions({ certFile, keyFile, caFile, clientAuth }: MetricsTls) {
  return {
    cert: readNamed('certificate', certFile),
    key: readNamed('key', keyFile),
    ...(caFile !== undefined && { ca: readNamed('certificate authority', caFile) }),
    requestCert: clientAuth !== 'none',
    rejectUnauthorized: clientAuth === 'require',
    minVersion: 'TLSv1.2' as const,
    // Each connection is verified anew, by the authority of now.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Equal for equal files. */
function filesText(secure: ReturnType<typeof tlsOptions> | undefined): string {
  return [secure?.cert, secure?.key, secure?.ca].map((file) => file?.toString('base64')).join();
}

function readNamed(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read the metrics' ${what} ${path}: ${reason}`, { cause: error });
  }
}

async function respond(
  metrics: MetricRegistry,
  { method, url = '/' }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = url.split('?')[0];
  if (method !== 'GET' && method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  if (path !== '/metrics') {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n');
    return;
  }
  try {
    const text = await metrics.text();
    response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    response.writeHead(500, { 'content-type': 'text/plain' }).end(`Cannot collect: ${reason}\n`);
  }
}
