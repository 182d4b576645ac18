// The columns of the flow table, in order: how a record is written into them and read back.
import { addressBytes, isObject, parseAddress } from '#lib';
import {
  type AggregationLevel,
  type FlowProcess,
  type FlowRecord,
  LISTS,
  type PolicyHit,
  type RecordEnd,
  type RecordTcp,
  SCALARS,
} from '#flows';

export type ColumnType = 'integer' | 'text' | 'texts';
export type ColumnValue = number | string | readonly string[];

export interface FlowColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly of: (record: FlowRecord) => ColumnValue;
}

const NUMBERS: ReadonlySet<string> = new Set([
  'sourcePort',
  'port',
  'icmpType',
  'level',
  'servicePort',
]);

/** Columns that one can group by and compare: the record's scalars under their names in SQL. */
const scalarColumns: readonly FlowColumn[] = Object.entries(SCALARS).map(([field, of]) => ({
  name: columnName(field),
  type: NUMBERS.has(field) ? ('integer' as const) : ('text' as const),
  of,
}));

const listColumns: readonly FlowColumn[] = Object.entries(LISTS).map(([field, of]) => ({
  name: columnName(field),
  type: 'texts' as const,
  of,
}));

function integer(name: string, of: (record: FlowRecord) => number): FlowColumn {
  return { name, type: 'integer', of };
}

function text(name: string, of: (record: FlowRecord) => string): FlowColumn {
  return { name, type: 'text', of };
}

export const FLOW_COLUMNS: readonly FlowColumn[] = [
  integer('bucket_start', (record) => record.bucketStart),
  integer('start_time', (record) => record.startTime),
  integer('end_time', (record) => record.endTime),
  ...scalarColumns,
  ...(['source', 'destination'] as const).flatMap((side): FlowColumn[] => [
    text(`${side}_key`, (record) => addressKey(record[side].address)),
    {
      name: `${side}_labels`,
      type: 'texts',
      of: (record) => Object.entries(record[side].labels).map(([key, value]) => `${key}=${value}`),
    },
  ]),
  text('service_port_name', ({ service }) => service?.portName ?? ''),
  ...listColumns,
  text('policies', ({ policies }) => JSON.stringify(policies)),
  text('pending', ({ pending }) => JSON.stringify(pending)),
  integer('packets_in', ({ packets }) => packets.in),
  integer('packets_out', ({ packets }) => packets.out),
  integer('bytes_in', ({ bytes }) => bytes.in),
  integer('bytes_out', ({ bytes }) => bytes.out),
  integer('started', ({ connections }) => connections.started),
  integer('completed', ({ connections }) => connections.completed),
  integer('live', ({ connections }) => connections.live),
  integer('flows', ({ flows }) => flows),
  text('called_address', ({ calledAddress }) => calledAddress ?? ''),
  integer('called_port', ({ calledPort }) => calledPort ?? -1),
  text('processes', ({ processes }) => JSON.stringify(processes)),
  integer('process_count', ({ processCount }) => processCount),
  text('tcp', ({ tcp }) => (tcp ? JSON.stringify(tcp) : '')),
];

/** `sourceNamespace` is the column `source_namespace`. */
export function columnName(field: string): string {
  return field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The family's digit and the address in hexadecimal, so that a prefix is a range of texts; '' for none. */
export function addressKey(address: string | null): string {
  const parsed = parseAddress(address ?? '');
  if (!parsed) return '';
  return `${parsed.family}${Buffer.from(addressBytes(parsed)).toString('hex')}`;
}

/** A record from a row of values by column name. Throws where a column is missing or of another type. */
export function recordOf(row: Readonly<Record<string, unknown>>): FlowRecord {
  const reader = new RowReader(row);
  const service = reader.text('service_name');
  const tcp = reader.text('tcp');
  return {
    bucketStart: reader.integer('bucket_start'),
    startTime: reader.integer('start_time'),
    endTime: reader.integer('end_time'),
    reporter: reader.text('reporter') === 'dst' ? 'dst' : 'src',
    node: reader.text('node'),
    source: reader.end('source'),
    destination: reader.end('destination'),
    service:
      service === ''
        ? null
        : {
            namespace: reader.text('service_namespace'),
            name: service,
            portName: reader.text('service_port_name'),
            port: reader.integer('service_port'),
          },
    protocol: reader.text('protocol'),
    sourcePort: reader.optional('source_port'),
    port: reader.optional('port'),
    icmpType: reader.optional('icmp_type'),
    verdict: reader.text('verdict') === 'deny' ? 'deny' : 'allow',
    policies: reader.json<PolicyHit[]>('policies'),
    pending: reader.json<PolicyHit[]>('pending'),
    packets: { in: reader.integer('packets_in'), out: reader.integer('packets_out') },
    bytes: { in: reader.integer('bytes_in'), out: reader.integer('bytes_out') },
    connections: {
      started: reader.integer('started'),
      completed: reader.integer('completed'),
      live: reader.integer('live'),
    },
    flows: reader.integer('flows'),
    level: reader.integer('level') as AggregationLevel,
    calledAddress: reader.text('called_address') || null,
    calledPort: reader.optional('called_port'),
    processes: reader.json<FlowProcess[]>('processes'),
    processCount: reader.integer('process_count'),
    tcp: tcp === '' ? null : reader.json<RecordTcp>('tcp'),
  };
}

class RowReader {
  readonly #row: Readonly<Record<string, unknown>>;

  constructor(row: Readonly<Record<string, unknown>>) {
    this.#row = row;
  }

  integer(column: string): number {
    const value = Number(this.#row[column]);
    if (Number.isSafeInteger(value)) return value;
    throw new Error(`Cannot read a flow: column ${column} holds no whole number`);
  }

  optional(column: string): number | null {
    const value = this.integer(column);
    return value < 0 ? null : value;
  }

  text(column: string): string {
    const value = this.#row[column];
    if (typeof value === 'string') return value;
    throw new Error(`Cannot read a flow: column ${column} holds no text`);
  }

  /** Our own text: its shape is what we wrote. */
  json<T>(column: string): T {
    return JSON.parse(this.text(column)) as T;
  }

  texts(column: string): string[] {
    const value = this.#row[column];
    const items = isObject(value) && 'items' in value ? value['items'] : value;
    if (Array.isArray(items)) return items.map(String);
    throw new Error(`Cannot read a flow: column ${column} holds no list`);
  }

  end(side: 'source' | 'destination'): RecordEnd {
    const labels = this.texts(`${side}_labels`).map((label): [string, string] => {
      const at = label.indexOf('=');
      return [label.slice(0, at), label.slice(at + 1)];
    });
    return {
      type: this.text(`${side}_type`) as RecordEnd['type'],
      namespace: this.text(`${side}_namespace`) || null,
      name: this.text(`${side}_name`),
      aggregate: this.text(`${side}_aggregate`),
      address: this.text(`${side}_address`) || null,
      labels: Object.fromEntries(labels),
    };
  }
}
