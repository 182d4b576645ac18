// The numbers by which a network namespace knows others that its links lead to (linux/net_namespace.h).

import { AttributeWriter, parseAttributes } from './attribute.ts';
import { NetlinkError } from './message.ts';
import { RouteSocket } from './route.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';

const GET_NSID = 90;
const NEW_NSID = 88;
const ATTRIBUTE = { NSID: 1, FD: 3 } as const;
/** struct rtgenmsg, padded. */
const HEADER = new Uint8Array(4);

/** Which namespaces one namespace has links to. */
export class LinkedNamespaces {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Of the namespace of the descriptor, or of this thread's. */
  static open(options: { readonly namespace?: number } = {}): LinkedNamespaces {
    // The kernel gives numbers when it tells of links that lead elsewhere.
    const route = RouteSocket.open(options);
    try {
      route.links();
    } finally {
      route.close();
    }
    return new LinkedNamespaces(NetlinkSocket.open(NETLINK_PROTOCOL.ROUTE, options));
  }

  /** Whether a link led to the namespace of the descriptor when this was opened. */
  has(fd: number): boolean {
    const body = new AttributeWriter(HEADER).u32(ATTRIBUTE.FD, fd).finish();
    const action = `cannot look for the namespace of descriptor ${fd}`;
    try {
      const answers = this.#socket.request({ type: GET_NSID, body, action });
      const answer = answers.find(({ type }) => type === NEW_NSID);
      const id = answer && parseAttributes(answer.body.subarray(HEADER.length)).u32(ATTRIBUTE.NSID);
      return id !== undefined && (id | 0) >= 0;
    } catch (error) {
      if (error instanceof NetlinkError) return false;
      throw error;
    }
  }

  close(): void {
    this.#socket.close();
  }
}
