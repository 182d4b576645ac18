// Network sysctls of namespaces: read, written, and written only where they differ.

import { constants, readFileSync, writeFileSync } from 'node:fs';
import { ERRNO, SystemError, libc, libcOrThrow } from './libc.ts';
import { withNamespace } from './namespace.ts';

const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
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
 * Settings of one namespace that are ensured again and again. `net/ipv4` of all namespaces have one name in one
 * directory, among which the kernel looks one after the other: each is looked up once, and kept open.
 */
export class NamespaceSysctls {
  readonly #namespace: number;
  readonly #directories = new Map<string, number>();

  /** `namespace`: a descriptor, which stays the caller's and open. */
  constructor(namespace: number) {
    this.#namespace = namespace;
  }

  /**
   * Sets several, in their order; the first that is refused ends it. What has its value already is not written: for
   * many settings the kernel tries again and again, on a whole CPU, until nobody changes any interface.
   */
  ensure(settings: readonly (readonly [path: string, value: string])[]): void {
    if (settings.length === 0) return;
    for (const [path] of settings) checkSysctl(path);
    withNamespace(this.#namespace, () => {
      for (const [path, value] of settings) {
        const [, directory = '', file = ''] = /^(net(?:\/[^/]+)?)\/(.+)$/.exec(path) ?? [];
        const action = `cannot set sysctl ${path} to ${JSON.stringify(value)}`;
        ensureSysctl(action, this.#open(action, directory), file, value);
      }
    });
  }

  close(): void {
    for (const descriptor of this.#directories.values()) libc('close', descriptor);
    this.#directories.clear();
  }

  #open(action: string, directory: string): number {
    const known = this.#directories.get(directory);
    if (known !== undefined) return known;
    const flags = O_DIRECTORY | O_CLOEXEC;
    const descriptor = libcOrThrow(action, 'openat', AT_FDCWD, `/proc/sys/${directory}`, flags);
    this.#directories.set(directory, descriptor);
    return descriptor;
  }
}

/** As `NamespaceSysctls`, once. */
export function ensureSysctlsInNamespace(
  fd: number,
  settings: readonly (readonly [path: string, value: string])[],
): void {
  const sysctls = new NamespaceSysctls(fd);
  try {
    sysctls.ensure(settings);
  } finally {
    sysctls.close();
  }
}

/** Longer texts differ from what anybody wants. */
const sysctlText = Buffer.alloc(256);

/** `file` is below the directory of the descriptor; where nothing may be written it must have the value. */
function ensureSysctl(action: string, directory: number, file: string, value: string): void {
  const writable = libc('openat', directory, file, O_RDWR | O_CLOEXEC);
  const isRefused = writable === -ERRNO.EACCES || writable === -ERRNO.EROFS;
  const descriptor = isRefused ? libc('openat', directory, file, O_CLOEXEC) : writable;
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
