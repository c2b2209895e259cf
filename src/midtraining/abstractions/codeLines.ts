/**
 * The lines of a Python text, as actions are counted: a line of code is a row with the rows that continue it (brackets,
 * strings, backslashes, headers over several rows), by tree-sitter's grammar. A comment above one of them never lands
 * inside a statement. Knows nothing of what a comment says.
 */
import type { Node, Parser } from 'web-tree-sitter';

export interface CodeLine {
  /** Its rows, from 0; more than one where it is continued. */
  readonly row: number;
  readonly rows: number;
  /** Where it is in the text, in UTF-16 code units: from its indentation to behind its last newline. */
  readonly start: number;
  readonly end: number;
  readonly indent: string;
  /** A statement begins with it; else it is a clause (`else:`, `except:`, `case …:`), or what follows a decorator. */
  readonly statement: boolean;
  /** It opens a block, as `def`, `for`, `else` do. */
  readonly block: boolean;
}

/** A row that is nothing but a comment, outside of any statement. */
export interface CommentRow {
  readonly row: number;
  readonly start: number;
  /** Behind its newline. */
  readonly end: number;
  readonly indent: string;
  /** From `#` to before the newline. */
  readonly text: string;
}

export interface CodeLines {
  readonly lines: readonly CodeLine[];
  /** In the order of the rows. */
  readonly comments: readonly CommentRow[];
  /** The grammar found an error somewhere; then it is told where lines begin as well as can be. */
  readonly hasError: boolean;
}

/** A row of the text as an editor counts it. */
interface Row {
  readonly start: number;
  /** Before and behind its newline. */
  readonly textEnd: number;
  readonly end: number;
}

/** Lines and comments of any text, in time linear in its length. Never throws. */
export function codeLines(parser: Parser, text: string): CodeLines {
  const rows = rowsOf(text);
  const shape = new Shape(rows.length);
  let hasError = true;
  // Rows are all that is wanted of the tree: a mark of byte order has none, and the grammar knows neither NUL nor a lone CR.
  const tree = parser.parse(
    text
      .slice(rows[0]!.start)
      .replace(/\r(?!\n)/g, '\n')
      .replaceAll('\0', ' '),
  );
  try {
    if (tree !== null) {
      hasError = tree.rootNode.hasError;
      shape.visit(tree.rootNode);
      for (const comment of tree.rootNode.descendantsOfType('comment')) shape.commented[comment.startPosition.row] = 1;
    }
  } finally {
    tree?.delete();
  }

  const lines: { -readonly [key in keyof CodeLine]: CodeLine[key] }[] = [];
  const comments: CommentRow[] = [];
  rows.forEach(({ start, textEnd, end }, row) => {
    const continued = shape.joined[row] === 1 || (row > 0 && endsInBackslash(text, rows[row - 1]!, shape, row - 1));
    const last = lines.at(-1);
    if (continued && last !== undefined) {
      last.rows = row + 1 - last.row;
      last.end = end;
      return;
    }
    let from = start;
    while (from < textEnd && ' \t\f'.includes(text[from]!)) from++;
    if (from === textEnd) return;
    const indent = text.slice(start, from);
    if (text[from] === '#') comments.push({ row, start, end, indent, text: text.slice(from, textEnd) });
    else {
      const [statement, block] = [shape.statements[row] === 1, shape.blocks[row] === 1];
      lines.push({ row, rows: 1, start, end, indent, statement, block });
    }
  });
  return { lines, comments, hasError };
}

/** What the tree says of each row. */
class Shape {
  /** 1: the row goes on with what the row before began. */
  readonly joined: Uint8Array;
  /** 1: a statement begins in the row. */
  readonly statements: Uint8Array;
  /** 1: the header of a block begins in the row. */
  readonly blocks: Uint8Array;
  /** 1: a comment begins in the row. */
  readonly commented: Uint8Array;

  constructor(rows: number) {
    this.joined = new Uint8Array(rows);
    this.statements = new Uint8Array(rows);
    this.blocks = new Uint8Array(rows);
    this.commented = new Uint8Array(rows);
  }

  /** A module, a block, a statement or a clause. Goes no deeper than to statements. */
  visit(node: Node): void {
    const isList = LISTS.has(node.type);
    const children = isList || PARTS.test(node.type) ? node.children : [];
    if (!isList && !children.some(({ type }) => PARTS.test(type))) {
      this.#join(node.startPosition.row, lastRow(node));
      return;
    }
    let header: number | undefined; // the row in which it began
    for (const child of children) {
      if (child.type === 'comment') continue;
      if (isList || PARTS.test(child.type)) {
        if (isList && child.isNamed && !CLAUSE.test(child.type)) this.statements[child.startPosition.row] = 1;
        if (child.type === 'block' && !isList) this.blocks[header ?? node.startPosition.row] = 1;
        this.visit(child);
      } else {
        header ??= child.startPosition.row;
        this.#join(header, lastRow(child));
      }
    }
  }

  #join(first: number, last: number): void {
    this.joined.fill(1, first + 1, last + 1);
  }
}

/** Nodes whose children are statements. What the grammar could not read is one too: any statement may be in it. */
const LISTS = new Set(['module', 'block', 'ERROR']);
/** Nodes that statements or headers are parts of. */
const PARTS = /^(?:block|ERROR|decorator|\w+_(?:clause|definition|statement))$/;
const CLAUSE = /_clause$/;

/** A node that ends at the beginning of a row does not use it. */
function lastRow({ startPosition, endPosition: { row, column } }: Node): number {
  return Math.max(startPosition.row, column === 0 ? row - 1 : row);
}

function endsInBackslash(text: string, { start, textEnd }: Row, { commented }: Shape, row: number): boolean {
  return commented[row] === 0 && text.slice(start, textEnd).endsWith('\\');
}

/** Rows end as Python has it: with LF, CR LF or CR. The last one has no newline, and may be empty. */
function rowsOf(text: string): Row[] {
  const rows: Row[] = [];
  let start = text.startsWith('\uFEFF') ? 1 : 0;
  for (const { index, 0: newline } of text.matchAll(/\r\n|\n|\r/g)) {
    rows.push({ start, textEnd: index, end: index + newline.length });
    start = index + newline.length;
  }
  rows.push({ start, textEnd: text.length, end: text.length });
  return rows;
}
