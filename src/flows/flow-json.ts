// Reads flow records from JSON that somebody else wrote: strict, bounded, every problem named.
import { isObject } from '#lib';
import type { Flow, FlowConnections, FlowCounts, FlowEnd, PolicyHit } from './flow.ts';

const TEXT_MAX = 512;
const LABELS_MAX = 128;
const POLICIES_MAX = 128;
const PROBLEMS_MAX = 16;
const BATCH_MAX = 10_000;

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
  };
  fields.end();
  return flow;
}

function readEnd(fields: Fields): FlowEnd {
  const end: FlowEnd = {
    type: fields.oneOf('type', ['workload', 'host', 'network-set', 'network']),
    namespace: fields.nullableText('namespace'),
    name: fields.text('name'),
    address: fields.text('address'),
    labels: fields.labels('labels'),
  };
  fields.end();
  return end;
}

function readHit(fields: Fields): PolicyHit {
  const hit: PolicyHit = {
    direction: fields.oneOf('direction', ['egress', 'ingress']),
    tier: fields.nullableText('tier'),
    kind: fields.nullableText('kind'),
    namespace: fields.nullableText('namespace'),
    name: fields.nullableText('name'),
    rule: fields.integer('rule', Number.MAX_SAFE_INTEGER, -1),
    action: fields.oneOf('action', ['allow', 'deny', 'pass']),
  };
  fields.end();
  return hit;
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

class Reader {
  readonly problems: string[] = [];

  problem(path: string, message: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${path || 'flow'} ${message}`);
  }

  /** The fields of what is no object have no problems of their own. */
  object(value: unknown, path: string): Fields {
    if (isObject(value)) return new Fields(this, value, path);
    this.problem(path, 'is no object');
    return new Fields(new Reader(), {}, path);
  }
}

/** The fields of one object: each is read once, what is left over is a problem. */
class Fields {
  readonly #reader: Reader;
  readonly #value: Record<string, unknown>;
  readonly #path: string;
  readonly #read = new Set<string>();

  constructor(reader: Reader, value: Record<string, unknown>, path: string) {
    this.#reader = reader;
    this.#value = value;
    this.#path = path;
  }

  end(): void {
    for (const name of Object.keys(this.#value)) {
      if (!this.#read.has(name)) this.#problem(name.slice(0, 64), 'is no field of a flow');
    }
  }

  object(name: string): Fields {
    return this.#reader.object(this.#take(name), this.#at(name));
  }

  objects(name: string, max: number): Fields[] {
    const value = this.#take(name);
    if (Array.isArray(value) && value.length <= max) {
      return value.map((item, index) => this.#reader.object(item, `${this.#at(name)}[${index}]`));
    }
    this.#problem(name, `is no list of at most ${max}`);
    return [];
  }

  text(name: string): string {
    const value = this.#take(name);
    if (typeof value === 'string' && value.length <= TEXT_MAX) return value;
    this.#problem(name, `is no text of at most ${TEXT_MAX} characters`);
    return '';
  }

  nullableText(name: string): string | null {
    if (this.#value[name] !== null) return this.text(name);
    this.#read.add(name);
    return null;
  }

  optionalText(name: string): string | undefined {
    return this.#has(name) ? this.text(name) : undefined;
  }

  integer(name: string, max = Number.MAX_SAFE_INTEGER, min = 0): number {
    const value = this.#take(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
      return value;
    }
    this.#problem(name, `is no whole number from ${min} to ${max}`);
    return 0;
  }

  optionalInteger(name: string, max: number): number | undefined {
    return this.#has(name) ? this.integer(name, max) : undefined;
  }

  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.#take(name);
    const known = values.find((candidate) => candidate === value);
    if (known === undefined) this.#problem(name, `is none of ${values.join(', ')}`);
    return known ?? values[0];
  }

  labels(name: string): Record<string, string> {
    const value = this.#take(name);
    const entries = isObject(value) ? Object.entries(value) : undefined;
    if (!entries || entries.length > LABELS_MAX) {
      this.#problem(name, `is no object of at most ${LABELS_MAX} labels`);
      return {};
    }
    const labels: [string, string][] = [];
    for (const [key, text] of entries) {
      if (typeof text === 'string' && text.length + key.length <= TEXT_MAX)
        labels.push([key, text]);
      else this.#problem(`${name}[${JSON.stringify(key.slice(0, 64))}]`, 'is no text');
    }
    return Object.fromEntries(labels);
  }

  #has(name: string): boolean {
    return Object.hasOwn(this.#value, name);
  }

  #take(name: string): unknown {
    this.#read.add(name);
    return this.#has(name) ? this.#value[name] : undefined;
  }

  #at(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name;
  }

  #problem(name: string, message: string): void {
    this.#reader.problem(this.#at(name), message);
  }
}
