// Protobuf messages as tables of fields: one definition encodes, decodes and gives the type.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** One field: it is written from an `In` and read as an `Out`. */
export interface Field<In, Out = In> {
  readonly number: number;
  readonly wireType: WireType;
  /** What a message without the field reads as. */
  initial(): Out;
  /** With its tag. */
  write(writer: BinaryWriter, value: In): void;
  /** Without its tag; `before` is what the field has so far. */
  read(reader: BinaryReader, before: Out): Out;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

export type Decoded<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Field<infer _, infer Out> ? Out : never;
};

/** What is left out is not sent, which the other side takes as zero, empty or absent. */
export type Encodable<F extends Fields> = {
  readonly [Name in keyof F]?: (F[Name] extends Field<infer In, infer _> ? In : never) | undefined;
};

export interface Message<F extends Fields> {
  encode(value: Encodable<F>): Uint8Array;
  /** Unknown fields are skipped. Throws on bytes that are no message. */
  decode(bytes: Uint8Array): Decoded<F>;
}

/** What a definition decodes to. */
export type MessageOf<M> = M extends Message<infer F> ? Decoded<F> : never;

/** What a definition encodes. */
export type InputOf<M> = M extends Message<infer F> ? Encodable<F> : never;

export function message<F extends Fields>(fields: F): Message<F> {
  const table = Object.entries(fields);
  const byNumber = new Map(table.map(([name, field]) => [field.number, { name, field }]));
  return {
    encode(value) {
      const writer = new BinaryWriter();
      const values: Readonly<Record<string, unknown>> = value;
      for (const [name, field] of table) {
        const held = values[name];
        if (held !== undefined) field.write(writer, held);
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
        if (known?.field.wireType !== wireType) reader.skip(wireType, number);
        else values[known.name] = known.field.read(reader, values[known.name]);
      }
      // Every field of the table was set above.
      return values as Decoded<F>;
    },
  };
}

interface Codec<T> {
  readonly wireType: WireType;
  readonly zero: T;
  readonly write: (writer: BinaryWriter, value: T) => void;
  readonly read: (reader: BinaryReader) => T;
}

function scalar<T>(number: number, { wireType, zero, write, read }: Codec<T>): Field<T> {
  return {
    number,
    wireType,
    initial: () => zero,
    write: (writer, value) => write(writer.tag(number, wireType), value),
    read,
  };
}

/** `string`, or `bytes` that are UTF-8 text. */
export function text(number: number): Field<string> {
  return scalar(number, {
    wireType: WireType.LengthDelimited,
    zero: '',
    write: (writer, value) => void writer.string(value),
    read: (reader) => reader.string(),
  });
}

export function bytes(number: number): Field<Uint8Array> {
  return scalar<Uint8Array>(number, {
    wireType: WireType.LengthDelimited,
    zero: new Uint8Array(),
    write: (writer, value) => void writer.bytes(value),
    read: (reader) => reader.bytes(),
  });
}

/** `int64` and enumerations that a number holds exactly: revisions, counts, limits. */
export function integer(number: number): Field<number> {
  return scalar(number, {
    wireType: WireType.Varint,
    zero: 0,
    write: (writer, value) => void writer.int64(value),
    read: (reader) => Number(reader.int64()),
  });
}

/** `int64` and `uint64` that use all 64 bits: identifiers, as decimal text. */
export function identifier(number: number): Field<string> {
  return scalar(number, {
    wireType: WireType.Varint,
    zero: '0',
    write: (writer, value) => void writer.uint64(value),
    read: (reader) => String(reader.uint64()),
  });
}

export function flag(number: number): Field<boolean> {
  return scalar(number, {
    wireType: WireType.Varint,
    zero: false,
    write: (writer, value) => void writer.bool(value),
    read: (reader) => reader.bool(),
  });
}

/** A message within; undefined where it is absent. */
export function nested<F extends Fields>(
  number: number,
  inner: Message<F>,
): Field<Encodable<F>, Decoded<F> | undefined> {
  return {
    number,
    wireType: WireType.LengthDelimited,
    initial: () => undefined,
    write: (writer, value) => {
      writer.tag(number, WireType.LengthDelimited).bytes(inner.encode(value));
    },
    read: (reader) => inner.decode(reader.bytes()),
  };
}

/** Any number of messages. */
export function repeated<F extends Fields>(
  number: number,
  inner: Message<F>,
): Field<readonly Encodable<F>[], readonly Decoded<F>[]> {
  return {
    number,
    wireType: WireType.LengthDelimited,
    initial: () => [],
    write: (writer, values) => {
      for (const value of values) {
        writer.tag(number, WireType.LengthDelimited).bytes(inner.encode(value));
      }
    },
    read: (reader, before) => {
      const item = inner.decode(reader.bytes());
      // The array is of this decoding alone, and a list of thousands is not copied for each.
      if (before.length === 0) return [item];
      (before as Decoded<F>[]).push(item);
      return before;
    },
  };
}

/** Any number of texts. */
export function texts(number: number): Field<readonly string[]> {
  return {
    number,
    wireType: WireType.LengthDelimited,
    initial: () => [],
    write: (writer, values) => {
      for (const value of values) writer.tag(number, WireType.LengthDelimited).string(value);
    },
    read: (reader, before) => [...before, reader.string()],
  };
}

/** Any number of `int64` or enumerations, packed as proto3 does. */
export function integers(number: number): Field<readonly number[]> {
  return {
    number,
    wireType: WireType.LengthDelimited,
    initial: () => [],
    write: (writer, values) => {
      if (values.length === 0) return;
      writer.tag(number, WireType.LengthDelimited).fork();
      for (const value of values) writer.int64(value);
      writer.join();
    },
    read: (reader, before) => {
      const packed = new BinaryReader(reader.bytes());
      const values = [...before];
      while (packed.pos < packed.len) values.push(Number(packed.int64()));
      return values;
    },
  };
}
