// Protobuf bodies: what `kubectl create namespace` sends, and that nothing else is taken for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { protobufObject } from './protobuf-body.ts';
import { RequestError } from './request-error.ts';

function field(number: number, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content);
  assert.ok(bytes.length < 128 && number < 16);
  return Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
}

const message = (...fields: Buffer[]): Buffer => Buffer.concat(fields);

function body(kind: string, object: Buffer, encoding = ''): Buffer {
  const type = field(1, message(field(1, 'v1'), field(2, kind)));
  const rest = [field(2, object), field(3, encoding), field(4, '')];
  return message(Buffer.from('k8s\0'), type, ...rest);
}

const unset = [field(2, ''), field(3, field(1, ''))];

test('a namespace with name, labels and finalizers is read', () => {
  const label = (name: string, value: string) =>
    field(11, message(field(1, name), field(2, value)));
  const generation = Buffer.from([7 * 8, 0]);
  const metadata = message(
    field(1, 'shop'),
    field(2, ''),
    generation,
    field(8, ''),
    label('a', '1'),
  );
  const more = message(metadata, label('b', ''), field(14, 'example.com/x'));
  assert.deepEqual(protobufObject(body('Namespace', message(field(1, more), ...unset))), {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { a: '1', b: '' }, finalizers: ['example.com/x'] },
  });
});

test('what holds more than metadata is 415, what is broken 400', () => {
  const named = field(1, field(1, 'shop'));
  const created = field(1, field(8, Buffer.from([8, 1])));
  const whole = body('Namespace', named);
  const refused: [Buffer, number][] = [
    [body('Pod', named), 415],
    [body('Namespace', message(named, field(2, field(1, 'x')))), 415],
    [body('Namespace', created), 415],
    [body('Namespace', named, 'gzip'), 415],
    [Buffer.from('{"kind":"Namespace"}'), 400],
    [message(whole, Buffer.from([0x12, 0x7f])), 400],
    [message(whole, Buffer.from([0x0b])), 400],
    [message(whole, Buffer.alloc(12, 0xff)), 400],
    [body('Namespace', field(1, field(1, Buffer.from([0xff])))), 400],
  ];
  for (const [bytes, code] of refused) assert.throws(() => protobufObject(bytes), { code });
});

test('rules, subjects and reviews are read, with what is empty in lists', () => {
  const envelope = (apiVersion: string, kind: string, object: Buffer): Buffer => {
    const type = field(1, message(field(1, apiVersion), field(2, kind)));
    return message(Buffer.from('k8s\0'), type, field(2, object), field(3, ''), field(4, ''));
  };
  const rule = message(field(1, 'get'), field(1, 'list'), field(2, ''), field(3, 'pods'));
  const role = message(field(1, field(1, 'r')), field(2, rule));
  assert.deepEqual(protobufObject(envelope('rbac.authorization.k8s.io/v1', 'Role', role)), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'r' },
    rules: [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }],
  });
  const seconds = Buffer.from([4 * 8, 0xd8, 0x04]);
  const request = message(field(1, ''), field(2, message(field(1, 'vault'), seconds)));
  assert.deepEqual(protobufObject(envelope('authentication.k8s.io/v1', 'TokenRequest', request)), {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    metadata: {},
    spec: { audiences: ['vault'], expirationSeconds: 600 },
  });
});

test('configuration, secrets, events and options of deletions are read', () => {
  const read = (apiVersion: string, kind: string, object: Buffer): unknown => {
    const type = field(1, message(field(1, apiVersion), field(2, kind)));
    return protobufObject(
      message(Buffer.from('k8s\0'), type, field(2, object), field(3, ''), field(4, '')),
    );
  };
  const entry = message(field(1, 'p'), field(2, Buffer.from([0xff, 0])));
  const secret = message(field(1, field(1, 's')), field(2, entry), field(3, 'Opaque'));
  assert.deepEqual(read('v1', 'Secret', secret), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    data: { p: '/wA=' },
    type: 'Opaque',
  });
  const target = (bytes: readonly number[], rest = '') =>
    field(1, message(Buffer.from([24, 80]), field(4, message(Buffer.from(bytes), field(3, rest)))));
  const spec = message(target([8, 0, 16, 81]), target([8, 1], 'http'));
  const service = read('v1', 'Service', message(field(1, ''), field(2, spec), field(3, '')));
  assert.deepEqual((service as { spec: unknown }).spec, {
    ports: [
      { port: 80, targetPort: 81 },
      { port: 80, targetPort: 'http' },
    ],
  });
  const time = Buffer.from([8, 0x90, 0x1c, 16, 0xe8, 7]);
  const event = message(field(1, ''), field(6, time), field(10, time), field(7, ''));
  assert.deepEqual(read('v1', 'Event', event), {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {},
    firstTimestamp: '1970-01-01T01:00:00Z',
    eventTime: '1970-01-01T01:00:00.000001Z',
  });
  const deletion = message(Buffer.from([8, 0]), field(2, field(1, 'u')), field(4, 'Orphan'));
  assert.deepEqual(read('apps/v1', 'DeleteOptions', deletion), {
    apiVersion: 'apps/v1',
    kind: 'DeleteOptions',
    metadata: {},
    gracePeriodSeconds: 0,
    preconditions: { uid: 'u' },
    propagationPolicy: 'Orphan',
  });
});

test('no bytes do more than to be refused', () => {
  const good = body('Namespace', message(field(1, field(1, 'shop')), ...unset));
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 4 }), fc.nat(good.length), (changes, length) => {
      const bytes = Buffer.from(good);
      for (const [at, byte] of changes) bytes[at] = byte;
      try {
        protobufObject(bytes.subarray(0, length));
      } catch (error) {
        assert.ok(error instanceof RequestError, String(error));
      }
    }),
  );
});
