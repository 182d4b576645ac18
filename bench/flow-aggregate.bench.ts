// Flow reports merged into records: reports a second on one core and memory, against only parsing the same reports.
import { type Flow, FlowAggregator, parseFlow } from '#flows';
import { printFigure, printMachine } from './measurement.ts';

const REPORTS = 400_000;
const BATCH = 5_000;
/** Pods, and ports that they call: a busy node's. */
const PODS = 200;
const PORTS = [53, 80, 443, 5432, 6379];
const REPORTS_A_SECOND = 50_000;

function report(index: number, startMs: number): Flow {
  const pod = (index * 7919) % PODS;
  const peer = (index * 104_729) % PODS;
  const at = startMs + Math.floor((index / REPORTS_A_SECOND) * 1_000);
  const end = (number: number): Flow['source'] => ({
    type: 'workload',
    namespace: `ns-${number % 20}`,
    name: `web-${number}`,
    aggregate: `web-${number % 50}-*`,
    address: `10.0.${number >> 8}.${number & 255}`,
    labels: LABELS[number % LABELS.length] ?? {},
  });
  return {
    startTime: at,
    endTime: at,
    reporter: 'src',
    node: 'one',
    source: end(pod),
    destination: end(peer),
    protocol: 'tcp',
    sourcePort: 32_768 + (index % 28_000),
    port: PORTS[index % PORTS.length] ?? 80,
    verdict: index % 10 === 0 ? 'deny' : 'allow',
    packets: { in: 3, out: 4 },
    bytes: { in: 300, out: 400 },
    connections: { started: 1, completed: 1, live: 0 },
    policies: [
      {
        direction: 'egress',
        tier: 'default',
        kind: 'NetworkPolicy',
        namespace: `ns-${pod % 20}`,
        name: 'default.web',
        rule: index % 3,
        action: index % 10 === 0 ? 'deny' : 'allow',
      },
    ],
  };
}

const LABELS = Array.from({ length: 50 }, (_, index) => ({
  app: `app-${index}`,
  team: `team-${index % 5}`,
  'app.kubernetes.io/part-of': 'shop',
}));

interface Turn {
  readonly perSecond: number;
  readonly records: number;
  readonly heapMib: number;
}

function measure(take: (flow: Flow) => void, end: () => number): Turn {
  const startMs = 1_700_000_000_000;
  let elapsed = 0;
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let first = 0; first < REPORTS; first += BATCH) {
    const flows = Array.from({ length: BATCH }, (_, index) => report(first + index, startMs));
    const begun = process.cpuUsage();
    for (const flow of flows) take(flow);
    const { user, system } = process.cpuUsage(begun);
    elapsed += user + system;
  }
  globalThis.gc?.();
  const heapMib = (process.memoryUsage().heapUsed - before) / 1024 / 1024;
  return { perSecond: REPORTS / (elapsed / 1e6), records: end(), heapMib };
}

printMachine();
const texts: unknown[] = Array.from({ length: 1_000 }, (_, index): unknown =>
  JSON.parse(JSON.stringify(report(index, 1_700_000_000_000))),
);
let next = 0;
const parsed = measure(
  () => void parseFlow(texts[next++ % texts.length]),
  () => 0,
);
for (const level of [0, 1, 2] as const) {
  const aggregator = new FlowAggregator({
    allowedLevel: level,
    deniedLevel: level,
    recordsMax: 200_000,
  });
  let packets = 0;
  const { perSecond, records, heapMib } = measure(
    (flow) => aggregator.add(flow, flow.endTime),
    () => {
      const all = aggregator.flush(Number.MAX_SAFE_INTEGER, true);
      for (const record of all) packets += record.packets.out;
      return all.length;
    },
  );
  if (packets !== REPORTS * 4) throw new Error(`${packets} packets are not ${REPORTS * 4}`);
  printFigure(`level ${level}: reports of CPU`, perSecond, '/s', {
    name: 'parsing them',
    figure: parsed.perSecond,
  });
  printFigure(`level ${level}: records of ${REPORTS} reports`, records, 'records');
  printFigure(`level ${level}: memory`, heapMib, 'MiB');
}
