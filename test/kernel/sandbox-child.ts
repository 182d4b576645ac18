// A process that makes and removes the namespaces of pods' sandboxes when told, as a container runtime does.
import { createNamespace, deleteNamespace } from '#linux';

export interface SandboxRequest {
  readonly id: number;
  readonly verb: 'make' | 'remove';
  /** Below /run/netns. */
  readonly path: string;
}

export interface SandboxAnswer {
  readonly id: number;
  readonly error?: string;
}

const made = new Set<string>();

function carryOut({ verb, path }: SandboxRequest): void {
  if (verb === 'make') {
    createNamespace(path);
    made.add(path);
  } else {
    deleteNamespace(path);
    made.delete(path);
  }
}

process.on('message', (request: SandboxRequest) => {
  let answer: SandboxAnswer = { id: request.id };
  try {
    carryOut(request);
  } catch (error) {
    answer = { id: request.id, error: String(error) };
  }
  process.send?.(answer);
});

// Whoever told it is done, or dead.
process.on('disconnect', () => made.forEach(deleteNamespace));
