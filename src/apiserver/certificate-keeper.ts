// Keeps the server's certificate and its client authorities as their files are: renewed, reread, put into force.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { KeyPair } from './certificate.ts';

export interface CertificateKeeperOptions {
  /** The certificate as it should be now. */
  readonly certificate: () => Promise<KeyPair>;
  /** PEM of the client authorities as they should be now. */
  readonly clientCa: () => Promise<string>;
  readonly onCertificate: (certificate: KeyPair) => void;
  /** May throw where the PEM holds no certificate; what was before stays. */
  readonly onClientCa: (pem: string) => void;
  /** What is to be looked at with the certificates. */
  readonly onCheck?: () => Promise<void>;
  /** Files that cannot be used; what was before stays in force. Told once for each. */
  readonly onError: (error: Error) => void;
}

const CHECK_MS = 10_000;

export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  readonly #timer: NodeJS.Timeout;
  #pair: string;
  #clientCa: string;
  #told = new Set<string>();
  #checking: Promise<void> | undefined;

  /** `now`: what is in force. Looks every ten seconds (`everyMs`) until it is closed. */
  constructor(
    now: { readonly certificate: KeyPair; readonly clientCa: string },
    options: CertificateKeeperOptions,
    everyMs = CHECK_MS,
  ) {
    this.#options = options;
    this.#pair = pairText(now.certificate);
    this.#clientCa = now.clientCa;
    this.#timer = setInterval(() => void this.check(), everyMs);
    this.#timer.unref();
  }

  /** Looks at once; does not reject. */
  async check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#checking;
  }

  async #check(): Promise<void> {
    const told = new Set<string>();
    const attempt = async (act: () => Promise<void> | undefined): Promise<void> => {
      try {
        await act();
      } catch (cause) {
        const error = cause instanceof Error ? cause : new Error(String(cause));
        if (!this.#told.has(error.message)) this.#options.onError(error);
        told.add(error.message);
      }
    };
    const { certificate, clientCa, onCertificate, onClientCa, onCheck } = this.#options;
    // Authorities first: a new certificate takes them along.
    let changed = false;
    await attempt(async () => {
      const pem = await clientCa();
      if (pem === this.#clientCa) return;
      onClientCa(pem);
      this.#clientCa = pem;
      changed = true;
    });
    await attempt(async () => {
      const pair = await certificate();
      if (pairText(pair) === this.#pair && !changed) return;
      onCertificate(checkedPair(pair));
      this.#pair = pairText(pair);
    });
    await attempt(() => onCheck?.());
    this.#told = told;
  }
}

/** A certificate and key of files; throws an Error that names them where they do not go together. */
export async function readCertificate(certificate: string, key: string): Promise<KeyPair> {
  const pair = {
    certificate: await readFile(certificate, 'utf8'),
    key: await readFile(key, 'utf8'),
  };
  try {
    return checkedPair(pair);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `"${certificate}" and "${key}" are no certificate and its key`;
    throw new Error(`${what}: ${reason}`, { cause });
  }
}

/** Throws where the key is another's: TLS with it would refuse everybody. */
function checkedPair(pair: KeyPair): KeyPair {
  const certificate = new X509Certificate(pair.certificate);
  if (!certificate.checkPrivateKey(createPrivateKey(pair.key))) {
    throw new Error('the key is not of the certificate');
  }
  createSecureContext({ cert: pair.certificate, key: pair.key });
  return pair;
}

function pairText({ certificate, key }: KeyPair): string {
  return `${certificate}\n${key}`;
}
