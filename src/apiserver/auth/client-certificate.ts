// Client certificates: CN is the user, each O a group, where one of our client authorities vouches for them now.
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { isObject } from '#lib';
import type { Identity } from './identity.ts';

/** The authorities whose certificates clients may show. */
export class ClientAuthorities {
  #pem: string;
  #raw: ReadonlySet<string>;
  /** Which sockets have shown a certificate of the authorities of now. */
  #vouched = new WeakMap<TLSSocket, boolean>();

  /** `pem` may hold several certificates. Throws where it holds none. */
  constructor(pem: string) {
    this.#pem = pem;
    this.#raw = authoritiesIn(pem);
  }

  get pem(): string {
    return this.#pem;
  }

  /** Clients of authorities that are gone are refused from now on, on open connections too. */
  replace(pem: string): void {
    this.#raw = authoritiesIn(pem);
    this.#pem = pem;
    this.#vouched = new WeakMap();
  }

  /** Undefined: there is no certificate, or none that is good at `now` (milliseconds since 1970). */
  identityOf(socket: TLSSocket, now: number): Identity | undefined {
    // TLS has verified the chain, its times and its purpose at the handshake.
    if (!socket.authorized) return undefined;
    const certificate: unknown = socket.getPeerCertificate();
    if (!isObject(certificate) || !isObject(certificate['subject'])) return undefined;
    const { subject, valid_from: from, valid_to: to } = certificate;
    if (!isWithin(now, from, to) || !this.#isVouched(socket)) return undefined;
    const { CN: name, O: organizations = [] } = subject;
    if (typeof name !== 'string' || name === '') return undefined;
    const groups = [organizations].flat().filter((group) => typeof group === 'string');
    const { fingerprint256 } = certificate;
    const id = String(fingerprint256).replaceAll(':', '').toLowerCase();
    const extra = { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${id}`] };
    return { name, groups, extra };
  }

  /** The chain that was verified ends at an authority; it must still be one of ours. */
  #isVouched(socket: TLSSocket): boolean {
    const known = this.#vouched.get(socket);
    if (known !== undefined) return known;
    let link = socket.getPeerCertificate(true);
    let vouched = false;
    for (let depth = 0; depth < MAX_CHAIN && !vouched; depth++) {
      vouched = depth > 0 && this.#raw.has(link.raw.toString('base64'));
      const { issuerCertificate } = link;
      if (!issuerCertificate || issuerCertificate === link) break;
      link = issuerCertificate;
    }
    this.#vouched.set(socket, vouched);
    return vouched;
  }
}

const MAX_CHAIN = 10;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function authoritiesIn(pem: string): ReadonlySet<string> {
  const texts = pem.match(PEM) ?? [];
  if (texts.length === 0)
    throw new Error('cannot use the file of client authorities: it holds no PEM certificate');
  return new Set(texts.map((text) => new X509Certificate(text).raw.toString('base64')));
}

function isWithin(now: number, from: unknown, to: unknown): boolean {
  return now >= Date.parse(String(from)) && now <= Date.parse(String(to));
}
