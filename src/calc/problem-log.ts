// What is wrong with the inputs: each problem once, with the resource it lies in.

/** `key`: `kind namespace/name` of the resource; `message` says where in it and what. */
export interface CalcProblem {
  readonly key: string;
  readonly message: string;
}

/** Collects the problems of one resource while it is compiled. */
export class ProblemLog {
  readonly #key: string;
  readonly problems: CalcProblem[] = [];

  constructor(key: string) {
    this.#key = key;
  }

  add(path: string, message: string): void {
    this.problems.push({ key: this.#key, message: `${path}: ${message}` });
  }
}
