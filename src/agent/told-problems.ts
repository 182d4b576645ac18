// Says what is wrong with the cluster's resources once, and again only after it was gone.

/** `key`: the resource it lies in; `message`: where in it and what. */
export interface ResourceProblem {
  readonly key: string;
  readonly message: string;
}

export class ToldProblems {
  readonly #log: (problem: ResourceProblem) => void;
  #told: ReadonlySet<string> = new Set();

  constructor(log: (problem: ResourceProblem) => void) {
    this.#log = log;
  }

  /** `problems`: all that there are now. */
  tell(problems: readonly ResourceProblem[]): void {
    const present = new Set<string>();
    for (const problem of problems) {
      const text = `${problem.key}\n${problem.message}`;
      if (!this.#told.has(text) && !present.has(text)) this.#log(problem);
      present.add(text);
    }
    this.#told = present;
  }
}
