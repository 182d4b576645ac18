// What is wrong with the resources that a world is built from.

export interface WorldProblem {
  /** `NetworkPolicy shop/web`. */
  readonly resource: string;
  /** Field path such as `spec.ingress[0].source`. */
  readonly path: string;
  readonly message: string;
  /** Whether no world can be built; otherwise the field is left out in the way that denies. */
  readonly fatal: boolean;
}

/** Thrown by `buildWorld`, with every problem at once. */
export class WorldError extends Error {
  readonly problems: readonly WorldProblem[];

  constructor(problems: readonly WorldProblem[]) {
    const lines = problems.map(({ resource, path, message }) => `${resource}: ${path}: ${message}`);
    super(`Cannot evaluate policy, these resources are malformed:\n${lines.join('\n')}`);
    this.name = 'WorldError';
    this.problems = problems;
  }
}
