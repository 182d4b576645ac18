// A netlink socket: requests with acknowledgement, dumps, batches and notifications, all bounded.

import { ERRNO, LITTLE_ENDIAN, libc, libcInBackground, libcOrThrow } from '../libc.ts';
import { Answer } from './answer.ts';
import {
  CONTROL_TYPE,
  MESSAGE_FLAG,
  NetlinkError,
  type NetlinkMessage,
  type NetlinkRequest,
  encodeMessages,
  parseAcknowledgement,
  parseMessages,
} from './message.ts';
import { withNamespace } from '../namespace.ts';

/** Netlink protocols (linux/netlink.h). */
export const NETLINK_PROTOCOL = { ROUTE: 0, SOCK_DIAG: 4, NETFILTER: 12 } as const;

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_NO_ENOBUFS = 5;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;

const DEFAULT_BUFFER_BYTES = 4 << 20;
const ANSWER_TIMEOUT_MS = 10_000;
const DUMP_ATTEMPTS = 20;
/** Refusals of one batch that are told besides the first. */
const OTHERS_MAX = 10_000;
const RECEIVE_LIMIT = 4096;
const PENDING_LIMIT = 65_536;

let answerTimeoutMs = ANSWER_TIMEOUT_MS;

/** How long all sockets wait for an answer of the kernel; 0 is the usual 10 seconds. */
export function setAnswerTimeout(ms: number): void {
  answerTimeoutMs = ms > 0 ? ms : ANSWER_TIMEOUT_MS;
}

/** One receive buffer for all sockets of this thread: each datagram is copied out at once. */
const receiveBuffer = Buffer.allocUnsafeSlow(256 * 1024);

export interface NetlinkSocketOptions {
  /** Descriptor of the network namespace in which the socket shall live; default: this thread's. */
  readonly namespace?: number;
  /** Multicast groups (numbers, not bits) whose notifications `receive` returns. */
  readonly groups?: readonly number[];
  readonly receiveBufferBytes?: number;
  readonly sendBufferBytes?: number;
  /** Do not report overruns of the receive buffer: for senders that number their messages. */
  readonly nonFatalOverrun?: boolean;
  /** Let the kernel check dump requests strictly, and so filter them (rtnetlink). */
  readonly strictDumps?: boolean;
}

/** An open netlink socket. Everything is synchronous and blocks no longer than ten seconds. */
export class NetlinkSocket {
  readonly #fd: number;
  #sequence = 0;
  #sendBufferBytes = 0;
  #overruns = 0;
  #datagrams = 0;
  #closed = false;
  #pending: NetlinkMessage[] = [];

  private constructor(fd: number, options: NetlinkSocketOptions) {
    this.#fd = fd;
    this.#growSendBuffer(options.sendBufferBytes ?? DEFAULT_BUFFER_BYTES);
    this.#setOption(SOL_SOCKET, SO_RCVBUFFORCE, options.receiveBufferBytes ?? DEFAULT_BUFFER_BYTES);
    this.#setOption(SOL_NETLINK, NETLINK_CAP_ACK, 1);
    this.#setOption(SOL_NETLINK, NETLINK_EXT_ACK, 1);
    if (options.nonFatalOverrun) this.#setOption(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
    if (options.strictDumps) this.#setOption(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    libcOrThrow('cannot bind a netlink socket', 'bind', fd, kernelAddress(), 12);
    for (const group of options.groups ?? []) {
      this.#setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    }
  }

  /** Opens a socket of a protocol, in a namespace; throws SystemError. Needs CAP_NET_ADMIN. */
  static open(protocol: number, options: NetlinkSocketOptions = {}): NetlinkSocket {
    const action = `cannot open a netlink socket of protocol ${protocol}`;
    const create = () => libcOrThrow(action, 'socket', AF_NETLINK, SOCK_RAW_CLOEXEC, protocol);
    const fd =
      options.namespace === undefined ? create() : withNamespace(options.namespace, create);
    try {
      return new NetlinkSocket(fd, options);
    } catch (error) {
      libc('close', fd);
      throw error;
    }
  }

  /** The descriptor, to wait on; throws once the socket is closed, as the number may be reused. */
  get fd(): number {
    this.#assertOpen();
    return this.#fd;
  }

  /** By which the kernel knows the socket in its namespace. */
  get port(): number {
    const name = new Uint8Array(12);
    const length = new Uint8Array(Uint32Array.of(name.length).buffer);
    libcOrThrow('cannot name a netlink socket', 'getsockname', this.fd, name, length);
    return new DataView(name.buffer).getUint32(4, LITTLE_ENDIAN);
  }

  /** How often the receive buffer ran over and notifications were lost. */
  get overruns(): number {
    return this.#overruns;
  }

  /** How many messages of the kernel `receive` has read; each may hold several notifications. */
  get datagrams(): number {
    return this.#datagrams;
  }

  /** Sends one request and waits for its acknowledgement; returns the messages that came before. */
  request(request: NetlinkRequest): NetlinkMessage[] {
    const sequence = this.#send([request], MESSAGE_FLAG.REQUEST | MESSAGE_FLAG.ACK);
    const action = request.action ?? `netlink request of type ${request.type}`;
    return this.#collect(sequence, action).messages;
  }

  /**
   * Sends requests, which the kernel carries out in their order, whatever becomes of those before; gives for each why
   * it was refused, if it was. The kernel works while it takes them: that is done on another thread, and nothing else
   * may be asked of this socket meanwhile.
   */
  async requestsInBackground(
    requests: readonly NetlinkRequest[],
  ): Promise<(NetlinkError | undefined)[]> {
    this.#assertOpen();
    const first = this.#nextSequence(requests.length);
    const bytes = encodeMessages(requests, first, MESSAGE_FLAG.REQUEST | MESSAGE_FLAG.ACK);
    const to = kernelAddress();
    const sent = await libcInBackground('sendto', this.#fd, bytes, bytes.length, 0, to, to.length);
    if (sent !== bytes.length) {
      throw new NetlinkError(actionOf(requests[0]), sent < 0 ? -sent : ERRNO.EMSGSIZE, {
        detail: `${bytes.length} bytes to send`,
      });
    }
    return this.#collectAll(first, requests);
  }

  #collectAll(first: number, requests: readonly NetlinkRequest[]): (NetlinkError | undefined)[] {
    const answers = requests.map((_, index) => new Answer(first + index));
    const deadline = performance.now() + answerTimeoutMs;
    while (answers.some(({ end }) => !end)) {
      for (const message of this.#readWaiting(deadline, actionOf(requests[0]))) {
        const answer = answers[message.sequence - first];
        if (!answer?.add(message)) this.#keep(message);
      }
    }
    return answers.map(({ end }, index) => {
      if (!end || end.errno === 0) return undefined;
      const { errno, detail } = end;
      return new NetlinkError(actionOf(requests[index]), errno, detail ? { detail } : {});
    });
  }

  /** Sends a dump request and reads to its end; begins again when the table changed meanwhile. */
  dump(request: NetlinkRequest): NetlinkMessage[] {
    const action = request.action ?? `netlink dump of type ${request.type}`;
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const sequence = this.#send([request], MESSAGE_FLAG.REQUEST | MESSAGE_FLAG.DUMP);
      const { messages, interrupted } = this.#collect(sequence, action);
      if (!interrupted) return messages;
    }
    throw new NetlinkError(action, ERRNO.EAGAIN, {
      detail: `the table changed during each of ${DUMP_ATTEMPTS} attempts`,
    });
  }

  /**
   * Sends requests as one datagram, as nfnetlink transactions are (the caller gives the begin and
   * end messages). The kernel answers before the send returns, so what can be read without waiting
   * is everything. Acknowledgements come only of messages that fail or ask for them (flag ACK).
   * Throws the first NetlinkError, with the index of its message; the kernel looks at all of them, and `others` are
   * those that it refused besides, at most 10,000.
   */
  batch(requests: readonly NetlinkRequest[]): void {
    this.#assertOpen();
    if (requests.length === 0) return;
    const first = this.#send(requests, MESSAGE_FLAG.REQUEST);
    let failure: NetlinkError | undefined;
    for (;;) {
      const messages = this.#read();
      if (messages === undefined) break;
      if (messages === 'overrun') {
        failure ??= new NetlinkError('netlink batch', ERRNO.ENOBUFS, {
          detail: 'acknowledgements were lost; read the state back before the next batch',
        });
        continue;
      }
      for (const message of messages) {
        const refused = this.#batchFailure(message, first, requests);
        if (failure && refused && failure.others.length < OTHERS_MAX) failure.others.push(refused);
        failure ??= refused;
      }
    }
    if (failure) throw failure;
  }

  /**
   * Notifications that can be read without waiting, at most 4096 datagrams in one call. Lost ones
   * are counted in `overruns`.
   */
  receive(): NetlinkMessage[] {
    const received = this.#pending;
    this.#pending = [];
    for (let datagrams = 0; datagrams < RECEIVE_LIMIT; datagrams++) {
      const messages = this.#read();
      if (messages === undefined) break;
      if (messages === 'overrun') {
        this.#overruns++;
        continue;
      }
      this.#datagrams++;
      for (const message of messages) received.push(message);
    }
    return received;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc('close', this.#fd);
  }

  /** Reads until the answer to `sequence` is complete; other messages are kept for `receive`. */
  #collect(sequence: number, action: string): Answer {
    const answer = new Answer(sequence);
    const deadline = performance.now() + answerTimeoutMs;
    while (!answer.end) {
      for (const message of this.#readWaiting(deadline, action)) {
        if (!answer.add(message)) this.#keep(message);
      }
    }
    const { errno, detail } = answer.end;
    if (errno !== 0) throw new NetlinkError(action, errno, detail ? { detail } : {});
    return answer;
  }

  #readWaiting(deadline: number, action: string): NetlinkMessage[] {
    for (;;) {
      const messages = this.#read();
      if (messages === 'overrun') {
        this.#overruns++;
        throw new NetlinkError(action, ERRNO.ENOBUFS, { detail: 'the answer may have been lost' });
      }
      if (messages) return messages;
      const left = Math.ceil(deadline - performance.now());
      if (left <= 0) {
        throw new NetlinkError(action, ERRNO.ETIMEDOUT, {
          detail: `no answer in ${answerTimeoutMs} ms`,
        });
      }
      waitReadable(this.#fd, left);
    }
  }

  /** One datagram of the kernel's, undefined when there is none. */
  #read(): NetlinkMessage[] | 'overrun' | undefined {
    this.#assertOpen();
    const sender = new Uint8Array(12);
    const senderLength = Uint32Array.of(sender.length);
    for (;;) {
      const length = libc(
        'recvfrom',
        this.#fd,
        receiveBuffer,
        receiveBuffer.length,
        MSG_DONTWAIT | MSG_TRUNC,
        sender,
        new Uint8Array(senderLength.buffer),
      );
      if (length === -ERRNO.EAGAIN) return undefined;
      if (length === -ERRNO.EINTR) continue;
      if (length === -ERRNO.ENOBUFS) return 'overrun';
      if (length < 0) throw new NetlinkError('cannot read from netlink', -length);
      if (length > receiveBuffer.length) {
        throw new NetlinkError('cannot read from netlink', ERRNO.EMSGSIZE, {
          detail: `a datagram of ${length} bytes was cut to ${receiveBuffer.length}`,
        });
      }
      if (new DataView(sender.buffer).getUint32(4, LITTLE_ENDIAN) !== 0) continue;
      return parseMessages(new Uint8Array(receiveBuffer.subarray(0, length)));
    }
  }

  #send(requests: readonly NetlinkRequest[], flags: number): number {
    this.#assertOpen();
    const first = this.#nextSequence(requests.length);
    const bytes = encodeMessages(requests, first, flags);
    if (bytes.length + 1024 > this.#sendBufferBytes) this.#growSendBuffer(bytes.length + 65_536);
    for (;;) {
      const sent = libc('sendto', this.#fd, bytes, bytes.length, 0, kernelAddress(), 12);
      if (sent === -ERRNO.EINTR) continue;
      if (sent === bytes.length) return first;
      const action = requests[0]?.action ?? `cannot send ${requests.length} netlink messages`;
      throw new NetlinkError(action, sent < 0 ? -sent : ERRNO.EMSGSIZE, {
        detail: `${bytes.length} bytes to send`,
      });
    }
  }

  /** The first of some numbers that were not used yet. */
  #nextSequence(count: number): number {
    const first = this.#sequence + 1;
    this.#sequence = (this.#sequence + count) % 0x7fff_0000;
    return first;
  }

  #batchFailure(
    message: NetlinkMessage,
    first: number,
    requests: readonly NetlinkRequest[],
  ): NetlinkError | undefined {
    const index = message.sequence - first;
    const request = requests[index];
    if (message.type !== CONTROL_TYPE.ERROR || !request) {
      this.#keep(message);
      return undefined;
    }
    const { errno, detail } = parseAcknowledgement(message);
    if (errno === 0) return undefined;
    const action = request.action ?? `netlink message ${index} of type ${request.type}`;
    return new NetlinkError(action, errno, detail ? { index, detail } : { index });
  }

  /** Keeps a notification; late answers to requests that timed out are dropped. */
  #keep(message: NetlinkMessage): void {
    if (message.sequence !== 0) return;
    if (this.#pending.length < PENDING_LIMIT) this.#pending.push(message);
    else this.#overruns++;
  }

  #growSendBuffer(bytes: number): void {
    this.#setOption(SOL_SOCKET, SO_SNDBUFFORCE, bytes);
    this.#sendBufferBytes = bytes;
  }

  #setOption(level: number, option: number, value: number): void {
    const action = `cannot set option ${option} of a netlink socket to ${value}`;
    const bytes = new Uint8Array(Int32Array.of(value).buffer);
    libcOrThrow(action, 'setsockopt', this.#fd, level, option, bytes, 4);
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error('the netlink socket is closed');
  }
}

function actionOf(request: NetlinkRequest | undefined): string {
  return request?.action ?? `netlink request of type ${request?.type}`;
}

/** struct sockaddr_nl of the kernel: port 0, no groups. */
function kernelAddress(): Uint8Array {
  const bytes = new Uint8Array(12);
  new DataView(bytes.buffer).setUint16(0, AF_NETLINK, LITTLE_ENDIAN);
  return bytes;
}

function waitReadable(fd: number, timeoutMs: number): void {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fd, LITTLE_ENDIAN);
  view.setInt16(4, POLLIN, LITTLE_ENDIAN);
  const result = libc('poll', bytes, 1, timeoutMs);
  if (result < 0 && result !== -ERRNO.EINTR) {
    throw new NetlinkError('cannot wait for netlink', -result);
  }
}
