// HOST:PORT of the command line, read and written.
import { isIP } from 'node:net';
import { InvalidArgumentError } from 'commander';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export const LOOPBACK_HOSTS: readonly string[] = ['127.0.0.1', 'localhost', '::1'];

/** `HOST:PORT` or `[IPv6]:PORT`. Throws InvalidArgumentError. */
export function readListenAddress(value: string): ListenAddress {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+)):(?<port>\d{1,5})$/.exec(value);
  const host = match?.groups?.['v6'] ?? match?.groups?.['host'] ?? '';
  const port = Number(match?.groups?.['port']);
  const valid = port <= 65535 && (match?.groups?.['v6'] ? isIP(host) === 6 : host !== '');
  if (!valid) throw new InvalidArgumentError('Write HOST:PORT or [IPv6]:PORT.');
  return { host, port };
}

export function listenAddressText({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
