/**
 * Prompts to see what a model writes: functions of a corpus, cut behind their head and docstring.
 * Knows nothing of models.
 */
import type { Parser } from 'web-tree-sitter';
import { pythonParser } from './pythonGrammar.ts';

/**
 * The first `count` prompts that the texts give: what stands up to the body of a text's first function, ending in a newline.
 * Texts without such a function give none.
 */
export async function functionPrompts(texts: AsyncIterable<string>, count: number): Promise<string[]> {
  const parser = await pythonParser();
  try {
    const prompts: string[] = [];
    for await (const text of texts) {
      if (prompts.length === count) break;
      const prompt = promptOf(parser, text);
      if (prompt !== null) prompts.push(prompt);
    }
    return prompts;
  } finally {
    parser.delete();
  }
}

function promptOf(parser: Parser, text: string): string | null {
  const tree = parser.parse(text);
  if (tree === null) return null;
  try {
    const head = tree.rootNode.descendantsOfType('function_definition')[0];
    const [first, second] = head?.childForFieldName('body')?.namedChildren ?? [];
    if (!head || !first) return null;
    const isDocstring = first.type === 'expression_statement' && first.firstNamedChild?.type === 'string';
    const body = isDocstring ? second : first;
    const above = isDocstring ? first.endPosition.row : head.startPosition.row;
    if (!body || body.startPosition.row <= above) return null;
    return text
      .split('\n')
      .slice(0, isDocstring ? above + 1 : body.startPosition.row)
      .map((line) => `${line}\n`)
      .join('');
  } finally {
    tree.delete();
  }
}
