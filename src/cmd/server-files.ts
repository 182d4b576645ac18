// The files that flags of `tortie server` name: looked at before anything is opened.
import { checkGivenFiles, type GivenFile, type Holds } from '#datastore';
import type { AccessFlags } from './server-access.ts';
import type { GoldmaneFlags } from './goldmane.ts';
import type { LimitFlags } from './server-limits.ts';
import type { MetricsFlags } from './server-metrics.ts';

export type FileFlags = AccessFlags & GoldmaneFlags & MetricsFlags & Partial<LimitFlags>;

const FILES: readonly (readonly [flag: string, option: keyof FileFlags, holds: Holds])[] = [
  ['--tls-cert-file', 'tlsCertFile', 'certificates'],
  ['--tls-private-key-file', 'tlsPrivateKeyFile', 'key'],
  ['--client-ca-file', 'clientCaFile', 'certificates'],
  ['--oidc-ca-file', 'oidcCaFile', 'certificates'],
  ['--metrics-cert-file', 'metricsCertFile', 'certificates'],
  ['--metrics-key-file', 'metricsKeyFile', 'key'],
  ['--metrics-client-ca-file', 'metricsClientCaFile', 'certificates'],
  ['--goldmane-cert-file', 'goldmaneCertFile', 'certificates'],
  ['--goldmane-key-file', 'goldmaneKeyFile', 'key'],
  ['--goldmane-ca-file', 'goldmaneCaFile', 'certificates'],
  ['--audit-policy-file', 'auditPolicyFile', 'text'],
];

/** Throws an Error that names each flag whose file cannot be used, the path, why, and what to do. */
export function checkServerFiles(flags: FileFlags): void {
  checkGivenFiles(
    FILES.flatMap(([name, option, holds]): GivenFile[] => {
      const path = flags[option];
      return typeof path === 'string' ? [{ name, path, holds }] : [];
    }),
  );
}
