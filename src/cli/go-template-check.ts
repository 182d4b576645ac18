// What is wrong with a template whatever it is given: functions and variables that there are not, arguments of none.
import type { Node, Operand, Pipeline } from './go-template-parser.ts';

/** What a template may use. */
export interface Known {
  readonly functions: readonly string[];
}

/** The first thing that is wrong; undefined where nothing is. */
export function templateProblem(nodes: readonly Node[], known: Known): string | undefined {
  return inNodes(nodes, new Set(['$']), known);
}

/** A variable is known from where it is declared to the end of its block. */
function inNodes(
  nodes: readonly Node[],
  outer: ReadonlySet<string>,
  known: Known,
): string | undefined {
  let variables = outer;
  for (const node of nodes) {
    if (node.type === 'text') continue;
    const problem = inPipeline(node.pipeline, variables, known);
    if (problem !== undefined) return problem;
    const inner = declared(node.pipeline, variables);
    if (node.type === 'value') {
      variables = inner;
      continue;
    }
    const within = inNodes(node.body, inner, known) ?? inNodes(node.otherwise, variables, known);
    if (within !== undefined) return within;
  }
  return undefined;
}

function declared(
  { variable, index }: Pipeline,
  variables: ReadonlySet<string>,
): ReadonlySet<string> {
  const added = [variable, index].filter((name) => name !== undefined);
  return added.length === 0 ? variables : new Set([...variables, ...added]);
}

function inPipeline(
  { commands, variable, declares }: Pipeline,
  variables: ReadonlySet<string>,
  known: Known,
): string | undefined {
  if (variable !== undefined && declares === false && !variables.has(variable)) {
    return `${variable} is not declared; use ${variable} := ...`;
  }
  for (const [position, command] of commands.entries()) {
    const [head, ...rest] = command;
    const isFunction = head?.type === 'function';
    if (!isFunction && (rest.length > 0 || position > 0)) {
      return 'a value that is no function has arguments';
    }
    for (const operand of command) {
      const problem = inOperand(operand, variables, known);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

function inOperand(
  operand: Operand,
  variables: ReadonlySet<string>,
  known: Known,
): string | undefined {
  switch (operand.type) {
    case 'pipeline':
      return inPipeline(operand.pipeline, variables, known);
    case 'function':
      if (known.functions.includes(operand.name)) return undefined;
      return `there is no function ${JSON.stringify(operand.name)}; use ${known.functions.join(', ')}`;
    case 'variable':
      return variables.has(operand.name) ? undefined : `${operand.name} is not declared`;
    default:
      return undefined;
  }
}
