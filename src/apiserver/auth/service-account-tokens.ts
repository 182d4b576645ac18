// Service-account tokens: signed, expiring, for an audience, and bound to objects that must still be there.
import { randomUUID } from 'node:crypto';
import {
  apiVersionOf,
  type KindDefinition,
  nodeKind,
  podKind,
  type Resource,
  serviceAccountKind,
} from '#api';
import { isObject } from '#lib';
import type { NamedTarget } from '../resources.ts';
import { type Identity, serviceAccountGroups, serviceAccountUser } from './identity.ts';
import { type DecodedToken, signToken, verifyToken } from './json-web-token.ts';
import type { ServiceAccountKeys } from './service-account-keys.ts';

export interface ServiceAccountTokenOptions {
  readonly keys: ServiceAccountKeys;
  /** `iss` of the tokens. */
  readonly issuer: string;
  /** Whom a token must be for to be let in here; the first is given to tokens that name none. */
  readonly audiences: readonly string[];
  /** Undefined where there is none. */
  readonly find: (target: NamedTarget) => Promise<Resource | undefined>;
  readonly now: () => number;
}

/** What a token holds on to; it is void once this has gone. */
export interface BoundObject {
  readonly kind: 'Pod' | 'Node';
  readonly name: string;
  readonly uid: string;
}

export interface IssueRequest {
  readonly account: Resource;
  readonly audiences: readonly string[];
  readonly seconds: number;
  readonly bound?: BoundObject | undefined;
  /** Of a pod that is bound: the node that it runs on. */
  readonly node?: { readonly name: string; readonly uid?: string | undefined } | undefined;
}

/** Seconds for which a deleted pod's token is still good, so that it can end its work. */
const POD_GRACE = 60;
const PRIVATE = 'kubernetes.io';
const EXTRA = 'authentication.kubernetes.io/';
const KINDS: Readonly<Record<BoundObject['kind'], KindDefinition>> = {
  Pod: podKind,
  Node: nodeKind,
};

export class ServiceAccountTokens {
  readonly #options: ServiceAccountTokenOptions;

  constructor(options: ServiceAccountTokenOptions) {
    this.#options = options;
  }

  get issuer(): string {
    return this.#options.issuer;
  }

  get audiences(): readonly string[] {
    return this.#options.audiences;
  }

  /** Expires `expires` milliseconds after 1970. */
  async issue(
    request: IssueRequest,
  ): Promise<{ readonly token: string; readonly expires: number }> {
    const { account, audiences, seconds, bound, node } = request;
    const { namespace = '', name, uid } = account.metadata;
    const now = Math.floor(this.#options.now() / 1000);
    const claims = {
      iss: this.#options.issuer,
      sub: serviceAccountUser(namespace, name),
      aud: audiences.length > 0 ? audiences : this.#options.audiences,
      iat: now,
      nbf: now,
      exp: now + seconds,
      jti: randomUUID(),
      [PRIVATE]: {
        namespace,
        serviceaccount: { name, uid },
        ...(bound ? { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } } : {}),
        ...(node ? { node } : {}),
      },
    };
    return {
      token: await signToken(claims, this.#options.keys.signing),
      expires: (now + seconds) * 1000,
    };
  }

  /** Whom the token stands for, and which of `audiences` it is for; undefined: it is not good. */
  async identify(
    token: DecodedToken,
    audiences: readonly string[] = this.#options.audiences,
  ): Promise<{ identity: Identity; audiences: string[] } | undefined> {
    const { keys, issuer, now } = this.#options;
    const expected = { issuer, audiences, algorithms: ['ES256'], now: now() };
    const verdict = await verifyToken(token, keys.verifying, expected);
    if (typeof verdict === 'string') return undefined;
    const { claims } = verdict;
    const aud = [claims['aud']].flat();
    const matching = audiences.filter((audience) => aud.includes(audience));
    const identity = await this.#identity(claims);
    return identity && { identity, audiences: matching };
  }

  async #identity(claims: Readonly<Record<string, unknown>>): Promise<Identity | undefined> {
    const own = isObject(claims[PRIVATE]) ? claims[PRIVATE] : {};
    const { namespace } = own;
    const account = reference(own['serviceaccount']);
    if (typeof namespace !== 'string' || !account) return undefined;
    if (claims['sub'] !== serviceAccountUser(namespace, account.name)) return undefined;
    const target = { kind: serviceAccountKind, namespace, name: account.name };
    if (!(await this.#isThere(target, account.uid))) return undefined;
    const pod = reference(own['pod']);
    if (own['pod'] !== undefined) {
      if (!pod || !(await this.#isThere({ kind: podKind, namespace, name: pod.name }, pod.uid))) {
        return undefined;
      }
    }
    const node = reference(own['node'], false);
    // Beside a pod the node only informs; alone it is what the token is bound to.
    if (own['node'] !== undefined && !pod) {
      const bound = node && { kind: nodeKind, namespace: '', name: node.name };
      if (!bound || !(await this.#isThere(bound, node.uid))) return undefined;
    }
    const { jti } = claims;
    const extra = {
      ...(typeof jti === 'string' ? { [`${EXTRA}credential-id`]: [`JTI=${jti}`] } : {}),
      ...(pod ? { [`${EXTRA}pod-name`]: [pod.name], [`${EXTRA}pod-uid`]: [pod.uid] } : {}),
      ...(node ? { [`${EXTRA}node-name`]: [node.name] } : {}),
      ...(node?.uid ? { [`${EXTRA}node-uid`]: [node.uid] } : {}),
    };
    return {
      name: serviceAccountUser(namespace, account.name),
      uid: account.uid,
      groups: serviceAccountGroups(namespace),
      extra,
    };
  }

  async #isThere(target: NamedTarget, uid: string): Promise<boolean> {
    const found = await this.#options.find(target);
    if (!found || found.metadata.uid !== uid) return false;
    const { deletionTimestamp } = found.metadata;
    if (deletionTimestamp === undefined) return true;
    return this.#options.now() < Date.parse(deletionTimestamp) + POD_GRACE * 1000;
  }
}

/** The kind that a token may be bound to; undefined for others. */
export function bindableKind(apiVersion: unknown, kind: unknown): KindDefinition | undefined {
  return Object.values(KINDS).find(
    (known) => known.kind === kind && apiVersionOf(known) === (apiVersion || 'v1'),
  );
}

function reference(value: unknown, needsUid = true): { name: string; uid: string } | undefined {
  if (!isObject(value) || typeof value['name'] !== 'string') return undefined;
  const { name, uid = '' } = value;
  if (typeof uid !== 'string' || (needsUid && uid === '')) return undefined;
  return { name, uid };
}
