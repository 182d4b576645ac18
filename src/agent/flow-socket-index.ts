// Sockets of one namespace, found by what a connection says of its end.
import type { DiagSocket } from '#linux';

/** By all four of addresses and ports, and by local port alone. */
export interface SocketIndex {
  readonly connected: ReadonlyMap<string, DiagSocket>;
  readonly bound: ReadonlyMap<number, DiagSocket>;
}

export function indexSockets(sockets: readonly DiagSocket[]): SocketIndex {
  const connected = new Map<string, DiagSocket>();
  const bound = new Map<number, DiagSocket>();
  for (const socket of sockets) {
    if (socket.remotePort === 0) bound.set(socket.localPort, socket);
    else connected.set(socketKey(socket), socket);
  }
  return { connected, bound };
}

export function socketKey({
  local,
  localPort,
  remote,
  remotePort,
}: Omit<DiagSocket, 'inode' | 'tcp'>): string {
  return `${local}|${localPort}|${remote}|${remotePort}`;
}
