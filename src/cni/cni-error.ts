// A failure that the runtime is told about, with its CNI code.

export class CniError extends Error {
  override readonly name = 'CniError';
  /** See `CNI_CODE`. */
  readonly code: number;

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
