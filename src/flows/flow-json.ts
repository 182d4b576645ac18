// Reads flow records from JSON that somebody else wrote: strict, bounded, every problem named.
import type {
  Flow,
  FlowConnections,
  FlowCounts,
  FlowEnd,
  FlowMerged,
  FlowProcess,
  FlowService,
  FlowTcp,
  FlowTranslation,
  PolicyHit,
  PolicyTrigger,
} from './flow.ts';
import { type Fields, Reader } from './json-fields.ts';

const POLICIES_MAX = 128;
const ARGS_MAX = 16;
const BATCH_MAX = 10_000;
const LEVELS = [0, 1, 2, 3] as const;

/** All that is wrong with a record at once. */
export class InvalidFlow extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`parse flow: ${problems.join('; ')}`);
    this.name = 'InvalidFlow';
    this.problems = problems;
  }
}

/** Throws InvalidFlow. Fields that a flow does not have are problems too. */
export function parseFlow(value: unknown): Flow {
  const reader = new Reader();
  const flow = readFlow(reader.object(value, ''));
  if (reader.problems.length > 0) throw new InvalidFlow(reader.problems);
  return flow;
}

/** A batch as an agent ships it: all of it, or InvalidFlow with the problems of its records. */
export function parseFlows(values: unknown): Flow[] {
  if (!Array.isArray(values) || values.length > BATCH_MAX) {
    throw new InvalidFlow([`batch is no list of at most ${BATCH_MAX} flows`]);
  }
  const reader = new Reader();
  const flows = values.map((value, index) => readFlow(reader.object(value, `[${index}]`)));
  if (reader.problems.length > 0) throw new InvalidFlow(reader.problems);
  return flows;
}

function readFlow(fields: Fields): Flow {
  const destinationNode = fields.optionalText('destinationNode');
  const sourcePort = fields.optionalInteger('sourcePort', 65535);
  const port = fields.optionalInteger('port', 65535);
  const icmpType = fields.optionalInteger('icmpType', 255);
  const flow: Flow = {
    startTime: fields.integer('startTime'),
    endTime: fields.integer('endTime'),
    reporter: fields.oneOf('reporter', ['src', 'dst', 'both']),
    node: fields.text('node'),
    ...(destinationNode !== undefined && { destinationNode }),
    source: readEnd(fields.object('source')),
    destination: readEnd(fields.object('destination')),
    protocol: fields.text('protocol'),
    ...(sourcePort !== undefined && { sourcePort }),
    ...(port !== undefined && { port }),
    ...(icmpType !== undefined && { icmpType }),
    verdict: fields.oneOf('verdict', ['allow', 'deny']),
    packets: readCounts(fields.object('packets')),
    bytes: readCounts(fields.object('bytes')),
    connections: readConnections(fields.object('connections')),
    policies: fields.objects('policies', POLICIES_MAX).map(readHit),
    ...readExtras(fields),
  };
  fields.end();
  return flow;
}

/** What not every flow has. */
function readExtras(fields: Fields): Partial<Flow> {
  const previousTime = fields.optionalInteger('previousTime', Number.MAX_SAFE_INTEGER);
  const pending = fields.optionalObjects('pending', POLICIES_MAX)?.map(readHit);
  const service = fields.optionalObject('service');
  const translation = fields.optionalObject('translation');
  const process = fields.optionalObject('process');
  const destinationProcess = fields.optionalObject('destinationProcess');
  const tcp = fields.optionalObject('tcp');
  const merged = fields.optionalObject('merged');
  return {
    ...(previousTime !== undefined && { previousTime }),
    ...(pending && { pending }),
    ...(service && { service: readService(service) }),
    ...(translation && { translation: readTranslation(translation) }),
    ...(process && { process: readProcess(process) }),
    ...(destinationProcess && { destinationProcess: readProcess(destinationProcess) }),
    ...(tcp && { tcp: readTcp(tcp) }),
    ...(merged && { merged: readMerged(merged) }),
  };
}

function readMerged(fields: Fields): FlowMerged {
  const flows = fields.integer('flows', Number.MAX_SAFE_INTEGER, 1);
  const level = LEVELS[fields.integer('level', 3)] ?? 3;
  fields.end();
  return { flows, level };
}

function readService(fields: Fields): FlowService {
  const service = {
    namespace: fields.text('namespace'),
    name: fields.text('name'),
    portName: fields.text('portName'),
    port: fields.integer('port', 65535),
  };
  fields.end();
  return service;
}

function readTranslation(fields: Fields): FlowTranslation {
  const calledAddress = fields.optionalText('calledAddress');
  const calledPort = fields.optionalInteger('calledPort', 65535);
  const seenAddress = fields.optionalText('seenAddress');
  const seenPort = fields.optionalInteger('seenPort', 65535);
  fields.end();
  return {
    ...(calledAddress !== undefined && { calledAddress }),
    ...(calledPort !== undefined && { calledPort }),
    ...(seenAddress !== undefined && { seenAddress }),
    ...(seenPort !== undefined && { seenPort }),
  };
}

function readProcess(fields: Fields): FlowProcess {
  const process = {
    name: fields.text('name'),
    pid: fields.integer('pid'),
    args: fields.texts('args', ARGS_MAX),
  };
  fields.end();
  return process;
}

function readTcp(fields: Fields): FlowTcp {
  const timeouts = fields.optionalInteger('timeouts', 255);
  const tcp = {
    rtt: fields.integer('rtt'),
    minRtt: fields.integer('minRtt'),
    mss: fields.integer('mss'),
    congestionWindow: fields.integer('congestionWindow'),
    retransmissions: fields.integer('retransmissions'),
    lost: fields.integer('lost'),
    ...(timeouts !== undefined && { timeouts }),
  };
  fields.end();
  return tcp;
}

function readEnd(fields: Fields): FlowEnd {
  const aggregate = fields.optionalText('aggregate');
  const end: FlowEnd = {
    type: fields.oneOf('type', ['workload', 'host', 'network-set', 'network']),
    namespace: fields.nullableText('namespace'),
    name: fields.text('name'),
    ...(aggregate !== undefined && { aggregate }),
    address: fields.text('address'),
    labels: fields.labels('labels'),
  };
  fields.end();
  return end;
}

function readHit(fields: Fields): PolicyHit {
  const trigger = fields.optionalObject('trigger');
  const hit: PolicyHit = {
    direction: fields.oneOf('direction', ['egress', 'ingress']),
    tier: fields.nullableText('tier'),
    kind: fields.nullableText('kind'),
    namespace: fields.nullableText('namespace'),
    name: fields.nullableText('name'),
    rule: fields.integer('rule', Number.MAX_SAFE_INTEGER, -2),
    action: fields.oneOf('action', ['allow', 'deny', 'pass']),
    ...(trigger && { trigger: readTrigger(trigger) }),
  };
  fields.end();
  return hit;
}

function readTrigger(fields: Fields): PolicyTrigger {
  const trigger = {
    kind: fields.text('kind'),
    namespace: fields.nullableText('namespace'),
    name: fields.text('name'),
  };
  fields.end();
  return trigger;
}

function readCounts(fields: Fields): FlowCounts {
  const counts = { in: fields.integer('in'), out: fields.integer('out') };
  fields.end();
  return counts;
}

function readConnections(fields: Fields): FlowConnections {
  const connections = {
    started: fields.integer('started'),
    completed: fields.integer('completed'),
    live: fields.integer('live'),
  };
  fields.end();
  return connections;
}
