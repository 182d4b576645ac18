// Reads the JSON body of a request, of the content types that the request may have.
import type { FastifyRequest } from 'fastify';
import { parseKubernetesYaml } from '#api';
import { PROTOBUF, protobufObject } from './protobuf-body.ts';
import { badRequest, unsupportedMediaType } from './request-error.ts';

/** Throws 415 for another type, 400 for a body that is missing or no JSON. */
export function jsonBody(
  request: FastifyRequest,
  allowed: readonly string[] = ['application/json'],
): unknown {
  // As in Kubernetes: what says nothing is JSON.
  const type = mediaType(request) || 'application/json';
  if (!allowed.includes(type)) throw unsupportedMediaType(type, allowed);
  const body = optionalJsonBody(request);
  if (body === undefined) throw badRequest('the request needs a body');
  return body;
}

/** An object to be stored: JSON, or protobuf where that can be read. */
export function objectBody(request: FastifyRequest): unknown {
  const { body } = request;
  if (mediaType(request) === PROTOBUF && Buffer.isBuffer(body)) return protobufObject(body);
  return jsonBody(request);
}

/** Undefined where there is no body; throws 400 for one that is no JSON. */
export function optionalJsonBody({ body }: FastifyRequest): unknown {
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  return read('JSON', () => JSON.parse(body.toString('utf8')) as unknown);
}

/** The options of a deletion; undefined where there is no body. Throws 400, and 415 as `objectBody`. */
export function deletionBody(request: FastifyRequest): unknown {
  const { body } = request;
  const isProtobuf = mediaType(request) === PROTOBUF && Buffer.isBuffer(body) && body.length > 0;
  return isProtobuf ? protobufObject(body) : optionalJsonBody(request);
}

/** YAML, of which JSON is a part; throws 400 for a body that is missing or neither. */
export function yamlBody({ body }: FastifyRequest): unknown {
  if (!Buffer.isBuffer(body) || body.length === 0) throw badRequest('the request needs a body');
  const text = body.toString('utf8');
  // Nearly all clients send JSON, which its own parser reads much faster.
  const isJson = text.trimStart().startsWith('{');
  return read('YAML', () => {
    if (!isJson) return smallYaml(text);
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return smallYaml(text);
    }
  });
}

/** Characters: the parser takes long for large texts, and nobody else is served meanwhile. */
const MAX_YAML = 256 * 1024;

function smallYaml(text: string): unknown {
  if (text.length <= MAX_YAML) return parseKubernetesYaml(text);
  throw new Error(`it is over ${MAX_YAML} characters; send what is larger as JSON`);
}

/** Levels of objects and lists; what reads them later may call itself for each. */
const MAX_DEPTH = 100;

function read(language: string, parseBody: () => unknown): unknown {
  let value: unknown;
  try {
    value = parseBody();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badRequest(`the body is not ${language}: ${reason}`);
  }
  refuseDepth(value, 'the body');
  return value;
}

/** Throws a 400 for what has too many levels; `what` is for the message. */
export function refuseDepth(value: unknown, what: string): void {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw badRequest(`${what} has more than ${MAX_DEPTH} levels`);
    level = level.flatMap((item) =>
      typeof item === 'object' && item !== null ? Object.values(item) : [],
    );
  }
}

/** The content type without its parameters. */
export function mediaType(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
}
