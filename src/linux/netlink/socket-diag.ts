// The sockets of a namespace, with what TCP measures of them (linux/sock_diag.h, linux/inet_diag.h, linux/tcp.h).

import { addressBytes, FAMILIES, type Family, parseAddress } from '#lib';
import { addressText } from '../address-text.ts';
import { LITTLE_ENDIAN } from '../libc.ts';
import { familyNumber } from './address-message.ts';
import { parseAttributes } from './attribute.ts';
import { NetlinkError } from './message.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';

/** Struct tcp_info as far as it is read here; times in microseconds. */
export interface TcpMeasures {
  readonly rtt: number;
  /** 0 where nothing has been measured yet. */
  readonly minRtt: number;
  /** Of what is sent, in bytes. */
  readonly mss: number;
  /** In segments. */
  readonly congestionWindow: number;
  /** Segments sent again since the connection began. */
  readonly retransmissions: number;
  /** Segments that are taken for lost now. */
  readonly lost: number;
  /** Timeouts in a row, after which nothing was heard yet. */
  readonly timeouts: number;
}

/** Addresses and ports as a socket has them. */
export interface SocketEnds {
  /** IPv4 that comes by an IPv6 socket is IPv4 here. */
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  /** 0 of one that is not connected. */
  readonly remotePort: number;
}

/** A socket with an address. */
export interface DiagSocket extends SocketEnds {
  /** 0 of one that belongs to no process any more. */
  readonly inode: number;
  /** Only of TCP that is connected. */
  readonly tcp?: TcpMeasures;
}

const BY_FAMILY = 20;
const INFO = 2;
const INFO_EXTENSION = 1 << (INFO - 1);
/** All but SYN_RECV, TIME_WAIT and CLOSE, which have no process. */
const TCP_STATES = 0xfff & ~((1 << 3) | (1 << 6) | (1 << 7));
const ALL_STATES = 0xffff_ffff;
const LISTEN = 10;
const REQUEST_BYTES = 56;
const MESSAGE_BYTES = 72;
const MAPPED = '::ffff:';

export type DiagProtocol = 6 | 17;

/** One socket for many questions about one namespace. */
export class SocketDiag {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Throws SystemError. */
  static open(options: { readonly namespace?: number } = {}): SocketDiag {
    return new SocketDiag(NetlinkSocket.open(NETLINK_PROTOCOL.SOCK_DIAG, options));
  }

  /** All of both families. Costs some microseconds a socket. Throws NetlinkError. */
  sockets(protocol: DiagProtocol): DiagSocket[] {
    return FAMILIES.flatMap((family) =>
      this.#socket
        .dump({
          type: BY_FAMILY,
          body: request(family, protocol),
          action: `cannot list sockets of protocol ${protocol}`,
        })
        .map(({ body }) => parseDiagSocket(body))
        .filter((socket) => socket !== undefined),
    );
  }

  /** The connected TCP socket of these ends; undefined where there is none. Throws NetlinkError. */
  connected(ends: SocketEnds): DiagSocket | undefined {
    const [local, remote] = [parseAddress(ends.local), parseAddress(ends.remote)];
    if (!local || local.family !== remote?.family) return undefined;
    const body = request(local.family, 6);
    const view = new DataView(body.buffer);
    view.setUint16(8, ends.localPort);
    view.setUint16(10, ends.remotePort);
    body.set(addressBytes(local), 12);
    body.set(addressBytes(remote), 28);
    // Interface 0, and a cookie that says that any will do.
    body.fill(0xff, 48, 56);
    const { localPort, remotePort } = ends;
    const action = `cannot look for the socket of port ${localPort} to port ${remotePort}`;
    try {
      const [answer] = this.#socket.request({ type: BY_FAMILY, body, action });
      const found = answer && parseDiagSocket(answer.body);
      // Where there is none the kernel answers with one that listens at the port.
      return found?.remotePort === remotePort ? found : undefined;
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/** struct inet_diag_req_v2 */
function request(family: Family, protocol: DiagProtocol): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES);
  bytes[0] = familyNumber(family);
  bytes[1] = protocol;
  bytes[2] = protocol === 6 ? INFO_EXTENSION : 0;
  const states = protocol === 6 ? TCP_STATES : ALL_STATES;
  new DataView(bytes.buffer).setUint32(4, states, LITTLE_ENDIAN);
  return bytes;
}

/** Reads a struct inet_diag_msg with its attributes; undefined when it is malformed. */
export function parseDiagSocket(body: Uint8Array): DiagSocket | undefined {
  if (body.length < MESSAGE_BYTES) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const family: Family = body[0] === familyNumber(4) ? 4 : 6;
  const width = family === 4 ? 4 : 16;
  const local = addressText(family, body.subarray(8, 8 + width));
  const remote = addressText(family, body.subarray(24, 24 + width));
  if (local === undefined || remote === undefined) return undefined;
  const info = parseAttributes(body.subarray(MESSAGE_BYTES)).bytes(INFO);
  const tcp = body[1] === LISTEN ? undefined : info && measures(info);
  return {
    local: plain(local, body.subarray(8, 24), family),
    localPort: view.getUint16(4),
    remote: plain(remote, body.subarray(24, 40), family),
    remotePort: view.getUint16(6),
    inode: view.getUint32(68, LITTLE_ENDIAN),
    ...(tcp && { tcp }),
  };
}

function plain(text: string, bytes: Uint8Array, family: Family): string {
  if (family === 4 || !text.startsWith(MAPPED)) return text;
  return addressText(4, bytes.subarray(12, 16)) ?? text;
}

/** Undefined from a kernel whose structure ends before `tcpi_min_rtt`. */
function measures(info: Uint8Array): TcpMeasures | undefined {
  if (info.length < 152) return undefined;
  const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
  const at = (offset: number): number => view.getUint32(offset, LITTLE_ENDIAN);
  const minRtt = at(148);
  return {
    rtt: at(68),
    minRtt: minRtt === 0xffff_ffff ? 0 : minRtt,
    mss: at(16),
    congestionWindow: at(80),
    retransmissions: at(100),
    lost: at(32),
    timeouts: info[2] ?? 0,
  };
}
