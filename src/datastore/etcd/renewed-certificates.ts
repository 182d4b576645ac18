// Takes certificates for etcd that were renewed in their files, without a restart.
import type { EtcdTls } from './etcd-connection.ts';

export interface RenewalOptions {
  /** Those that are in use. */
  readonly current: EtcdTls | undefined;
  /** Reads the files; throws an Error that names the one that cannot be used. */
  readonly read: () => EtcdTls;
  /** Throws where they are none. */
  readonly renew: (tls: EtcdTls) => void;
  /** Milliseconds between looks. */
  readonly everyMs: number;
  /** Told once of each trouble, for as long as it lasts; the certificates in use stay. */
  readonly onTrouble: (error: unknown) => void;
}

/** Returns what ends it. */
export function renewPeriodically(options: RenewalOptions): () => void {
  const { read, renew, everyMs, onTrouble } = options;
  let known = textOf(options.current);
  let told: string | undefined;
  const look = (): void => {
    try {
      const tls = read();
      if (textOf(tls) !== known) {
        renew(tls);
        known = textOf(tls);
      }
      told = undefined;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== told) onTrouble(error);
      told = message;
    }
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Equal for equal certificates. */
function textOf({ ca, certificate, key }: EtcdTls = {}): string {
  return [ca, certificate, key].map((file) => file?.toString('base64') ?? '').join(' ');
}
