// Network namespaces: opening, creating and deleting them, and running code inside one.

import {
  closeSync,
  mkdirSync,
  openSync,
  realpathSync,
  stat,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { parseAddress, addressBytes } from '#lib';
import { ERRNO, LITTLE_ENDIAN, SystemError, libc, libcOrThrow } from './libc.ts';

const CLONE_NEWNET = 0x4000_0000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 1 << 20;
const LOCK_EX = 2;
const MNT_DETACH = 2;
/** Where `ip netns` and container runtimes keep their namespaces. */
const COMMON_DIRECTORY = '/run/netns';
const OWN_NAMESPACE = '/proc/thread-self/ns/net';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const LISTEN_BACKLOG = 511;

let poolIsWarm = false;

/**
 * Makes libuv's thread pool now. Its threads are born in the namespace of the thread that uses the
 * pool first, and stay there: so it must be made before any thread enters another namespace.
 */
function warmThreadPool(): void {
  if (poolIsWarm) return;
  poolIsWarm = true;
  stat('/', () => undefined);
}

/** Opens a namespace file (`/run/netns/x`, `/proc/1/ns/net`); the caller closes the descriptor. */
export function openNamespace(path: string): number {
  return openSync(path, 'r');
}

/** A descriptor of the namespace this thread is in; the caller closes it. */
export function currentNamespace(): number {
  return openSync(OWN_NAMESPACE, 'r');
}

/**
 * Makes a new network namespace and binds it to `path`, which must not exist; missing parent
 * directories are made. Its loopback interface is down. Throws SystemError, and leaves no file.
 */
export function createNamespace(path: string): void {
  warmThreadPool();
  mkdirSync(dirname(path), { recursive: true });
  if (realpathSync(dirname(path)) === COMMON_DIRECTORY) shareCommonDirectory();
  writeFileSync(path, '', { flag: 'wx', mode: 0o444 });
  const action = `cannot create network namespace ${JSON.stringify(path)}`;
  const home = currentNamespace();
  try {
    libcOrThrow(action, 'unshare', CLONE_NEWNET);
    try {
      libcOrThrow(action, 'mount', OWN_NAMESPACE, path, 'none', MS_BIND, null);
    } finally {
      comeHome(home);
    }
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(home);
  }
}

/** Unbinds and removes the file; one that is absent or not bound is no error. */
export function deleteNamespace(path: string): void {
  const result = libc('umount2', path, MNT_DETACH);
  if (result === -ERRNO.ENOENT) return;
  if (result < 0 && result !== -ERRNO.EINVAL) {
    throw new SystemError(`cannot unmount network namespace ${JSON.stringify(path)}`, -result);
  }
  unlinkSync(path);
}

/**
 * Makes the common directory a shared mount of itself, as `ip netns add` does at its first use, and
 * under the same lock. Otherwise that would later hide what is mounted here by now.
 */
function shareCommonDirectory(): void {
  const action = `cannot make ${COMMON_DIRECTORY} a shared mount`;
  const lock = openSync(COMMON_DIRECTORY, 'r');
  try {
    libcOrThrow(action, 'flock', lock, LOCK_EX);
    const share = ['', COMMON_DIRECTORY, 'none', MS_SHARED | MS_REC, null] as const;
    if (libc('mount', ...share) === 0) return;
    const itself = [COMMON_DIRECTORY, COMMON_DIRECTORY, 'none', MS_BIND | MS_REC, null] as const;
    libcOrThrow(action, 'mount', ...itself);
    libcOrThrow(action, 'mount', ...share);
  } finally {
    closeSync(lock);
  }
}

/**
 * Runs `work` with this thread inside the namespace of the descriptor, then returns to where it
 * was. Only for synchronous work: what runs later runs outside. A process, or a worker, that cannot return stops
 * at once, since everything it did from then on would go to the wrong network.
 */
export function withNamespace<T>(fd: number, work: () => T): T {
  warmThreadPool();
  const home = currentNamespace();
  try {
    libcOrThrow(
      `cannot enter the network namespace of descriptor ${fd}`,
      'setns',
      fd,
      CLONE_NEWNET,
    );
    try {
      const result = work();
      if (result instanceof Promise) {
        throw new TypeError('work inside a network namespace must be synchronous');
      }
      return result;
    } finally {
      comeHome(home);
    }
  } finally {
    closeSync(home);
  }
}

function comeHome(home: number): void {
  const result = libc('setns', home, CLONE_NEWNET);
  if (result >= 0) return;
  writeSync(2, `cannot return to the own network namespace (errno ${-result}); stopping\n`);
  // A worker cannot abort: it alone ends.
  if (isMainThread) process.abort();
  process.exit(1);
}

/**
 * A TCP socket that listens on an address inside a namespace, for this process
 * (`server.listen({ fd })`) or for a child that inherits it. IPv6 sockets take IPv6 only. Port 0
 * lets the kernel choose. The caller closes the descriptor; throws SystemError.
 */
export function listenInNamespace(fd: number, address: string, port: number): number {
  const parsed = parseAddress(address);
  if (!parsed) throw new RangeError(`${JSON.stringify(address)} is not an IP address`);
  const domain = parsed.family === 4 ? AF_INET : AF_INET6;
  const action = `cannot listen on ${address} port ${port}`;
  const socket = withNamespace(fd, () =>
    libcOrThrow(action, 'socket', domain, SOCK_STREAM_CLOEXEC, 0),
  );
  try {
    const one = new Uint8Array(Int32Array.of(1).buffer);
    libcOrThrow(action, 'setsockopt', socket, SOL_SOCKET, SO_REUSEADDR, one, 4);
    if (parsed.family === 6) {
      libcOrThrow(action, 'setsockopt', socket, IPPROTO_IPV6, IPV6_V6ONLY, one, 4);
    }
    const name = socketAddress(domain, port, addressBytes(parsed));
    libcOrThrow(action, 'bind', socket, name, name.length);
    libcOrThrow(action, 'listen', socket, LISTEN_BACKLOG);
    return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(domain: number, port: number, address: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(domain === AF_INET ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, domain, LITTLE_ENDIAN);
  view.setUint16(2, port);
  bytes.set(address, domain === AF_INET ? 4 : 8);
  return bytes;
}
