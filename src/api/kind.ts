// What a resource kind is: names, schema, defaults, checks and the columns of its table.
import { type Static, type TSchema, Type } from 'typebox';

/** metav1.ObjectMeta, the fields that Tortie reads or writes. */
export const ObjectMeta = Type.Object({
  name: Type.String(),
  generateName: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
  uid: Type.Optional(Type.String()),
  resourceVersion: Type.Optional(Type.String()),
  generation: Type.Optional(Type.Integer()),
  creationTimestamp: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  deletionTimestamp: Type.Optional(Type.String()),
  deletionGracePeriodSeconds: Type.Optional(Type.Integer()),
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
  finalizers: Type.Optional(Type.Array(Type.String())),
  ownerReferences: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  managedFields: Type.Optional(Type.Array(Type.Unknown())),
  selfLink: Type.Optional(Type.String()),
});
export type ObjectMeta = Static<typeof ObjectMeta>;

/** Any object of the API; the kinds narrow it. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** One thing wrong (or odd) with a resource. `path` is a field path such as `spec.ingress[0].action`. */
export interface Problem {
  readonly path: string;
  readonly message: string;
  readonly severity: 'error' | 'warning';
  /** There is no such field. */
  readonly unknownField?: true;
}

/** A column of `kubectl get`; `path` is a JSONPath as in a CRD's additionalPrinterColumns. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly path: string;
  /** 0 is shown always, above 0 only with `-o wide`. */
  readonly priority: number;
  /** For the CRD. */
  readonly description?: string;
}

/** Where a CRD of Calico's shows it; `kubectl get` shows it for every kind. */
export const ageColumn: Column = {
  name: 'Age',
  type: 'date',
  path: '.metadata.creationTimestamp',
  priority: 0,
};

export interface KindDefinition {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  readonly hasStatus: boolean;
  /** The whole object but for apiVersion and kind. */
  readonly schema: TSchema;
  readonly columns: readonly Column[];
  /** What is wrong with a name; absent where any DNS subdomain will do. */
  readonly nameProblem?: (name: string) => string | undefined;
  /** Fills defaults in on a write; must be idempotent and leave its argument alone. */
  readonly defaults?: (resource: Resource) => Resource;
  /** Paths such as `spec.cidr` of fields that no update may change; see `checkUpdate`. */
  readonly immutableFields?: readonly string[];
  /** This is another version of a kind: its objects are stored as that one, with other names of fields. */
  readonly storedAs?: {
    readonly kind: KindDefinition;
    /** Top-level fields of this version, and what the stored one calls them. */
    readonly fields: Readonly<Record<string, string>>;
  };
  /** Groups of kinds such as `all` that `kubectl get` knows by one word. */
  readonly categories?: readonly string[];
  /** Rules that a schema cannot say. Runs on what the schema accepted, after defaults. */
  readonly check?: (resource: Resource) => readonly Problem[];
}

/** `group/version`, or the version alone for the core group. */
export function apiVersionOf(definition: Pick<KindDefinition, 'group' | 'version'>): string {
  return definition.group === '' ? definition.version : `${definition.group}/${definition.version}`;
}
