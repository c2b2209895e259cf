/**
 * The text of a run config as an editor has it: where a key stands, and what to change so that it has another value. The
 * user's own order and layout stay. Knows nothing of VS Code.
 */
import {
  applyEdits,
  type Edit,
  findNodeAtLocation,
  type FormattingOptions,
  type JSONPath,
  modify,
  type Node,
  parse,
  parseTree,
} from 'jsonc-parser';
import type { ConfigProblem } from '../midtraining/config.ts';

export interface Place {
  readonly offset: number;
  readonly length: number;
}

/** Where a problem is: the key that there is not, or the value that is wrong; of what is missing, what it is missing in. */
export function placeOf(text: string, { path, kind }: ConfigProblem): Place {
  const root = parseTree(text);
  if (root === undefined) return { offset: 0, length: text.length };
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length));
    if (node !== undefined) return kind === 'key' && length === path.length ? keyOf(node) : node;
  }
  return root;
}

function keyOf(value: Node): Node {
  const { parent } = value;
  return parent?.type === 'property' ? parent.children![0]! : value;
}

/**
 * @param value undefined takes the key away, and an object that has no other
 * @returns what to replace, in order and apart from each other
 */
export function editsFor(text: string, path: JSONPath, value: unknown, formattingOptions: FormattingOptions): Edit[] {
  const edits = modify(text, path, value, { formattingOptions });
  const parent = path.slice(0, -1);
  if (value !== undefined || parent.length === 0 || typeof parent.at(-1) === 'number') return edits;
  const rest = parseTree(applyEdits(text, edits));
  const left = rest && findNodeAtLocation(rest, parent);
  return left?.type === 'object' && left.children?.length === 0
    ? editsFor(text, parent, undefined, formattingOptions)
    : edits;
}

/** The text of a new config: keys that most people change, with their values. */
export function newConfigText(values: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(values, null, 2)}\n`;
}

/** The object that the text holds, as far as it can be read; empty where it holds none. */
export function objectIn(text: string): Record<string, unknown> {
  const value: unknown = parse(text);
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : {};
}
