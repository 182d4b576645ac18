// NFLOG events to flow records under a UDP flood, against only reading them; offered against recorded (needs root).
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { FlowWorker } from '#agent';
import { describeReport, Directory, type RuleHit } from '#flows';
import { LogReader, Poller } from '#linux';
import { printFigure, printMachine } from './measurement.ts';
import { type Host, type Scratch, type Traffic, withScratch } from './scratch.ts';

/** Packets a second that are offered, for so many seconds. */
const RATE = Number(process.env['RATE'] ?? 100_000);
const SECONDS = Number(process.env['SECONDS'] ?? 5);
const WARM_SECONDS = 1;
const PEER_SECONDS = 5;
/** Connections that the packets belong to. */
const PORTS = 1000;
const PREFIX = 'DPI1|NetworkPolicy/default/flood';
const GROUP = 1;
const ADDRESS = { sender: '10.99.0.1', receiver: '10.99.0.2' };
const SETTLE_MS = 2_000;
const LAST = 10;
const HIT: RuleHit = {
  action: 'Deny',
  direction: 'ingress',
  tier: 'default',
  policy: { kind: 'NetworkPolicy', namespace: 'default', name: 'flood' },
  rule: 1,
};

interface Pipeline {
  /** Events that came out at the end. */
  events(): number;
  /** Events that its own counting says were lost. */
  lost(): number;
  stop(): void | Promise<void>;
}

/** Reads the messages, and no more. */
function onlyRead(receiver: Host): Pipeline {
  const log = LogReader.open({ group: GROUP, namespace: receiver.fd });
  const poller = new Poller();
  let events = 0;
  poller.onReadable(log.fd, () => (events += log.read().length));
  const stop = (): void => {
    poller.close();
    log.close();
  };
  return { events: () => events, lost: () => log.lost, stop };
}

/** What the agent runs: a thread reads and tracks, this one names and counts. */
function collect(receiver: Host): Pipeline {
  const directory = new Directory();
  let events = 0;
  const worker = new FlowWorker({
    groups: [GROUP],
    namespace: receiver.fd,
    hitOf: (prefix) => (prefix === PREFIX ? HIT : undefined),
    log: (message) => void process.stdout.write(`${message}\n`),
    onReports: (reports) => {
      for (const report of reports) {
        events += describeReport(report, { node: 'node-1', directory }).packets.out;
      }
    },
  });
  worker.setLocals([]);
  const lost = (): number => {
    const { groups = [], dropped = 0, unnamed = 0 } = worker.state ?? {};
    return groups.reduce((sum, group) => sum + group.lost, dropped + unnamed);
  };
  return { events: () => events, lost, stop: () => worker.stop() };
}

interface Result {
  readonly microseconds: number;
  readonly sent: number;
  readonly logged: number;
  readonly events: number;
  readonly lost: number;
  /** The 99th percentile of how late this thread's timers are, in milliseconds. */
  readonly delay: number;
}

interface Wire {
  readonly receiver: Host;
  readonly sender: Traffic;
}

/** What the rule counted, as the kernel says it. */
function counted({ receiver }: Wire): number {
  const text = receiver.run(['nft', 'list', 'chain', 'inet', 'flood', 'input']);
  return Number(/counter packets (\d+)/.exec(text)?.[1] ?? NaN);
}

async function measure(
  wire: Wire,
  open: (receiver: Host) => Pipeline,
  seconds: number,
): Promise<Result> {
  const pipeline = open(wire.receiver);
  await sleep(SETTLE_MS);
  const before = counted(wire);
  const delays = monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  const usage = process.cpuUsage();
  const begun = performance.now();
  for (let second = 0; second < seconds; second++) {
    const request = {
      type: 'flood',
      address: ADDRESS.receiver,
      packets: RATE,
      ports: PORTS,
    } as const;
    await wire.sender.ask(request);
    const early = (second + 1) * 1000 - (performance.now() - begun);
    if (early > 0) await sleep(early);
  }
  const sent = (RATE * seconds) / ((performance.now() - begun) / 1000);
  await sleep(SETTLE_MS);
  // Whether the last ones were lost shows by the number of the next.
  await wire.sender.ask({ type: 'flood', address: ADDRESS.receiver, packets: LAST, ports: LAST });
  await sleep(SETTLE_MS);
  await pipeline.stop();
  const { user, system } = process.cpuUsage(usage);
  delays.disable();
  const logged = counted(wire) - before;
  const [events, lost] = [pipeline.events(), pipeline.lost()];
  const delay = delays.percentile(99) / 1e6;
  return { microseconds: (user + system) / events, sent, logged, events, lost, delay };
}

async function connect(scratch: Scratch): Promise<Wire> {
  const [left, receiver] = [scratch.host(), scratch.host()];
  left.route.createVeth({ name: 'left0', peerName: 'right0', peerNamespace: receiver.fd });
  for (const [host, link, address] of [
    [left, 'left0', ADDRESS.sender],
    [receiver, 'right0', ADDRESS.receiver],
  ] as const) {
    host.route.addAddress(link, `${address}/24`);
    host.route.setUp(link);
  }
  const rule = `udp dport 10000-19999 counter log prefix "${PREFIX}" group ${GROUP} snaplen 128 drop`;
  const chain = `chain input {\ntype filter hook input priority 0;\n${rule}\n}`;
  receiver.run(['nft', '-f', '-'], `table inet flood {\n${chain}\n}\n`);
  return { receiver, sender: await scratch.traffic(left) };
}

await withScratch(async (scratch) => {
  printMachine();
  const wire = await connect(scratch);
  for (const open of [onlyRead, collect]) await measure(wire, open, WARM_SECONDS);
  const read = await measure(wire, onlyRead, Math.min(SECONDS, PEER_SECONDS));
  const flows = await measure(wire, collect, SECONDS);
  const peer = { name: 'reading alone', figure: read.microseconds };
  const inside = { name: 'reading in this thread', figure: read.delay };
  printFigure('flood as sent', flows.sent, 'packets/s');
  printFigure('NFLOG events read', read.microseconds, 'us of CPU an event');
  printFigure('NFLOG events to flow records', flows.microseconds, 'us of CPU an event', peer);
  printFigure('NFLOG events to flow records', 1e6 / flows.microseconds, 'events/s of one CPU');
  printFigure("delay of the agent's own thread, 99 %", flows.delay, 'ms', inside);
  printFigure('packets that the rule met', flows.logged, 'packets');
  printFigure('packets in flow records', flows.events, 'packets');
  printFigure('lost, as the agent counts', flows.lost, 'packets');
  if (flows.events + flows.lost !== flows.logged) throw new Error('some are neither read nor lost');
});
