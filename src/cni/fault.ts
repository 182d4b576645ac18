// Any failure as the runtime is told it: its CNI code and its text.
import { ApiError, ConnectionError } from '#datastore/client';
import { IpamError } from '#ipam';
import { NetlinkError, SystemError } from '#linux';
import { CniError } from './cni-error.ts';
import { CNI_CODE, type CniFault } from './protocol.ts';

/** The failure as the runtime is told it; `command` says what was attempted. */
export function faultOf(command: string, error: unknown): CniFault {
  const message = error instanceof Error ? error.message : String(error);
  return { code: codeOf(error), msg: `${command}: ${message}` };
}

function codeOf(error: unknown): number {
  if (error instanceof CniError) return error.code;
  if (error instanceof IpamError) return CNI_CODE.addressShortage;
  if (error instanceof ConnectionError) return CNI_CODE.tryAgainLater;
  if (error instanceof ApiError) return CNI_CODE.ioFailure;
  if (error instanceof NetlinkError || error instanceof SystemError) return CNI_CODE.kernelRefused;
  return CNI_CODE.internal;
}
