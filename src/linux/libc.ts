// Calls of the C library that Node.js does not offer, through koffi, with errno as the answer.

import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { KoffiFunc } from 'koffi';

const SIGNATURES = {
  bind: 'int bind(int, const void *, uint32_t)',
  close: 'int close(int)',
  flock: 'int flock(int, int)',
  // Calls of the kernel by their number, as the C library has them since 2022 only.
  fsconfig: 'long syscall(long, int, unsigned int, const char *, const void *, int)',
  fsmount: 'long syscall(long, int, unsigned int, unsigned int)',
  fsopen: 'long syscall(long, const char *, unsigned int)',
  getsockopt: 'int getsockopt(int, int, int, void *, void *)',
  getsockname: 'int getsockname(int, void *, void *)',
  ioctl: 'int ioctl(int, unsigned long, void *)',
  listen: 'int listen(int, int)',
  mmap: 'uintptr_t mmap(void *, uintptr_t, int, int, int, int64_t)',
  mount: 'int mount(const char *, const char *, const char *, unsigned long, const void *)',
  munmap: 'int munmap(uintptr_t, uintptr_t)',
  openat: 'int openat(int, const char *, int)',
  poll: 'int poll(void *, unsigned long, int)',
  pwrite: 'intptr_t pwrite(int, const void *, uintptr_t, int64_t)',
  read: 'intptr_t read(int, void *, uintptr_t)',
  recvfrom: 'intptr_t recvfrom(int, void *, uintptr_t, int, void *, void *)',
  sendto: 'intptr_t sendto(int, const void *, uintptr_t, int, const void *, uint32_t)',
  setns: 'int setns(int, int)',
  setsockopt: 'int setsockopt(int, int, int, const void *, uint32_t)',
  socket: 'int socket(int, int, int)',
  umount2: 'int umount2(const char *, int)',
  unshare: 'int unshare(int)',
} as const;

type CallName = keyof typeof SIGNATURES;
type Argument = number | string | Uint8Array | null;
type NativeCall = KoffiFunc<(...args: Argument[]) => unknown>;

/** koffi is loaded at the first call: commands that never touch the kernel start without it. */
const loadKoffi = (): typeof import('koffi') => createRequire(import.meta.url)('koffi');

let koffi: ReturnType<typeof loadKoffi> | undefined;
let bound: Record<CallName, NativeCall> | undefined;

/** All at once: where a worker is ended between two calls of them, binding one more would end the process. */
function bindCalls(): Record<CallName, NativeCall> {
  koffi ??= loadKoffi();
  const program = koffi.load(null);
  const calls = Object.entries(SIGNATURES).map(([name, text]) => [name, program.func(text)]);
  bound = Object.fromEntries(calls) as Record<CallName, NativeCall>;
  return bound;
}

/**
 * Calls a function of the C library on this thread. The answer is its result, or minus errno when
 * it returned -1. Byte arrays are passed by address and are not kept after the call.
 */
export function libc(name: CallName, ...args: Argument[]): number {
  const call = (bound ?? bindCalls())[name];
  const result = Number(call(...args));
  return result === -1 && koffi ? -koffi.errno() : result;
}

/**
 * Calls a function on a thread of the pool, for calls that keep the kernel busy for long. Byte arrays must stay as
 * they are until the answer. Why a call failed is not known: the answer is then minus EIO.
 */
export function libcInBackground(name: CallName, ...args: Argument[]): Promise<number> {
  const call = (bound ?? bindCalls())[name];
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, result: unknown) => {
      if (error) reject(error);
      else resolve(Number(result) === -1 ? -ERRNO.EIO : Number(result));
    });
  });
}

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/**
 * Memory that is shared with the kernel through a descriptor. `bytes` must not be touched any more after `unmap`: the
 * process would end. Throws SystemError.
 */
export function mapShared(
  action: string,
  fd: number,
  length: number,
): { readonly bytes: ArrayBuffer; readonly unmap: () => void } {
  const address = libc('mmap', null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  if (address >= Number.MAX_SAFE_INTEGER || address < 0) {
    throw new SystemError(action, koffi?.errno() ?? 0, `${length} bytes to map`);
  }
  koffi ??= loadKoffi();
  return { bytes: koffi.view(address, length), unmap: () => void libc('munmap', address, length) };
}

/** Where the bytes are now, for structures that hold pointers; they must outlive the call that reads them. */
export function addressOf(bytes: Uint8Array): bigint {
  koffi ??= loadKoffi();
  return koffi.address(bytes);
}

/** As `libc`, but throws a SystemError that starts with `action` when the call fails. */
export function libcOrThrow(action: string, name: CallName, ...args: Argument[]): number {
  const result = libc(name, ...args);
  if (result < 0) throw new SystemError(action, -result);
  return result;
}

/** A failed call of the kernel: `code` is the name (`EEXIST`), `errno` the positive number. */
export class SystemError extends Error {
  readonly errno: number;
  readonly code: string;

  constructor(action: string, errno: number, detail?: string) {
    super(`${action}: ${describeErrno(errno)}${detail ? ` (${detail})` : ''}`);
    this.name = 'SystemError';
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

const ERRNO_NAMES = new Map<number, string>(
  Object.entries(constants.errno)
    .map(([name, value]): [number, string] => [value, name])
    .toReversed(),
);
ERRNO_NAMES.set(524, 'ENOTSUPP');

/** `EEXIST` for 17; `E<number>` when it has no name. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `E${errno}`;
}

function describeErrno(errno: number): string {
  const text = getSystemErrorMap().get(-errno)?.[1];
  return text ? `${errnoName(errno)}, ${text}` : errnoName(errno);
}

/** errno values that callers tell apart. */
export const ERRNO = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EROFS: 30,
  EMSGSIZE: 90,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
} as const;

/** Whether this machine stores the low byte first; the kernel's own integers have its order. */
export const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
