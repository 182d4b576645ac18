// The thread that answers probes: /liveness and /readiness, however busy the agent's own thread is.
import { createServer } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';
import { HealthReport, WATCHED } from './health-report.ts';
import type { HealthThreadOptions, ToHealthThread } from './health-server.ts';

const TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 64;
const TEXT = { 'content-type': 'text/plain' } as const;

function run({ host, port, buffer, timeouts: first }: HealthThreadOptions): void {
  const report = new HealthReport(buffer);
  let timeouts = first;
  const server = createServer(({ method = '', url = '' }, response) => {
    const path = url.split('?')[0];
    const { live, ready } = report.read(timeouts);
    const stuck = WATCHED.filter((part) => !live[part]);
    const lines = [
      ...WATCHED.map((part) => `${part}: ${live[part] ? 'live' : 'stuck'}`),
      `policy in the kernel: ${ready ? 'ready' : 'not ready'}`,
    ];
    if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { ...TEXT, allow: 'GET, HEAD' }).end();
    } else if (path === '/liveness' || path === '/readiness') {
      const good = stuck.length === 0 && (path === '/liveness' || ready);
      response.writeHead(good ? 200 : 503, TEXT).end(`${lines.join('\n')}\n`);
    } else response.writeHead(404, TEXT).end('health is at /liveness and /readiness\n');
  });
  server.requestTimeout = TIMEOUT_MS;
  server.maxConnections = CONNECTIONS_MAX;
  server.on('error', (error) => {
    parentPort?.postMessage({ error: error.message });
    parentPort?.close();
  });
  server.listen({ host, port }, () => {
    const address = server.address();
    const own = typeof address === 'object' && address ? address.port : 0;
    parentPort?.postMessage({ port: own });
  });
  parentPort?.on('message', (message: ToHealthThread) => {
    if (message !== 'stop') {
      timeouts = message;
      return;
    }
    server.close();
    server.closeAllConnections();
    parentPort?.close();
  });
}

run(workerData as HealthThreadOptions);
