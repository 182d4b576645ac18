// TCP sockets of a namespace at their end, with the last of what TCP measured (linux/sock_diag.h).

import { type DiagSocket, parseDiagSocket } from './socket-diag.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';

/** SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY. */
const GROUPS = [1, 3] as const;
/** Some 3,000 ends. */
const BUFFER_BYTES = 4 << 20;

/**
 * Told of each socket that a program had when the kernel gives it up: after its close, with its final counts.
 * Which process had it is not known any more.
 */
export class DestroyedSockets {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Throws SystemError. */
  static open(options: { readonly namespace?: number } = {}): DestroyedSockets {
    const settings = { groups: GROUPS, receiveBufferBytes: BUFFER_BYTES };
    return new DestroyedSockets(
      NetlinkSocket.open(NETLINK_PROTOCOL.SOCK_DIAG, { ...options, ...settings }),
    );
  }

  /** How often some were not read in time, and are not known. */
  get overruns(): number {
    return this.#socket.overruns;
  }

  /** Those that were connected, since the last call; does not wait. */
  read(): DiagSocket[] {
    return this.#socket
      .receive()
      .map(({ body }) => parseDiagSocket(body))
      .filter((socket) => socket !== undefined)
      .filter(({ remotePort }) => remotePort !== 0);
  }

  close(): void {
    this.#socket.close();
  }
}
