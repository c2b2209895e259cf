/**
 * How the preview of a training's data is worded.
 */
import type { CorpusPreview } from '../midtraining/data/preview.ts';

export function previewLines(preview: CorpusPreview): string[] {
  const { documents, train, heldOut, kinds, dropped, contaminated, complete, tokensOfSnippet, examples } = preview;
  const atLeast = complete ? '' : 'at least ';
  const ofKinds = Object.entries(kinds)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  return [
    `read      ${atLeast}${documents} documents${ofKinds.length === 0 ? '' : `: ${ofKinds.join(', ')}`}`,
    `train     ${atLeast}${train.snippets} snippets of ${train.tokens} tokens`,
    `held out  ${heldOut.snippets} snippets of ${heldOut.tokens} tokens`,
    ...(tokensOfSnippet === null
      ? []
      : [`a snippet ${tokensOfSnippet.least} to ${tokensOfSnippet.most} tokens, median ${tokensOfSnippet.median}`]),
    ...(dropped.length === 0 ? ['left out  nothing'] : []),
    ...dropped.flatMap(({ meaning, count, examples: some }) => [
      `left out  ${count} ${meaning}`,
      ...some.map(({ where, detail }) => `          ${where}${detail === undefined ? '' : `: ${detail}`}`),
    ]),
    ...contaminated.map(({ where, taskId, words }) => `overlap   ${where} with ${taskId}: ${words}`),
    ...examples.flatMap(({ where, text, tokens, heldOut: isHeldOut }) => [
      '',
      `# ${where}, ${tokens} tokens${isHeldOut ? ', held out' : ''}`,
      ...text.trimEnd().split('\n'),
    ]),
  ];
}

/** The most important of it in a sentence. */
export function previewSummary({ train, heldOut, dropped, complete }: CorpusPreview): string {
  const left = dropped.reduce((sum, { count }) => sum + count, 0);
  return (
    `${complete ? '' : 'at least '}${train.snippets} snippets of ${train.tokens} tokens to train on, ` +
    `${heldOut.snippets} of ${heldOut.tokens} held out; ${left} left out.`
  );
}
