// What a field is for, in a sentence or two: the descriptions of OpenAPI and `kubectl explain`.

/** Of a field without fields of its own, or of one with them: `''` is the field itself. */
export type FieldText = string | FieldTexts;

/** By field; what a list or a map holds stands where the list or map does. */
export interface FieldTexts {
  readonly [field: string]: FieldText;
  readonly ''?: string;
}
