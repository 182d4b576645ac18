// Features of an interface that are reached by ioctl alone (linux/ethtool.h): whether checksums are left to it.
import { addressOf, ERRNO, libc, LITTLE_ENDIAN, SystemError } from '../libc.ts';
import { checkLinkName } from './link-message.ts';

const SIOCETHTOOL = 0x8946;
const GET_TRANSMIT_CHECKSUM = 0x16;
const SET_TRANSMIT_CHECKSUM = 0x17;
const REQUEST_BYTES = 40;
const DATA = 16;

/**
 * Whether the interface finishes checksums of what it sends; undefined where there is no such interface. `socket`:
 * any of the namespace.
 */
export function transmitChecksum(socket: number, name: string): boolean | undefined {
  const value = Uint32Array.of(GET_TRANSMIT_CHECKSUM, 0);
  const result = ask(socket, name, value);
  if (result === -ERRNO.ENODEV) return undefined;
  if (result < 0) throw new SystemError(`cannot read the checksum offload of ${name}`, -result);
  return value[1] !== 0;
}

export function setTransmitChecksum(socket: number, name: string, on: boolean): void {
  const result = ask(socket, name, Uint32Array.of(SET_TRANSMIT_CHECKSUM, on ? 1 : 0));
  const action = `cannot set the checksum offload of ${name} to ${on ? 'on' : 'off'}`;
  if (result < 0) throw new SystemError(action, -result);
}

/** struct ifreq, which points to struct ethtool_value. */
function ask(socket: number, name: string, value: Uint32Array): number {
  const bytes = new Uint8Array(value.buffer);
  const request = new Uint8Array(REQUEST_BYTES);
  new TextEncoder().encodeInto(checkLinkName(name), request);
  new DataView(request.buffer).setBigUint64(DATA, addressOf(bytes), LITTLE_ENDIAN);
  return libc('ioctl', socket, SIOCETHTOOL, request);
}
