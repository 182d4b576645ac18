// Network sysctls of namespaces: read, written, and written only where they differ.

import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import { ERRNO, SystemError, libc, libcOrThrow } from './libc.ts';
import { withNamespace } from './namespace.ts';

const O_CLOEXEC = 0o2000000;
/** Numbers of system calls, the same on every architecture. */
const SYSCALL = { fsopen: 430, fsconfig: 431, fsmount: 432 } as const;
const FSOPEN_CLOEXEC = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOUNT_ATTR_NOSUID = 2;
const MOUNT_ATTR_NODEV = 4;
const MOUNT_ATTR_NOEXEC = 8;
const { O_DIRECTORY, O_RDWR } = constants;

/**
 * Writes a network sysctl of a namespace. `path` is like `net/ipv4/ip_forward` or
 * `net/ipv6/conf/<interface>/accept_dad`.
 */
export function writeSysctlInNamespace(fd: number, path: string, value: string | number): void {
  checkSysctl(path);
  withNamespace(fd, () => writeFileSync(`/proc/sys/${path}`, String(value)));
}

/**
 * Sets several, in their order; the first that is refused ends it. What has its value already is not written: for many
 * settings the kernel tries again and again, on a whole CPU, until nobody changes any interface.
 */
export function ensureSysctlsInNamespace(
  fd: number,
  settings: readonly (readonly [path: string, value: string])[],
): void {
  if (settings.length === 0) return;
  for (const [path] of settings) checkSysctl(path);
  const proc = ownProc();
  withNamespace(fd, () => {
    for (const [path, value] of settings) ensureSysctl(proc, path, value);
  });
}

/** After how many uses a proc file system makes way for a new one. */
const PROC_USES = 128;

let ownProcNow: number | undefined;
let ownProcUses = 0;

/**
 * A proc file system that nobody else looks into (fsopen(2), Linux 5.8), mounted nowhere. The directories `net/ipv4` of
 * all namespaces have one name in one directory, and the kernel goes through all that it knows, three times where it
 * does not know it yet: with 2,000 namespaces that is more than a millisecond. Here it knows few. Where no file system
 * may be mounted it is `/proc`. The descriptor is this thread's; Node closes it with a worker.
 */
function ownProc(): number {
  if (ownProcNow !== undefined && ownProcUses++ < PROC_USES) return ownProcNow;
  const mounted = mountProc();
  try {
    const next = openSync(mounted < 0 ? '/proc' : `/proc/self/fd/${mounted}`, O_DIRECTORY);
    if (ownProcNow !== undefined) closeSync(ownProcNow);
    ownProcNow = next;
    ownProcUses = 0;
    return next;
  } finally {
    if (mounted >= 0) libc('close', mounted);
  }
}

/** A descriptor, or less than 0. */
function mountProc(): number {
  const context = libc('fsopen', SYSCALL.fsopen, 'proc', FSOPEN_CLOEXEC);
  if (context < 0) return context;
  const create = [context, FSCONFIG_CMD_CREATE, null, null, 0] as const;
  const made = libc('fsconfig', SYSCALL.fsconfig, ...create);
  const flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  const mount = () => libc('fsmount', SYSCALL.fsmount, context, FSMOUNT_CLOEXEC, flags);
  const mounted = made < 0 ? made : mount();
  libc('close', context);
  return mounted;
}

/** Longer texts differ from what anybody wants. */
const sysctlText = Buffer.alloc(256);

/** Where nothing may be written it must have the value. */
function ensureSysctl(proc: number, path: string, value: string): void {
  const action = `cannot set sysctl ${path} to ${JSON.stringify(value)}`;
  const writable = libc('openat', proc, `sys/${path}`, O_RDWR | O_CLOEXEC);
  const isRefused = writable === -ERRNO.EACCES || writable === -ERRNO.EROFS;
  const descriptor = isRefused ? libc('openat', proc, `sys/${path}`, O_CLOEXEC) : writable;
  if (descriptor < 0) throw new SystemError(action, -descriptor);
  try {
    const length = libcOrThrow(action, 'read', descriptor, sysctlText, sysctlText.length);
    if (sysctlText.toString('latin1', 0, length).trim() === value) return;
    if (isRefused) throw new SystemError(action, -writable);
    const text = Buffer.from(value);
    libcOrThrow(action, 'pwrite', descriptor, text, text.length, 0);
  } finally {
    libc('close', descriptor);
  }
}

/** The text of a network sysctl of a namespace, with the newline that ends it. */
export function readSysctlInNamespace(fd: number, path: string): string {
  checkSysctl(path);
  return withNamespace(fd, () => readFileSync(`/proc/sys/${path}`, 'utf8'));
}

/** The network sysctls of a namespace (a descriptor, which stays the caller's), by path below `/proc/sys`. */
export function sysctlsOfNamespace(fd: number): {
  read(path: string): string;
  write(path: string, value: string): void;
} {
  return {
    read: (path) => readSysctlInNamespace(fd, path),
    write: (path, value) => writeSysctlInNamespace(fd, path, value),
  };
}

function checkSysctl(path: string): void {
  const parts = path.split('/');
  const isShort = parts.length < 2;
  if (
    parts[0] !== 'net' ||
    isShort ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw new RangeError(`${JSON.stringify(path)} is not the path of a network sysctl`);
  }
}
