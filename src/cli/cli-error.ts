// Errors of commands, and the exit code that each means.
import { ApiError, ConnectionError } from '#datastore/client';
import { InvalidFlowFilter } from '#flows';
import { LabError } from '#lab';
import { PartyError, WorldError } from '#policy';

/** 0 is success whatever was found; 1 a failure; 2 that the command itself cannot be meant. */
export const EXIT = { failure: 1, usage: 2 } as const;

/** The command cannot be carried out as it is written. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Something that the command tried did not work out. */
export class CommandFailure extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CommandFailure';
  }
}

/** What to print and the exit code; undefined where the error is none of ours, but a fault of the program. */
export function describeFailure(error: unknown): { message: string; exitCode: number } | undefined {
  if (error instanceof InvalidFlowFilter) {
    return { message: `Cannot filter flows: ${error.problems.join('; ')}`, exitCode: EXIT.usage };
  }
  if (error instanceof UsageError) return { message: error.message, exitCode: EXIT.usage };
  if (error instanceof PartyError || error instanceof WorldError) {
    return { message: error.message, exitCode: EXIT.usage };
  }
  if (error instanceof ApiError) {
    const reason = error.reason === '' ? String(error.status) : error.reason;
    return { message: `The server refused (${reason}): ${error.message}`, exitCode: EXIT.failure };
  }
  if (error instanceof ConnectionError) {
    return { message: capitalised(error.message), exitCode: EXIT.failure };
  }
  if (error instanceof CommandFailure || error instanceof LabError || isOperating(error)) {
    return { message: capitalised(error.message), exitCode: EXIT.failure };
  }
  return undefined;
}

/** A refusal of the operating system, or one that says what it tried as all our errors do. */
function isOperating(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return ('code' in error && 'errno' in error) || /^cannot /i.test(error.message);
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
