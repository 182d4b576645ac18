// What went wrong with a lab, in words for its user.

/** Something that the user can act on: `message` says what, and what to do. */
export class LabError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LabError';
  }
}
