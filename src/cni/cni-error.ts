// A failure that the runtime is told about, with its CNI code; and the code of any other failure.
import { ApiError, ConnectionError } from '#datastore/client';
import { IpamError } from '#ipam';
import { NetlinkError, SystemError } from '#linux';
import { CNI_CODE, type CniFault } from './protocol.ts';

export class CniError extends Error {
  override readonly name = 'CniError';
  /** See `CNI_CODE`. */
  readonly code: number;

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

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
