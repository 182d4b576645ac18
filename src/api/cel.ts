// Rules for a CRD's own API server to check, in its Common Expression Language (x-kubernetes-validations).

export interface CelRule {
  /** What the API server says where the rule does not hold. */
  readonly message: string;
  readonly reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired';
  /** True for a value, `self`, that is right. */
  readonly rule: string;
}

/** The value is wrong where the rule does not hold. */
export function invalidUnless(rule: string, message: string): CelRule {
  return { message, reason: 'FieldValueInvalid', rule };
}

/** The value has no place where the rule does not hold. */
export function forbiddenUnless(rule: string, message: string): CelRule {
  return { message, reason: 'FieldValueForbidden', rule };
}

/** The `crd` option of a schema with these rules. */
export function withRules(...rules: readonly CelRule[]): {
  readonly 'x-kubernetes-validations': readonly CelRule[];
} {
  return { 'x-kubernetes-validations': rules };
}
