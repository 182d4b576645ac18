// The thread that reads flows: its own sockets, its own loop; reports go out by message, in bounded batches.
import { parentPort, workerData } from 'node:worker_threads';
import { ConnectionTracker } from '#flows';
import { ConntrackSocket, LogCopies, type LogPacket, LogReader, Poller } from '#linux';
import { FlowCollector } from './flow-collector.ts';
import { SocketInspector } from './flow-sockets.ts';
import type { FlowThreadOptions, FromFlowThread, ToFlowThread } from './flow-messages.ts';

/** The kernel gathers logged packets for a tenth of a second. */
const LAST_MS = 200;
/** What packets' prefixes stand for may take its time, when the agent's own thread is busy. */
const EXPLAINED_MS = 3_000;
const LOOK_MS = 20;
/** How often to look for new connections while their processes are asked for. */
const EAGER_MS = 2;
/** Bytes of a logged packet while whole copies are asked for: all of it, on any usual network. */
const COPY_BYTES = 9_216;

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
      const onPackets = (packets: readonly LogPacket[]): void => copies.offer(packets);
      return [group, LogReader.open({ ...where, ...bufferBytes, group, onPackets })];
    }),
  );
  // For packet captures; a staged policy decides nothing.
  const copies = new LogCopies({
    verdictOf: ({ prefix }) => {
      if (prefix[1] === 'S') return undefined;
      return ({ A: 'allowed', D: 'denied' } as const)[prefix[0] ?? ''];
    },
    onAsked: (asked) => {
      const bytes = asked?.whole === true ? COPY_BYTES : undefined;
      for (const log of logs.values()) log.setCopyRange(bytes);
    },
  });
  const conntrack = ConntrackSocket.open({
    ...where,
    events: ['new', 'destroy'],
    ...(conntrackBufferBytes !== undefined && { bufferBytes: conntrackBufferBytes }),
  });
  const poller = new Poller();
  let locals: ReadonlySet<string> | undefined;
  const isLocal = (address: string): boolean => locals?.has(address) === true;
  const sockets = new SocketInspector({ ...where, isLocal });
  const tracker = new ConnectionTracker({
    isLocal,
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
    onRead: (seconds) => tell({ type: 'read', seconds }),
    isReady: () => locals !== undefined,
    inspect: (reports) => sockets.inspect(reports),
    onEvents: (events) => sockets.onEvents(events),
    ...(intervalMs !== undefined && { intervalMs }),
  });
  const stopBy = (deadline: number): void => {
    const isWaiting = collector.readAll() && performance.now() < deadline;
    if (isWaiting) setTimeout(() => stopBy(deadline), LOOK_MS);
    else stop();
  };
  const stop = (): void => {
    const reports = collector.stop();
    tell({ type: 'reports', reports });
    tell({ type: 'state', state: collector.state() });
    poller.close();
    copies.close();
    for (const log of logs.values()) log.close();
    conntrack.close();
    sockets.close();
    port.close();
  };
  port.on('message', (message: ToFlowThread) => {
    switch (message.type) {
      case 'hits':
        return collector.onHits(message.hits);
      case 'locals':
        locals = new Set(message.addresses);
        return sockets.setLocals(locals);
      case 'taken':
        return collector.onTaken();
      case 'details':
        // A client may close its socket soon.
        poller.setIdle(message.details.process ? EAGER_MS : undefined);
        return sockets.setDetails(message.details);
      case 'stop':
        // Meanwhile the kernel sends what it gathers.
        setTimeout(() => stopBy(performance.now() + EXPLAINED_MS), LAST_MS);
        return;
      default:
        return message satisfies never;
    }
  });
}

run(workerData as FlowThreadOptions);
