// The errors of the API client: what the server refused, and that it could not be reached.
import { isObject } from '#lib';

/** The server answered with an error (a Kubernetes Status object). */
export class ApiError extends Error {
  /** HTTP status code. */
  readonly status: number;
  /** Kubernetes reason such as `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`. */
  readonly reason: string;
  /** `details` of the Status: name, kind, causes. */
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(status: number, reason: string, message: string, details?: Record<string, unknown>) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.reason = reason;
    this.details = details;
  }

  get notFound(): boolean {
    return this.status === 404;
  }

  /** A create of something that is there already. */
  get alreadyExists(): boolean {
    return this.status === 409 && this.reason === 'AlreadyExists';
  }

  /** A write whose resourceVersion is not the current one: read again and retry. */
  get conflict(): boolean {
    return this.status === 409 && this.reason !== 'AlreadyExists';
  }

  /** A watch or list from a revision that is compacted: list again. */
  get gone(): boolean {
    return this.status === 410;
  }
}

/** No answer: refused, reset, timed out, or not trusted. The server's state is unknown. */
export class ConnectionError extends Error {
  constructor(server: string, cause: unknown) {
    super(`cannot reach the API server at ${server}: ${reasonOf(cause)}`, { cause });
    this.name = 'ConnectionError';
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return reasonOf(cause.errors[0]);
  if (cause instanceof Error) return cause.message || cause.name;
  return String(cause);
}

/** The error that a response's body (a Status, other JSON, or plain text) describes. */
export function apiErrorFrom(status: number, body: string): ApiError {
  const value = parseJson(body);
  if (isObject(value) && value['kind'] === 'Status') return apiErrorFromStatus(value, status);
  const text = isObject(value) && typeof value['message'] === 'string' ? value['message'] : body;
  const message = text.trim().slice(0, 500) || `the server answered with status ${status}`;
  return new ApiError(status, '', message);
}

/** The error in a Kubernetes Status object; `fallback` is used when it has no code. */
export function apiErrorFromStatus(status: Record<string, unknown>, fallback: number): ApiError {
  const { code, reason, message, details } = status;
  return new ApiError(
    typeof code === 'number' ? code : fallback,
    typeof reason === 'string' ? reason : '',
    typeof message === 'string' && message !== '' ? message : 'the server gave no message',
    isObject(details) ? details : undefined,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
