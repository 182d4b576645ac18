// The thread that reads flows: its own sockets, its own loop; reports go out by message, in bounded batches.
import { parentPort, workerData } from 'node:worker_threads';
import { ConnectionTracker } from '#flows';
import { ConntrackSocket, LogReader, Poller } from '#linux';
import { FlowCollector } from './flow-collector.ts';
import type { FlowThreadOptions, FromFlowThread, ToFlowThread } from './flow-messages.ts';

/** The kernel gathers logged packets for a tenth of a second. */
const LAST_MS = 200;

function run(options: FlowThreadOptions): void {
  const port = parentPort;
  if (!port) throw new Error('the flow thread runs as a worker only');
  const { groups, namespace, maxConnections, intervalMs } = options;
  const { logBufferBytes, conntrackBufferBytes } = options;
  const where = namespace === undefined ? {} : { namespace };
  const tell = (message: FromFlowThread) => port.postMessage(message);
  const logs = new Map(
    groups.map((group) => {
      const bufferBytes = logBufferBytes === undefined ? {} : { bufferBytes: logBufferBytes };
      return [group, LogReader.open({ ...where, ...bufferBytes, group })];
    }),
  );
  const conntrack = ConntrackSocket.open({
    ...where,
    events: ['new', 'destroy'],
    ...(conntrackBufferBytes !== undefined && { bufferBytes: conntrackBufferBytes }),
  });
  const poller = new Poller();
  let locals: ReadonlySet<string> = new Set();
  const tracker = new ConnectionTracker({
    isLocal: (address) => locals.has(address),
    ...(maxConnections !== undefined && { maxConnections }),
  });
  const collector = new FlowCollector({
    logs,
    conntrack,
    poller,
    tracker,
    ask: (prefixes) => tell({ type: 'ask', prefixes }),
    onReports: (reports) => tell({ type: 'reports', reports }),
    onState: (state) => tell({ type: 'state', state }),
    ...(intervalMs !== undefined && { intervalMs }),
  });
  const stop = (): void => {
    const reports = collector.stop();
    tell({ type: 'reports', reports });
    tell({ type: 'state', state: collector.state() });
    poller.close();
    for (const log of logs.values()) log.close();
    conntrack.close();
    port.close();
  };
  port.on('message', (message: ToFlowThread) => {
    switch (message.type) {
      case 'hits':
        return collector.onHits(message.hits);
      case 'locals':
        locals = new Set(message.addresses);
        return;
      case 'taken':
        return collector.onTaken();
      case 'details':
        return;
      case 'stop':
        // Meanwhile the kernel sends what it gathers.
        setTimeout(stop, LAST_MS);
        return;
      default:
        return message satisfies never;
    }
  });
}

run(workerData as FlowThreadOptions);
