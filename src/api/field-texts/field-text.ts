// What a field is for, in a sentence or two: the descriptions of OpenAPI and `kubectl explain`.

/** Of a field without fields of its own, or of one with them: `''` is the field itself. */
export type FieldText = string | FieldTexts;

/** By field; what a list or a map holds stands where the list or map does. */
export interface FieldTexts {
  readonly [field: string]: FieldText;
  readonly ''?: string;
}

/** What the field itself is for. */
export function descriptionIn(text: FieldText | undefined): string | undefined {
  return typeof text === 'string' ? text : text?.[''];
}

/** The texts below the field; what an item or an entry is, its list or map has said. */
export function textsWithin(text: FieldText | undefined): FieldTexts {
  if (text === undefined || typeof text === 'string') return {};
  const { '': _, ...inner } = text;
  return inner;
}
