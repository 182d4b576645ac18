// Reads the text of a Go template into a tree of texts, values and blocks.

export type Operand =
  | { readonly type: 'literal'; readonly value: unknown }
  | { readonly type: 'field'; readonly fields: readonly string[] }
  | { readonly type: 'variable'; readonly name: string; readonly fields: readonly string[] }
  | { readonly type: 'function'; readonly name: string }
  | { readonly type: 'pipeline'; readonly pipeline: Pipeline; readonly fields: readonly string[] };

export interface Pipeline {
  /** The variable that takes the value; with `range`, the second of two is the index. */
  readonly variable?: string;
  readonly index?: string;
  readonly declares?: boolean;
  /** Function or value first, then its arguments. */
  readonly commands: readonly (readonly Operand[])[];
}

interface Block {
  readonly type: 'if' | 'range' | 'with';
  readonly pipeline: Pipeline;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[];
}

export type Node =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'value'; readonly pipeline: Pipeline }
  | Block;

type Fail = (message: string) => Error;

interface Piece {
  readonly action: boolean;
  readonly text: string;
}

const DEPTH_MAX = 50;

/** The tree of a template; throws what `fail` makes of a message. */
export function parseTemplate(text: string, fail: Fail): readonly Node[] {
  const reader = new TemplateReader(split(text, fail), fail);
  const nodes = reader.nodes(0);
  const rest = reader.stop;
  if (rest !== undefined) throw fail(`{{${rest}}} has no beginning`);
  return nodes;
}

/** Texts and actions in turn; `{{-` and `-}}` take the blanks beside them, comments are dropped. */
function split(text: string, fail: Fail): Piece[] {
  const pieces: Piece[] = [];
  let position = 0;
  let trim = false;
  while (position < text.length) {
    const open = text.indexOf('{{', position);
    const before = text.slice(position, open < 0 ? text.length : open);
    const body = /^(-\s)?((?:"(?:\\.|[^"\\])*"|`[^`]*`|[^"`])*?)(\s-)?\}\}/s.exec(
      open < 0 ? '' : text.slice(open + 2),
    );
    let plain = trim ? before.trimStart() : before;
    if (body?.[1] !== undefined) plain = plain.trimEnd();
    if (plain !== '') pieces.push({ action: false, text: plain });
    if (open < 0) break;
    if (!body) throw fail(`{{ at character ${open} is not closed`);
    const action = body[2]?.trim() ?? '';
    if (!/^\/\*.*\*\/$/s.test(action)) pieces.push({ action: true, text: action });
    trim = body[3] !== undefined;
    position = open + 2 + body[0].length;
  }
  return pieces;
}

class TemplateReader {
  readonly #pieces: readonly Piece[];
  readonly #fail: Fail;
  #next = 0;
  /** The `end` or `else ...` that ended the last list of nodes. */
  stop: string | undefined;

  constructor(pieces: readonly Piece[], fail: Fail) {
    this.#pieces = pieces;
    this.#fail = fail;
  }

  nodes(depth: number): readonly Node[] {
    if (depth > DEPTH_MAX) throw this.#fail(`blocks are nested deeper than ${DEPTH_MAX}`);
    const nodes: Node[] = [];
    for (let piece = this.#pieces[this.#next]; piece; piece = this.#pieces[this.#next]) {
      this.#next++;
      if (!piece.action) {
        nodes.push({ type: 'text', text: piece.text });
        continue;
      }
      const [, word = '', rest = ''] = /^(\S+)\s*(.*)$/s.exec(piece.text) ?? [];
      if (word === 'end' || word === 'else') {
        this.stop = piece.text;
        return nodes;
      }
      const block = word === 'if' || word === 'range' || word === 'with' ? word : undefined;
      nodes.push(
        block === undefined
          ? { type: 'value', pipeline: parsePipeline(piece.text, this.#fail) }
          : this.#block(block, rest, depth),
      );
    }
    this.stop = undefined;
    return nodes;
  }

  #block(type: Block['type'], text: string, depth: number): Block {
    const pipeline = parsePipeline(text, this.#fail);
    const body = this.nodes(depth + 1);
    const stop = this.stop;
    if (stop === undefined) throw this.#fail(`{{${type} ${text}}} has no {{end}}`);
    if (stop === 'end') return { type, pipeline, body, otherwise: [] };
    const chained = /^else\s+(if|with)\s+(.*)$/s.exec(stop);
    if (chained) {
      const inner = this.#block(chained[1] === 'with' ? 'with' : 'if', chained[2] ?? '', depth + 1);
      return { type, pipeline, body, otherwise: [inner] };
    }
    const otherwise = this.nodes(depth + 1);
    if (this.stop !== 'end') throw this.#fail(`{{${type} ${text}}} has no {{end}}`);
    return { type, pipeline, body, otherwise };
  }
}

const TOKEN =
  /\s*("(?:\\.|[^"\\])*"|`[^`]*`|-?\d+(?:\.\d+)?|\$\w*(?:\.\w+)*|(?:\.\w+)+|\.|\w+|:=|=|\||\(|\)|,)/y;

function parsePipeline(text: string, fail: Fail): Pipeline {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const start = TOKEN.lastIndex;
    const token = TOKEN.exec(text)?.[1];
    if (token === undefined) throw fail(`cannot read ${JSON.stringify(text.slice(start))}`);
    tokens.push(token);
  }
  const assign = tokens.findIndex((token) => token === ':=' || token === '=');
  const targets = assign < 0 ? [] : tokens.slice(0, assign).filter((token) => token !== ',');
  if (targets.length > 2 || targets.some((token) => !/^\$\w+$/.test(token))) {
    throw fail(`cannot assign to ${targets.join(', ')}`);
  }
  const reader = { tokens: tokens.slice(assign + 1), position: 0 };
  const commands = parseCommands(reader, fail, 0);
  if (reader.position < reader.tokens.length) throw fail(`unexpected ) in ${JSON.stringify(text)}`);
  const [index, variable] = targets.length === 2 ? targets : [undefined, targets[0]];
  return {
    commands,
    ...(variable === undefined ? {} : { variable, declares: tokens[assign] === ':=' }),
    ...(index === undefined ? {} : { index }),
  };
}

interface TokenReader {
  readonly tokens: readonly string[];
  position: number;
}

function parseCommands(reader: TokenReader, fail: Fail, depth: number): Operand[][] {
  if (depth > DEPTH_MAX) throw fail(`parentheses are nested deeper than ${DEPTH_MAX}`);
  const commands: Operand[][] = [[]];
  for (;;) {
    const token = reader.tokens[reader.position];
    if (token === undefined || token === ')') break;
    reader.position++;
    if (token === '|') commands.push([]);
    else commands.at(-1)?.push(operand(token, reader, { fail, depth }));
  }
  if (commands.some((command) => command.length === 0)) throw fail('a command is empty');
  return commands;
}

function operand(
  token: string,
  reader: TokenReader,
  { fail, depth }: { fail: Fail; depth: number },
): Operand {
  if (token === '(') {
    const commands = parseCommands(reader, fail, depth + 1);
    if (reader.tokens[reader.position] !== ')') throw fail('( is not closed');
    reader.position++;
    const next = reader.tokens[reader.position];
    const fields = next !== undefined && /^\.\w/.test(next) ? fieldsOf(next) : [];
    if (fields.length > 0) reader.position++;
    return { type: 'pipeline', pipeline: { commands }, fields };
  }
  if (token.startsWith('"')) return { type: 'literal', value: unescaped(token, fail) };
  if (token.startsWith('`')) return { type: 'literal', value: token.slice(1, -1) };
  if (/^-?\d/.test(token)) return { type: 'literal', value: Number(token) };
  if (token.startsWith('.')) return { type: 'field', fields: fieldsOf(token) };
  if (token.startsWith('$')) {
    const [name = '$', ...fields] = token.split('.');
    return { type: 'variable', name, fields };
  }
  if (token === 'true' || token === 'false') return { type: 'literal', value: token === 'true' };
  if (token === 'nil') return { type: 'literal', value: undefined };
  if (!/^\w+$/.test(token)) throw fail(`unexpected ${token}`);
  return { type: 'function', name: token };
}

function fieldsOf(token: string): string[] {
  return token.split('.').filter((field) => field !== '');
}

function unescaped(token: string, fail: Fail): unknown {
  try {
    return JSON.parse(token);
  } catch {
    throw fail(`cannot read the text ${token}`);
  }
}
