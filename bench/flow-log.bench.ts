// NFLOG events to flow records under a UDP flood, against only reading them (needs root).
import { setTimeout as sleep } from 'node:timers/promises';
import { FlowCollector } from '#agent';
import { ConnectionTracker, describeReport, Directory, type RuleHit } from '#flows';
import { ConntrackSocket, LogReader, Poller } from '#linux';
import { printFigure, printMachine } from './measurement.ts';
import { type Host, type Scratch, type Traffic, withScratch } from './scratch.ts';

const PACKETS = 100_000;
const WARM_PACKETS = 20_000;
/** Connections that the packets belong to. */
const PORTS = 1000;
const PREFIX = 'DPI1|NetworkPolicy/default/flood';
const GROUP = 1;
const ADDRESS = { sender: '10.99.0.1', receiver: '10.99.0.2' };
const SETTLE_MS = 2_000;
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
  stop(): void;
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

/** What the agent runs: the same reader, then the packets' fields, the tracker and the flow records. */
function collect(receiver: Host): Pipeline {
  const log = LogReader.open({ group: GROUP, namespace: receiver.fd });
  const conntrack = ConntrackSocket.open({
    namespace: receiver.fd,
    events: ['new', 'destroy'],
  });
  const poller = new Poller();
  const directory = new Directory();
  const tracker = new ConnectionTracker({ isLocal: () => true });
  let events = 0;
  const collector = new FlowCollector({
    logs: [log],
    conntrack,
    poller,
    tracker,
    onLost: (lost) => process.stdout.write(`lost so far: ${lost}\n`),
    hitOf: (prefix) => (prefix === PREFIX ? HIT : undefined),
    onReports: (reports) => {
      for (const report of reports) {
        events += describeReport(report, { node: 'node-1', directory }).packets.out;
      }
    },
  });
  const stop = (): void => {
    collector.stop();
    poller.close();
    log.close();
    conntrack.close();
  };
  return { events: () => events, lost: () => collector.lost, stop };
}

interface Result {
  readonly microseconds: number;
  readonly sent: number;
  readonly logged: number;
  readonly events: number;
  readonly lost: number;
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
  packets: number,
): Promise<Result> {
  const pipeline = open(wire.receiver);
  const before = counted(wire);
  const usage = process.cpuUsage();
  const sent = await wire.sender.ask({
    type: 'flood',
    address: ADDRESS.receiver,
    packets,
    ports: PORTS,
  });
  await sleep(SETTLE_MS);
  const { user, system } = process.cpuUsage(usage);
  const logged = counted(wire) - before;
  const [events, lost] = [pipeline.events(), pipeline.lost()];
  pipeline.stop();
  return { microseconds: (user + system) / events, sent, logged, events, lost };
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
  for (const open of [onlyRead, collect]) await measure(wire, open, WARM_PACKETS);
  const read = await measure(wire, onlyRead, PACKETS);
  const flows = await measure(wire, collect, PACKETS);
  const peer = { name: 'reading alone', figure: read.microseconds };
  printFigure('flood as sent', flows.sent, 'packets/s');
  printFigure('NFLOG events read', read.microseconds, 'us of CPU an event');
  printFigure('NFLOG events to flow records', flows.microseconds, 'us of CPU an event', peer);
  printFigure('NFLOG events to flow records', 1e6 / flows.microseconds, 'events/s of one CPU');
  printFigure('packets that the rule met', flows.logged, 'packets');
  printFigure('packets in flow records', flows.events, 'packets');
  printFigure('lost, as the agent counts', flows.lost, 'packets');
  if (flows.events + flows.lost !== flows.logged) throw new Error('some are neither read nor lost');
});
