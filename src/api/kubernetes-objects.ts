// Kubernetes kinds that hold what others need: leases, configuration and secrets.
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, memberPath, quoted } from './problem.ts';

const text = Type.Optional(Type.String());

const Texts = Type.Record(Type.String(), Type.String());

export const LeaseSpec = Type.Object({
  holderIdentity: text,
  /** Above 0. */
  leaseDurationSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
  acquireTime: text,
  renewTime: text,
  leaseTransitions: Type.Optional(Type.Integer({ minimum: 0 })),
  strategy: text,
  preferredHolder: text,
});

/** coordination.k8s.io/v1: who holds something, and until when it is his. */
export interface Lease extends Resource {
  readonly kind: 'Lease';
  readonly spec?: Static<typeof LeaseSpec>;
}

export const leaseKind: KindDefinition = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  singular: 'lease',
  shortNames: [],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({ metadata: ObjectMeta, spec: Type.Optional(LeaseSpec) }),
  columns: [{ name: 'Holder', type: 'string', path: '.spec.holderIdentity', priority: 0 }],
};

const immutable = Type.Optional(Type.Boolean());

export interface ConfigMap extends Resource {
  readonly kind: 'ConfigMap';
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}

export const configMapKind: KindDefinition = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  singular: 'configmap',
  shortNames: ['cm'],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({
    metadata: ObjectMeta,
    data: Type.Optional(Texts),
    binaryData: Type.Optional(Texts),
    immutable,
  }),
  columns: [],
  check: (resource) => dataProblems(resource, ['binaryData']),
};

export interface Secret extends Resource {
  readonly kind: 'Secret';
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}

export const secretKind: KindDefinition = {
  group: '',
  version: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  singular: 'secret',
  shortNames: [],
  namespaced: true,
  hasStatus: false,
  schema: Type.Object({
    metadata: ObjectMeta,
    type: text,
    data: Type.Optional(Texts),
    stringData: Type.Optional(Texts),
    immutable,
  }),
  columns: [{ name: 'Type', type: 'string', path: '.type', priority: 0 }],
  immutableFields: ['type'],
  defaults: (resource) => encodedSecret(resource),
  check: (resource) => dataProblems(resource, ['data']),
};

/** `stringData` is for writing: it becomes a part of `data`. */
function encodedSecret(resource: Resource): Resource {
  const {
    stringData,
    ...secret
  }: Resource & {
    stringData?: Record<string, string>;
    data?: Record<string, string>;
    type?: string;
  } = resource;
  const encoded = Object.entries(stringData ?? {}).map(([key, value]) => [key, base64(value)]);
  const data = { ...secret.data, ...Object.fromEntries(encoded) };
  return {
    ...secret,
    ...(Object.keys(data).length > 0 ? { data } : {}),
    type: secret.type ?? 'Opaque',
  } as Resource;
}

function base64(value: string): string {
  const bytes = Array.from(new TextEncoder().encode(value), (byte) => String.fromCharCode(byte));
  return btoa(bytes.join(''));
}

const KEY = /^[-._a-zA-Z0-9]{1,253}$/;
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const DATA_MAX = 1024 * 1024;

/** Keys are file names; values of `binary` fields are base64; 1 MiB in all. Values are never told. */
function dataProblems(resource: Resource, binary: readonly string[]): Problem[] {
  const fields: Resource & { data?: unknown; binaryData?: unknown } = resource;
  const problems: Problem[] = [];
  let size = 0;
  for (const [field, values] of [
    ['data', fields.data],
    ['binaryData', fields.binaryData],
  ] as const) {
    for (const [key, value] of Object.entries((values ?? {}) as Record<string, string>)) {
      const path = memberPath(field, key);
      size += value.length;
      if (!KEY.test(key) || key === '.' || key.startsWith('..')) {
        problems.push(
          fault(path, `${quoted(key)} is no key: use letters, digits, "-", "_" and "."`),
        );
      }
      if (binary.includes(field) && !BASE64.test(value)) {
        problems.push(fault(path, 'the value is not base64'));
      }
    }
  }
  if (size > DATA_MAX) {
    problems.push(fault('data', `is ${size} bytes long, at most ${DATA_MAX} are allowed`));
  }
  return problems;
}
