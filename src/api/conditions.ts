// The conditions of a resource, as Kubernetes writes them (metav1.Condition).
import { type Static, Type } from 'typebox';

export const Condition = Type.Object({
  type: Type.String({
    maxLength: 316,
    pattern:
      '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?' +
      '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
  }),
  status: Type.Enum(['True', 'False', 'Unknown']),
  /** Generation of the resource that the condition is about. */
  observedGeneration: Type.Optional(Type.Integer({ minimum: 0, crd: { format: 'int64' } })),
  /** RFC 3339. */
  lastTransitionTime: Type.String({ crd: { format: 'date-time' } }),
  /** One word for programs. */
  reason: Type.String({
    minLength: 1,
    maxLength: 1024,
    pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
  }),
  message: Type.String({ maxLength: 32_768 }),
});
export type Condition = Static<typeof Condition>;

/** A status that is nothing but conditions, one of each type. */
export const ConditionsStatus = Type.Object({
  conditions: Type.Optional(
    Type.Array(Condition, {
      crd: { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] },
    }),
  ),
});
