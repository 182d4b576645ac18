// Serves Goldmane's API beside the API server, where the command line says so.
import type { Command } from 'commander';
import { GoldmaneServer, type GoldmaneTls } from '#goldmane';
import type { FlowKeeping } from './flow-keeping.ts';

export interface GoldmaneFlags {
  readonly goldmaneListen?: string;
  readonly goldmaneCertFile?: string;
  readonly goldmaneKeyFile?: string;
  readonly goldmaneCaFile?: string;
}

export function withGoldmaneFlags(command: Command): Command {
  return command
    .option('--goldmane-listen <host:port>', "serve Goldmane's gRPC API, such as 127.0.0.1:7443")
    .option('--goldmane-cert-file <file>', 'its certificate; needed off loopback')
    .option('--goldmane-key-file <file>', "the certificate's key")
    .option('--goldmane-ca-file <file>', 'who signs the certificates of clients');
}

/** Undefined where it is not asked for. Throws an Error that says what is missing. */
export async function startGoldmane(
  flags: GoldmaneFlags,
  keeping: FlowKeeping | undefined,
): Promise<GoldmaneServer | undefined> {
  const { goldmaneListen: address } = flags;
  if (address === undefined) return undefined;
  if (!keeping) {
    throw new Error(
      'Cannot serve --goldmane-listen: no flows are kept, choose another --flow-storage',
    );
  }
  const tls = tlsOf(flags);
  return GoldmaneServer.listen({ keeper: keeping.keeper, address, ...(tls && { tls }) });
}

function tlsOf(flags: GoldmaneFlags): GoldmaneTls | undefined {
  const { goldmaneCertFile: certFile, goldmaneKeyFile: keyFile, goldmaneCaFile: caFile } = flags;
  if (certFile !== undefined && keyFile !== undefined && caFile !== undefined) {
    return { certFile, keyFile, caFile };
  }
  if (certFile === undefined && keyFile === undefined && caFile === undefined) return undefined;
  throw new Error(
    'Cannot serve --goldmane-listen with TLS: certificate, key and CA files are all needed',
  );
}
