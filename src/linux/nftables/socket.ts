// A socket to the kernel's nftables: atomic transactions, and reading back what a table holds.
import { ERRNO } from '../libc.ts';
import { NetlinkError } from '../netlink/message.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from '../netlink/socket.ts';
import { type CountedRule, readCounters } from './counters.ts';
import { type Flowtable, FLOWTABLE, readFlowtables } from './flowtable.ts';
import {
  type NftOperation,
  describeOperation,
  encodeTransaction,
  tableWriter,
} from './operation.ts';
import { type TableSnapshot, readGeneration, readTable } from './snapshot.ts';

/** One operation of a transaction that the kernel refused. */
export interface NftRefusal {
  readonly operationIndex: number;
  readonly message: string;
}

/** The kernel refused a transaction; nothing of it was done. */
export class NftError extends Error {
  /** Name of the errno, as `EBUSY`. */
  readonly code: string;
  /** Index of the operation that the kernel refused; undefined when it refused the whole. */
  readonly operationIndex: number | undefined;
  /** The other operations that the kernel refused, why, and in their order. */
  readonly others: readonly NftRefusal[];

  constructor(
    message: string,
    code: string,
    operationIndex: number | undefined,
    {
      cause,
      others = [],
    }: { readonly cause?: unknown; readonly others?: readonly NftRefusal[] } = {},
  ) {
    super(message, { cause });
    this.name = 'NftError';
    this.code = code;
    this.operationIndex = operationIndex;
    this.others = others;
  }
}

const READ_ATTEMPTS = 20;

/** Speaks nfnetlink for tables of family inet. All calls are synchronous. Needs CAP_NET_ADMIN. */
export class NftablesSocket {
  readonly #socket: NetlinkSocket;
  #writes = 0;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Opens a socket in a network namespace (a descriptor); default: this thread's. */
  static open(options: { readonly namespace?: number } = {}): NftablesSocket {
    return new NftablesSocket(NetlinkSocket.open(NETLINK_PROTOCOL.NETFILTER, options));
  }

  /** See `NetlinkSocket.port`. */
  get port(): number {
    return this.#socket.port;
  }

  /** Operations committed since the socket was opened. */
  get writes(): number {
    return this.#writes;
  }

  /** Makes all the changes, or none and throws NftError. No operations: nothing is sent. */
  commit(operations: readonly NftOperation[]): void {
    if (operations.length === 0) return;
    const { requests, owners } = encodeTransaction(operations);
    try {
      this.#socket.batch(requests);
    } catch (error) {
      if (error instanceof NetlinkError) throw refusal(error, operations, owners);
      throw error;
    }
    this.#writes += operations.length;
  }

  /** What a table holds, all read at one generation; undefined when there is no such table. */
  readTable(name: string): TableSnapshot | undefined {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const before = this.generation();
      const table = this.#readOnce(name);
      if (table !== 'changed' && this.generation() === before) return table;
    }
    throw new NftError(
      `cannot read nftables table inet ${name}: it changed during each of ${READ_ATTEMPTS} attempts`,
      'EAGAIN',
      undefined,
    );
  }

  /** What the rules of one chain have counted. */
  readCounters(table: string, chain: string): CountedRule[] {
    return readCounters(this.#socket, table, chain);
  }

  /** The flowtables of a table, by name, each with the devices that it has now. */
  readFlowtables(table: string): Map<string, Flowtable> {
    const begin = () => tableWriter().string(FLOWTABLE.TABLE, table);
    return readFlowtables(this.#socket, table, begin);
  }

  /** Grows with each transaction of anybody in this namespace. */
  generation(): number {
    return readGeneration(this.#socket);
  }

  close(): void {
    this.#socket.close();
  }

  #readOnce(name: string): TableSnapshot | undefined | 'changed' {
    try {
      return readTable(this.#socket, name);
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return 'changed';
      throw error;
    }
  }
}

function refusal(
  error: NetlinkError,
  operations: readonly NftOperation[],
  owners: readonly number[],
): NftError {
  const others = error.others.flatMap((one) => refusedOperation(one, operations, owners) ?? []);
  const first = refusedOperation(error, operations, owners);
  const whole = `transaction of ${operations.length} operations`;
  const message = first?.message ?? `nftables refused ${whole}: ${reasonOf(error)}`;
  return new NftError(message, error.code, first?.operationIndex, { cause: error, others });
}

function refusedOperation(
  error: NetlinkError,
  operations: readonly NftOperation[],
  owners: readonly number[],
): NftRefusal | undefined {
  const operationIndex = error.index === undefined ? -1 : (owners[error.index] ?? -1);
  const operation = operations[operationIndex];
  if (!operation) return undefined;
  const message = `nftables refused ${describeOperation(operation)}: ${reasonOf(error)}`;
  return { operationIndex, message };
}

function reasonOf({ message }: NetlinkError): string {
  return message.slice(message.indexOf(': ') + 2);
}
