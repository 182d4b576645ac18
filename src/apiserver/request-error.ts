// The refusals of the API server, each a Kubernetes Status object with what to do about it.
import { apiVersionOf, type KindDefinition, type Problem } from '#api';

export interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

/** Thrown wherever a request is refused; the server turns it into the response. */
export class RequestError extends Error {
  /** HTTP status code. */
  readonly code: number;
  /** metav1.StatusReason. */
  readonly reason: string;
  readonly details: StatusDetails;
  readonly metadata: { readonly continue?: string };

  constructor(
    code: number,
    reason: string,
    message: string,
    details: StatusDetails = {},
    metadata: { continue?: string } = {},
  ) {
    super(message);
    this.name = 'RequestError';
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.metadata = metadata;
  }
}

/** The body of an error response. */
export function failureStatus(error: RequestError): Record<string, unknown> {
  const { message, reason, details, code, metadata } = error;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata,
    status: 'Failure',
    message,
    reason,
    details,
    code,
  };
}

/** `networkpolicies.projectcalico.org`, or the plural alone for the core group. */
export function resourceName(kind: KindDefinition): string {
  return kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
}

function detailsOf(kind: KindDefinition, name: string): StatusDetails {
  return { name, group: kind.group, kind: kind.plural };
}

export function badRequest(message: string): RequestError {
  return new RequestError(400, 'BadRequest', message);
}

export function forbidden(message: string): RequestError {
  return new RequestError(403, 'Forbidden', message);
}

/** A create in a namespace that is on its way out; clients know it by its cause. */
export function namespaceTerminating(
  kind: KindDefinition,
  name: string,
  namespace: string,
): RequestError {
  const why = `namespace ${namespace} is being terminated`;
  const message =
    `${resourceName(kind)} "${name}" is forbidden: ` +
    `unable to create new content in namespace ${namespace} because it is being terminated`;
  const causes = [{ reason: 'NamespaceTerminating', message: why, field: 'metadata.namespace' }];
  return new RequestError(403, 'Forbidden', message, { ...detailsOf(kind, name), causes });
}

export function noSuchPath(path: string): RequestError {
  return new RequestError(404, 'NotFound', `the server has no resource at "${path}"`);
}

export function notFound(kind: KindDefinition, name: string): RequestError {
  const message = `${resourceName(kind)} "${name}" not found`;
  return new RequestError(404, 'NotFound', message, detailsOf(kind, name));
}

export function alreadyExists(kind: KindDefinition, name: string): RequestError {
  const message = `${resourceName(kind)} "${name}" already exists`;
  return new RequestError(409, 'AlreadyExists', message, detailsOf(kind, name));
}

export function conflict(kind: KindDefinition, name: string, why: string): RequestError {
  const message = `cannot change ${resourceName(kind)} "${name}": ${why}`;
  return new RequestError(409, 'Conflict', message, detailsOf(kind, name));
}

/** Fields that others manage; kubectl tells them from the causes. */
export function applyConflict(
  kind: KindDefinition,
  name: string,
  fields: readonly { readonly message: string; readonly field: string }[],
): RequestError {
  const causes = fields.map((cause) => ({ reason: 'FieldManagerConflict', ...cause }));
  const count = causes.length === 1 ? '1 conflict' : `${causes.length} conflicts`;
  const texts = causes.map(({ message, field }) => `${message}: ${field}`);
  const message = `Apply failed with ${count}: ${texts.join(', ')}`;
  return new RequestError(409, 'Conflict', message, { ...detailsOf(kind, name), causes });
}

/** `next`: a continue token with which the client may go on in spite of it. */
export function gone(message: string, next?: string): RequestError {
  return new RequestError(
    410,
    'Expired',
    message,
    {},
    next === undefined ? {} : { continue: next },
  );
}

/** A revision that the store does not have yet; clients know it by its cause and try again. */
export function tooLargeRevision(revision: number, newest: number): RequestError {
  const message = `Too large resource version: ${revision}, current: ${newest}`;
  const causes = [{ reason: 'ResourceVersionTooLarge', message, field: '' }];
  return new RequestError(504, 'Timeout', message, { causes, retryAfterSeconds: 1 });
}

/** A query parameter that does not go with the others. */
export function invalidOption(field: string, why: string): RequestError {
  const causes = [{ reason: 'FieldValueInvalid', message: why, field }];
  return new RequestError(422, 'Invalid', `${field} ${why}`, { causes });
}

export function notAllowed(method: string, path: string): RequestError {
  const message = `${method} is not allowed on "${path}"`;
  return new RequestError(405, 'MethodNotAllowed', message);
}

export function unsupportedMediaType(type: string, allowed: readonly string[]): RequestError {
  const message = `content type "${type}" is not supported; use ${allowed.join(' or ')}`;
  return new RequestError(415, 'UnsupportedMediaType', message);
}

export function notAcceptable(allowed: string): RequestError {
  const message = `none of the accepted content types can be served; accept ${allowed}`;
  return new RequestError(406, 'NotAcceptable', message);
}

/** All errors of a resource at once, each with its field path. */
export function invalid(
  kind: KindDefinition,
  name: string,
  problems: readonly Problem[],
): RequestError {
  const texts = problems.map(({ path, message }) =>
    path === '' ? message : `${path}: ${message}`,
  );
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const causes = problems.map(({ path, message }) => ({
    reason: 'FieldValueInvalid',
    message,
    field: path === '' ? apiVersionOf(kind) : path,
  }));
  return new RequestError(422, 'Invalid', `${qualified} "${name}" is invalid: ${list}`, {
    ...detailsOf(kind, name),
    kind: kind.kind,
    causes,
  });
}
