// What a parameter of the node's agent is: its names, how its text is read, and what it is where nothing says.

/** Plain data. Durations are in milliseconds. */
export type ParameterValue =
  | null
  | boolean
  | number
  | string
  | readonly ParameterValue[]
  | { readonly [name: string]: ParameterValue };

/** Text that is no value of a parameter; the message says what would be. */
export class ParameterError extends Error {}

export interface ParameterParser {
  /** The value of `none`, and of a parameter without default. */
  readonly zero: ParameterValue;
  /** Throws ParameterError. The text is trimmed and not empty. */
  readonly parse: (text: string) => ParameterValue;
  /** The only values, where they are words. */
  readonly words?: readonly string[];
  /** What one unit of the text is in milliseconds, where it is a duration. */
  readonly unitMs?: number;
}

/**
 * `required`: may not be `none`. `fatal`: text that cannot be read stops the agent, where others keep their default.
 * `local`: only the environment and the file of the node may set it. `internal`: the agent finds it out itself.
 */
export type ParameterTrait = 'required' | 'fatal' | 'local' | 'internal';

export interface Parameter {
  /** In the configuration file; in the environment with FELIX_ before it, both in any letter case. */
  readonly name: string;
  /** The field of FelixConfiguration; empty where it has none. */
  readonly field: string;
  readonly parser: ParameterParser;
  /** As text; empty is the parser's zero. */
  readonly defaultText: string;
  readonly traits: readonly ParameterTrait[];
}

/** A row of the table. */
export function parameter(
  [name, field = '']: readonly [name: string, field?: string],
  parser: ParameterParser,
  defaultText = '',
  ...traits: readonly ParameterTrait[]
): Parameter {
  return { name, field, parser, defaultText, traits };
}

/** What the parameter is where nothing says. */
export function defaultValue({ parser, defaultText }: Parameter): ParameterValue {
  return defaultText === '' ? parser.zero : parser.parse(defaultText);
}
