// Reads the JSON body of a request, of the content types that the request may have.
import type { FastifyRequest } from 'fastify';
import { badRequest, unsupportedMediaType } from './request-error.ts';

/** Throws 415 for another type, 400 for a body that is missing or no JSON. */
export function jsonBody(
  request: FastifyRequest,
  allowed: readonly string[] = ['application/json'],
): unknown {
  const type = mediaType(request);
  if (!allowed.includes(type)) throw unsupportedMediaType(type, allowed);
  const body = optionalJsonBody(request);
  if (body === undefined) throw badRequest('the request needs a body');
  return body;
}

/** Undefined where there is no body; throws 400 for one that is no JSON. */
export function optionalJsonBody({ body }: FastifyRequest): unknown {
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badRequest(`the body is not JSON: ${reason}`);
  }
}

/** The content type without its parameters. */
export function mediaType(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
}
