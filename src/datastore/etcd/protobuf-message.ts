// Protobuf messages as tables of fields: what encodes, decodes and types them is one definition.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** One field of a message. The methods are so that a table may hold fields of all types. */
export interface Field<T> {
  readonly number: number;
  readonly wireType: WireType;
  readonly isRepeated: boolean;
  /** What a message without the field decodes to. */
  initial(): T;
  write(writer: BinaryWriter, value: T): void;
  /** `before` is what the field has so far. */
  read(reader: BinaryReader, before: T): T;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

type ValueOf<F> = F extends Field<infer T> ? T : never;

export type Decoded<F extends Fields> = { readonly [Name in keyof F]: ValueOf<F[Name]> };

/** What is left out is not sent, which the other side takes as zero, empty or absent. */
export type Encodable<F extends Fields> = {
  readonly [Name in keyof F]?: ValueOf<F[Name]> | undefined;
};

export interface Message<F extends Fields> {
  encode(value: Encodable<F>): Uint8Array;
  /** Unknown fields are skipped. Throws on bytes that are no message. */
  decode(bytes: Uint8Array): Decoded<F>;
}

/** The value that a definition decodes to. */
export type MessageOf<M> = M extends Message<infer F> ? Decoded<F> : never;

export function message<F extends Fields>(fields: F): Message<F> {
  const table = Object.entries(fields);
  const byNumber = new Map(table.map(([name, field]) => [field.number, { name, field }]));
  return {
    encode(value) {
      const writer = new BinaryWriter();
      const values: Readonly<Record<string, unknown>> = value;
      for (const [name, field] of table) {
        const held = values[name];
        if (held === undefined) continue;
        for (const item of field.isRepeated && Array.isArray(held) ? held : [held]) {
          writer.tag(field.number, field.wireType);
          field.write(writer, item);
        }
      }
      return writer.finish();
    },
    decode(bytes) {
      const reader = new BinaryReader(bytes);
      const values: Record<string, unknown> = {};
      for (const [name, field] of table) values[name] = field.initial();
      while (reader.pos < reader.len) {
        const [number, wireType] = reader.tag();
        const known = byNumber.get(number);
        if (!known || known.field.wireType !== wireType) {
          reader.skip(wireType, number);
          continue;
        }
        values[known.name] = known.field.read(reader, values[known.name]);
      }
      // The loop above has set every field of the table.
      return values as Decoded<F>;
    },
  };
}

function scalar<T>(
  number: number,
  wireType: WireType,
  codec: {
    readonly zero: T;
    readonly write: (writer: BinaryWriter, value: T) => void;
    readonly read: (reader: BinaryReader) => T;
  },
): Field<T> {
  const { zero, write, read } = codec;
  return { number, wireType, isRepeated: false, initial: () => zero, write, read };
}

/** `bytes` and `string` alike, as UTF-8 text. */
export function text(number: number): Field<string> {
  return scalar(number, WireType.LengthDelimited, {
    zero: '',
    write: (writer, value) => void writer.string(value),
    read: (reader) => reader.string(),
  });
}

export function bytes(number: number): Field<Uint8Array> {
  return scalar<Uint8Array>(number, WireType.LengthDelimited, {
    zero: new Uint8Array(),
    write: (writer, value) => void writer.bytes(value),
    read: (reader) => reader.bytes(),
  });
}

/** `int64` and enumerations that a number holds exactly: revisions, counts, limits. */
export function integer(number: number): Field<number> {
  return scalar(number, WireType.Varint, {
    zero: 0,
    write: (writer, value) => void writer.int64(value),
    read: (reader) => Number(reader.int64()),
  });
}

/** `int64` and `uint64` that use all their bits: identifiers, as decimal text. */
export function identifier(number: number): Field<string> {
  return scalar(number, WireType.Varint, {
    zero: '0',
    write: (writer, value) => void writer.int64(value),
    read: (reader) => String(reader.uint64()),
  });
}

export function flag(number: number): Field<boolean> {
  return scalar(number, WireType.Varint, {
    zero: false,
    write: (writer, value) => void writer.bool(value),
    read: (reader) => reader.bool(),
  });
}

/** A message within a message; undefined where it is absent. */
export function nested<F extends Fields>(
  number: number,
  inner: Message<F>,
): Field<Encodable<F> | undefined> & { readonly inner: Message<F> } {
  throw new Error(`${number} ${String(inner)}`);
}
