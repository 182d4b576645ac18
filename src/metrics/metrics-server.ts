// Serves metrics over HTTP or HTTPS, with client certificates where they are asked for.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
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
}

const TIMEOUT_MS = 10_000;

export class MetricsServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Throws an Error that says which address or file cannot be used. */
  static async listen(options: MetricsServerOptions): Promise<MetricsServer> {
    const { metrics, where, tls } = options;
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      void respond(metrics, request, response);
    };
    const server = tls ? createSecureServer(tlsOptions(tls), answer) : createServer(answer);
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
    return new MetricsServer(server);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  async close(): Promise<void> {
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
  };
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
