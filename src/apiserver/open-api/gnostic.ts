// OpenAPI v2 in protobuf: gnostic's openapi.v2.Document, which kubectl asks for.
import { isObject } from '#lib';
import type { Json } from './definitions.ts';

/** The content types that clients accept for it; "@" is older. */
export const GNOSTIC_V2 = ['@', '.'].map(
  (mark) => `application/com.github.proto-openapi.spec.v2${mark}v1.0+protobuf`,
);

/** Of a message: its fields, one after another. */
type Pieces = Uint8Array[];

/** Of a member: its number, and how its value is written. Absent members are not written. */
type Member = readonly [number: number, write: (value: unknown, number: number) => Pieces];
type Members = Readonly<Record<string, Member>>;

/** The document of `version2Document`, by the field numbers of gnostic's OpenAPIv2.proto. */
export function gnosticDocument(document: object): Uint8Array {
  return Buffer.concat(membersOf(DOCUMENT, document, undefined));
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Uint8Array.of(...bytes, rest);
}

function tag(number: number, wireType: number): Uint8Array {
  return varint(number * 8 + wireType);
}

function delimited(number: number, pieces: Pieces): Pieces {
  const content = Buffer.concat(pieces);
  return [Buffer.concat([tag(number, 2), varint(content.length), content])];
}

function text(value: unknown, number: number): Pieces {
  return delimited(number, [Buffer.from(String(value))]);
}

function integer(value: unknown, number: number): Pieces {
  return [tag(number, 0), varint(Number(value))];
}

function flag(value: unknown, number: number): Pieces {
  return value === true ? [tag(number, 0), varint(1)] : [];
}

function double(value: unknown, number: number): Pieces {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(Number(value));
  return [tag(number, 1), bytes];
}

function each(write: Member[1]): Member[1] {
  return (value, number) => (value as readonly unknown[]).flatMap((item) => write(item, number));
}

/** gnostic's Any: the value as YAML, of which JSON is a part. */
function any(value: unknown, number: number): Pieces {
  return delimited(number, text(JSON.stringify(value), 2));
}

/** A message; members that begin with `x-` are its extensions, under their number. */
function message(members: () => Members, extensions?: number): Member[1] {
  return (value, number) => delimited(number, membersOf(members(), value, extensions));
}

function membersOf(members: Members, value: unknown, extensions: number | undefined): Pieces {
  return Object.entries(value as Json).flatMap(([name, held]) => {
    const member = Object.hasOwn(members, name) ? members[name] : undefined;
    if (member) return member[1](held, member[0]);
    if (!name.startsWith('x-') || extensions === undefined) return [];
    return delimited(extensions, [...text(name, 1), ...any(held, 2)]);
  });
}

/** A map: entries of a name (1) and a value (2). */
function named(entryNumber: number, write: Member[1]): Member[1] {
  const entries = (value: unknown): Pieces =>
    Object.entries(value as Json).flatMap(([name, held]) =>
      delimited(entryNumber, [...text(name, 1), ...write(held, 2)]),
    );
  return (value, number) => delimited(number, entries(value));
}

/** A message that holds one of several, by its number. */
function one(inner: number, write: Member[1]): Member[1] {
  return (value, number) => delimited(number, write(value, inner));
}

function additional(value: unknown, number: number): Pieces {
  return isObject(value) ? one(1, schema)(value, number) : delimited(number, flag(value, 2));
}

/** A parameter in the body (1), or one that is not (2): in the query (3) or the path (4). */
function parameter(value: unknown, number: number): Pieces {
  const place = (value as Json)['in'];
  const own =
    place === 'body'
      ? one(
          1,
          message(() => BODY_PARAMETER, 6),
        )
      : one(
          2,
          place === 'path'
            ? one(
                4,
                message(() => PATH_PARAMETER, 22),
              )
            : one(
                3,
                message(() => QUERY_PARAMETER, 23),
              ),
        );
  return one(1, own)(value, number);
}

const schema = message(() => SCHEMA, 31);

const SCHEMA: Members = {
  $ref: [1, text],
  format: [2, text],
  title: [3, text],
  description: [4, text],
  default: [5, any],
  maximum: [7, double],
  minimum: [9, double],
  maxLength: [11, integer],
  minLength: [12, integer],
  pattern: [13, text],
  maxItems: [14, integer],
  minItems: [15, integer],
  uniqueItems: [16, flag],
  maxProperties: [17, integer],
  minProperties: [18, integer],
  required: [19, each(text)],
  enum: [20, each(any)],
  additionalProperties: [21, additional],
  type: [22, one(1, text)],
  items: [23, one(1, schema)],
  properties: [25, named(1, schema)],
};

const BODY_PARAMETER: Members = {
  description: [1, text],
  name: [2, text],
  in: [3, text],
  required: [4, flag],
  schema: [5, schema],
};

const PATH_PARAMETER: Members = {
  required: [1, flag],
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [5, text],
  uniqueItems: [18, flag],
};

const QUERY_PARAMETER: Members = {
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [6, text],
  uniqueItems: [20, flag],
};

const RESPONSE: Members = { description: [1, text], schema: [2, one(1, schema)] };

const OPERATION: Members = {
  description: [3, text],
  operationId: [5, text],
  produces: [6, each(text)],
  consumes: [7, each(text)],
  parameters: [8, each(parameter)],
  responses: [
    9,
    named(
      1,
      one(
        1,
        message(() => RESPONSE),
      ),
    ),
  ],
  schemes: [10, each(text)],
};

const operation = message(() => OPERATION, 13);

const PATH_ITEM: Members = {
  get: [2, operation],
  put: [3, operation],
  post: [4, operation],
  delete: [5, operation],
  patch: [8, operation],
  parameters: [9, each(parameter)],
};

const DOCUMENT: Members = {
  swagger: [1, text],
  info: [2, message(() => ({ title: [1, text], version: [2, text] }))],
  paths: [
    8,
    named(
      2,
      message(() => PATH_ITEM),
    ),
  ],
  definitions: [9, named(1, schema)],
};
