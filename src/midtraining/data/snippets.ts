/**
 * Cuts a Python file into snippets, the texts that a model is trained on: each function and each class with its
 * decorators, docstring and the comments right above it, led by the imports it uses; and runs of other statements of the
 * module. A class that is too long becomes several, each led by its head. Cuts are made between statements only, along
 * whole lines, so no string and no bracket is ever cut.
 * Knows nothing of where a file comes from or what becomes of the snippets.
 */
import type { Node, Parser } from 'web-tree-sitter';
import type { DropReason } from './document.ts';

export interface SnippetLimits {
  /** Lines, counted without the imports put in front. */
  readonly minLines: number;
  readonly maxLines: number;
  /** Tokens of the whole snippet. */
  readonly minTokens: number;
  readonly maxTokens: number;
}

/** Rows of 1,024 tokens, one of them the end of the text. */
export const DEFAULT_LIMITS: SnippetLimits = { minLines: 3, maxLines: 200, minTokens: 24, maxTokens: 1023 };

export type SnippetKind = 'function' | 'class' | 'module';

export interface Snippet {
  readonly kind: SnippetKind;
  /** Its first line in the file (not counting the imports put in front), from 1. */
  readonly line: number;
  /** Whole lines of the file, in the file's order: imports, a class's head, the code. */
  readonly parts: readonly string[];
  /** The last part: what the snippet has to itself. */
  readonly code: string;
  /** The parts with blank lines between them; ends in a newline. */
  readonly text: string;
  readonly tokens: readonly number[];
}

/** A piece of the file that became no snippet. */
export interface LeftOut {
  readonly reason: Extract<DropReason, 'tooShort' | 'tooLong'>;
  readonly line: number;
  readonly detail: string;
}

export interface Cut {
  readonly snippets: readonly Snippet[];
  readonly leftOut: readonly LeftOut[];
}

/** Token ids of a text, without special tokens. */
export type Encode = (text: string) => readonly number[];

/**
 * The snippets of a file, or null when it does not parse as Python. Never throws on any text; `text` should have `\n` as
 * its only line end and no NUL.
 */
export function cutSnippets(parser: Parser, text: string, encode: Encode, limits: SnippetLimits): Cut | null {
  const tree = parser.parse(text);
  if (tree === null) return null;
  try {
    if (tree.rootNode.hasError) return null;
    return new Cutter(text, encode, limits).cut(tree.rootNode);
  } finally {
    tree.delete();
  }
}

/** One or more statements and comments that share lines, by rows from 0. */
interface Unit {
  readonly kind: SnippetKind | 'import' | 'comment';
  readonly first: number;
  readonly last: number;
  readonly nodes: readonly Node[];
}

/** An import and the names that it binds. */
interface Import {
  readonly text: string;
  readonly names: readonly string[];
}

class Cutter {
  readonly #text: string;
  readonly #encode: Encode;
  readonly #limits: SnippetLimits;
  /** Where each row begins, in UTF-16 code units; one more at the end. */
  readonly #rows: number[];
  #imports: readonly Import[] = [];
  readonly #snippets: Snippet[] = [];
  readonly #leftOut: LeftOut[] = [];

  constructor(text: string, encode: Encode, limits: SnippetLimits) {
    this.#text = text;
    this.#encode = encode;
    this.#limits = limits;
    this.#rows = [0];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#rows.push(at + 1);
    this.#rows.push(text.length + 1);
  }

  cut(root: Node): Cut {
    const units = withComments(unitsOf(root));
    this.#imports = units.flatMap((unit) =>
      unit.kind === 'import'
        ? [{ text: this.#lines(unit.first, unit.last), names: unit.nodes.flatMap(boundNames) }]
        : [],
    );
    let run: Unit[] = [];
    for (const unit of units) {
      if (unit.kind === 'module' || unit.kind === 'comment') {
        run.push(unit);
        continue;
      }
      this.#addRun(run);
      run = [];
      if (unit.kind !== 'import') this.#addDefinition(unit, unit.kind);
    }
    this.#addRun(run);
    return { snippets: this.#snippets, leftOut: this.#leftOut };
  }

  #lines(first: number, last: number): string {
    return this.#text.slice(this.#rows[first], this.#rows[last + 1]! - 1);
  }

  #addDefinition(unit: Unit, kind: SnippetKind): void {
    const complaint = this.#add(kind, [unit]);
    if (complaint === undefined) return;
    if (complaint.reason === 'tooLong' && kind === 'class' && this.#addMembers(unit)) return;
    this.#leftOut.push(complaint);
  }

  /** Statements between definitions, as few snippets as the limits allow. */
  #addRun(run: readonly Unit[]): void {
    for (const group of this.#groups(run)) {
      if (group.some(({ kind, nodes }) => kind === 'module' && !isString(nodes[0])))
        this.#addOrLeaveOut('module', group);
      else this.#leftOut.push({ reason: 'tooShort', line: group[0]!.first + 1, detail: 'no statements' });
    }
  }

  /** A class in pieces, each led by its head and docstring. False when it has no lines to cut between. */
  #addMembers(unit: Unit): boolean {
    const definition = unit.nodes.map(definitionOf).find((node) => node?.type === 'class_definition');
    const body = definition?.childForFieldName('body');
    const colon = definition?.children.find(({ type }) => type === ':');
    if (!body || !colon) return false;
    const members = withComments(unitsOf(body));
    if (isString(members[0]?.nodes[0])) members.shift();
    if (members.length === 0) return false;
    const head: Unit = { ...unit, last: members[0]!.first - 1 };
    if (head.last < colon.endPosition.row) return false; // class A: x = 1
    for (const group of this.#groups(members, head)) this.#addOrLeaveOut('class', group, head);
    return true;
  }

  /** Neighbours put together as long as they fit below the lead, by the sum of their tokens. */
  #groups(units: readonly Unit[], lead?: Unit): Unit[][] {
    const { maxLines, maxTokens } = this.#limits;
    /** With two for the lines between; a unit that is too long anyway is not worth encoding. */
    const tokensOf = ({ first, last }: Unit): number =>
      last - first >= maxLines ? maxTokens : this.#encode(this.#lines(first, last)).length + 2;
    const leadLines = lead === undefined ? 0 : lead.last - lead.first + 1;
    const leadTokens = lead === undefined ? 0 : tokensOf(lead);
    const groups: Unit[][] = [];
    let tokens = 0;
    for (const unit of units) {
      const more = tokensOf(unit);
      const group = groups.at(-1);
      tokens += more;
      if (group !== undefined && leadLines + unit.last - group[0]!.first < maxLines && tokens <= maxTokens) {
        group.push(unit);
      } else {
        groups.push([unit]);
        tokens = leadTokens + more;
      }
    }
    return groups;
  }

  #addOrLeaveOut(kind: SnippetKind, units: readonly Unit[], head?: Unit): void {
    const complaint = this.#add(kind, units, head);
    if (complaint !== undefined) this.#leftOut.push(complaint);
  }

  /** Adds a snippet of neighbouring units, or says why it cannot be one. */
  #add(kind: SnippetKind, units: readonly Unit[], head?: Unit): LeftOut | undefined {
    const { minLines, maxLines, minTokens, maxTokens } = this.#limits;
    const first = units[0]!.first;
    const last = units.at(-1)!.last;
    const line = first + 1;
    const code = this.#lines(first, last).trimEnd();
    const lines = last - first + 1 + (head === undefined ? 0 : head.last - head.first + 1);
    if (lines > maxLines) return { reason: 'tooLong', line, detail: `${lines} lines` };
    if (lines < minLines) return { reason: 'tooShort', line, detail: `${lines} lines` };

    const leads = head === undefined ? [] : [head];
    const imports = this.#importsFor([...leads, ...units]);
    const pieces = [...leads.map((lead) => this.#lines(lead.first, lead.last).trimEnd()), code];
    const parts = [...imports, ...pieces];
    const text = `${imports.join('\n')}${imports.length > 0 ? '\n\n\n' : ''}${pieces.join('\n\n')}\n`;
    const tokens = this.#encode(text);
    if (tokens.length > maxTokens) return { reason: 'tooLong', line, detail: `${tokens.length} tokens` };
    if (tokens.length < minTokens) return { reason: 'tooShort', line, detail: `${tokens.length} tokens` };
    this.#snippets.push({ kind, line, parts, code, text, tokens });
    return undefined;
  }

  /** The module's imports whose names occur in the units' rows, in the file's order. */
  #importsFor(units: readonly Unit[]): string[] {
    if (this.#imports.length === 0) return [];
    const used = new Set<string>();
    for (const { nodes, first, last } of units) {
      const [start, end] = [first, last + 1].map((row) => ({ row, column: 0 }));
      for (const { startIndex, endIndex } of nodes.flatMap((node) =>
        node.descendantsOfType('identifier', start, end),
      )) {
        used.add(this.#text.slice(startIndex, endIndex));
      }
    }
    return this.#imports.filter(({ names }) => names.some((name) => used.has(name))).map(({ text }) => text);
  }
}

/** The children of a module or block, those that share a line put together. */
function unitsOf(block: Node): Unit[] {
  const units: Unit[] = [];
  for (const node of block.namedChildren) {
    const { row: first } = node.startPosition;
    // A node that ends at the beginning of a row does not use it.
    const { row, column } = node.endPosition;
    const last = Math.max(first, column === 0 ? row - 1 : row);
    const before = units.at(-1);
    if (before !== undefined && before.last >= first) {
      const kind = kindOf(node);
      const stillImports = before.kind === 'import' && (kind === 'import' || kind === 'comment');
      units[units.length - 1] = {
        kind: before.kind === 'import' && !stillImports ? 'module' : before.kind,
        first: before.first,
        last: Math.max(before.last, last),
        nodes: [...before.nodes, node],
      };
    } else units.push({ kind: kindOf(node), first, last, nodes: [node] });
  }
  return units;
}

/** Comments right above a definition, without a blank line between, become part of it. */
function withComments(units: readonly Unit[]): Unit[] {
  const result: Unit[] = [];
  for (const unit of units) {
    let { first } = unit;
    const nodes = [...unit.nodes];
    if (unit.kind === 'function' || unit.kind === 'class') {
      for (let above = result.at(-1); above?.kind === 'comment' && above.last === first - 1; above = result.at(-1)) {
        first = above.first;
        nodes.unshift(...above.nodes);
        result.pop();
      }
    }
    result.push({ ...unit, first, nodes });
  }
  return result;
}

/** Node types that are not statements of the module like any other. */
const KINDS: Readonly<Record<string, Unit['kind']>> = {
  function_definition: 'function',
  class_definition: 'class',
  import_statement: 'import',
  import_from_statement: 'import',
  future_import_statement: 'import',
  comment: 'comment',
};

function kindOf(node: Node): Unit['kind'] {
  return KINDS[definitionOf(node)?.type ?? ''] ?? 'module';
}

/** What a decorated definition defines; any other node itself. */
function definitionOf(node: Node): Node | null {
  return node.type === 'decorated_definition' ? node.childForFieldName('definition') : node;
}

function isString(node: Node | undefined): boolean {
  return node?.type === 'expression_statement' && node.namedChildCount === 1 && node.namedChild(0)?.type === 'string';
}

/**
 * Names that an import binds: `import a.b` binds `a`, `import a as b` and `from m import a as b` bind `b`. None for
 * `from m import *` and for `from __future__`: they are not put in front of a snippet.
 */
function boundNames(node: Node): string[] {
  if (node.type !== 'import_statement' && node.type !== 'import_from_statement') return [];
  return node.childrenForFieldName('name').flatMap((name) => {
    const bound = name.type === 'aliased_import' ? name.childForFieldName('alias') : name.namedChild(0);
    return bound === null ? [] : [bound.text];
  });
}
