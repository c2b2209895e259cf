/**
 * Syntax colours of Python: which class each stretch of a text has. Webviews are not told the editor's token colours, so the
 * classes have colours of their own for each kind of theme (codeStyles.ts). Knows nothing of tokens or lines.
 */
import { highlightTree, tagHighlighter, tags } from '@lezer/highlight';
import { parser } from '@lezer/python';

export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly kind: string;
}

const highlighter = tagHighlighter([
  { tag: [tags.keyword, tags.operatorKeyword, tags.definitionKeyword, tags.modifier], class: 'k-keyword' },
  { tag: [tags.controlKeyword, tags.moduleKeyword], class: 'k-control' },
  { tag: [tags.string, tags.special(tags.string)], class: 'k-string' },
  { tag: [tags.number], class: 'k-number' },
  { tag: [tags.bool, tags.null], class: 'k-constant' },
  { tag: [tags.comment, tags.lineComment], class: 'k-comment' },
  { tag: [tags.function(tags.variableName), tags.function(tags.definition(tags.variableName))], class: 'k-function' },
  { tag: [tags.function(tags.propertyName)], class: 'k-function' },
  { tag: [tags.className, tags.definition(tags.className)], class: 'k-class' },
  { tag: [tags.variableName, tags.propertyName, tags.definition(tags.variableName)], class: 'k-name' },
]);

/** Stretches that have a colour, in order, none over another. Text that is no Python is coloured as far as it goes. */
export function pythonStretches(text: string): Stretch[] {
  const stretches: Stretch[] = [];
  highlightTree(parser.parse(text), highlighter, (from, to, kind) => {
    stretches.push({ from, to, kind });
  });
  return stretches;
}
