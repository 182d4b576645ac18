// `serviceaccounts/NAME/token`: a new token of a service account, for an audience, a time and perhaps a pod.
import { nodeKind, podKind, type Resource, serviceAccountKind } from '#api';
import { isObject } from '#lib';
import { badRequest, conflict, notFound, RequestError } from '../request-error.ts';
import type { Resources } from '../resources.ts';
import {
  bindableKind,
  type BoundObject,
  type ServiceAccountTokens,
} from './service-account-tokens.ts';

const DEFAULT_SECONDS = 60 * 60;
const MIN_SECONDS = 10 * 60;
/** A longer life is cut to this, as kube-apiserver's --service-account-max-token-expiration does. */
export const MAX_SECONDS = 24 * 60 * 60;
const MAX_AUDIENCES = 20;

/** Answers a TokenRequest. Throws 400, 404, 409 or 422. */
export async function requestToken(
  { resources, tokens }: { resources: Resources; tokens: ServiceAccountTokens },
  { namespace, name }: { namespace: string; name: string },
  body: unknown,
): Promise<Record<string, unknown>> {
  const spec = isObject(body) && isObject(body['spec']) ? body['spec'] : {};
  const audiences = audiencesOf(spec['audiences'] ?? []);
  const seconds = secondsOf(spec['expirationSeconds'] ?? DEFAULT_SECONDS);
  const account = await resources.find({ kind: serviceAccountKind, namespace, name });
  if (!account) throw notFound(serviceAccountKind, name);
  const { bound, object } = (await boundObject(resources, account, spec)) ?? {};
  const node = bound?.kind === 'Pod' && object ? await nodeOf(resources, object) : undefined;
  const { token, expires } = await tokens.issue({ account, audiences, seconds, bound, node });
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: null },
    spec: {
      audiences: audiences.length > 0 ? audiences : tokens.audiences,
      expirationSeconds: seconds,
      boundObjectRef: bound ? { apiVersion: 'v1', ...bound } : null,
    },
    status: { token, expirationTimestamp: new Date(expires).toISOString().replace(/\.\d+/, '') },
  };
}

async function boundObject(
  resources: Resources,
  account: Resource,
  { boundObjectRef: given }: Readonly<Record<string, unknown>>,
): Promise<{ bound: BoundObject; object: Resource } | undefined> {
  if (given === undefined || given === null) return undefined;
  const { apiVersion, kind: kindName, name, uid } = isObject(given) ? given : {};
  const kind = bindableKind(apiVersion, kindName);
  if (!kind || typeof name !== 'string') {
    throw invalid('spec.boundObjectRef', 'must name a Pod or a Node of apiVersion "v1"');
  }
  const { namespace = '' } = account.metadata;
  const object = await resources.find({ kind, namespace: kind.namespaced ? namespace : '', name });
  if (!object) throw notFound(kind, name);
  const { uid: actual = '' } = object.metadata;
  if (typeof uid === 'string' && uid !== '' && uid !== actual) {
    throw conflict(kind, name, `its uid is ${actual}, not ${uid.slice(0, 80)}`);
  }
  if (kind === podKind && accountOf(object) !== account.metadata.name) {
    const why = `cannot bind a token of service account "${account.metadata.name}" to pod "${name}", `;
    throw badRequest(`${why}which runs as "${accountOf(object)}"`);
  }
  return { bound: { kind: kind === podKind ? 'Pod' : 'Node', name, uid: actual }, object };
}

async function nodeOf(
  resources: Resources,
  pod: Resource,
): Promise<{ name: string; uid?: string | undefined } | undefined> {
  const { spec }: Resource & { spec?: unknown } = pod;
  const name = isObject(spec) ? spec['nodeName'] : undefined;
  if (typeof name !== 'string' || name === '') return undefined;
  const node = await resources.find({ kind: nodeKind, namespace: '', name });
  return { name, ...(node ? { uid: node.metadata.uid } : {}) };
}

function accountOf(pod: Resource): string {
  const { spec }: Resource & { spec?: unknown } = pod;
  const name = isObject(spec) ? spec['serviceAccountName'] : undefined;
  return typeof name === 'string' && name !== '' ? name : 'default';
}

function audiencesOf(value: unknown): readonly string[] {
  const fits =
    Array.isArray(value) &&
    value.length <= MAX_AUDIENCES &&
    value.every((item) => typeof item === 'string' && item !== '' && item.length <= 1024);
  if (!fits) throw invalid('spec.audiences', `must be at most ${MAX_AUDIENCES} texts, none empty`);
  return value as string[];
}

function secondsOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < MIN_SECONDS) {
    const why = `may not specify a duration less than 10 minutes (${MIN_SECONDS} seconds)`;
    throw invalid('spec.expirationSeconds', why);
  }
  return Math.min(value, MAX_SECONDS);
}

function invalid(field: string, message: string): RequestError {
  const causes = [{ reason: 'FieldValueInvalid', message, field }];
  return new RequestError(422, 'Invalid', `TokenRequest is invalid: ${field}: ${message}`, {
    kind: 'TokenRequest',
    group: 'authentication.k8s.io',
    causes,
  });
}
