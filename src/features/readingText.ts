/**
 * A reading in words, as Markdown: of a line what surprised the model most and what the latent in force is worth, of a token
 * its probability and what was likelier. Knows nothing of VS Code.
 */
import type { Alternative, CodeReading, TokenReading } from '../midtraining/abstractions/reading.ts';
import type { FileReading, FileSegment } from './fileReading.ts';

/** Paragraphs about a line. */
export function explainLine(file: FileReading, line: number): string[] {
  const { reading } = file;
  const { thinkProbability, logProbability, without, entropy, firstToken, endToken, contextTokens } =
    reading.lines[line]!;
  const tokens = reading.tokens.slice(firstToken, endToken);
  const segment = file.segments().find(({ from, to }) => from <= line && line < to);
  const hasLatents = Math.abs(without - logProbability) > 1e-9;
  const figures = [
    `**Surprise ${nats(-logProbability)}**${hasLatents ? `, without latents ${nats(-without)}` : ''}`,
    ...(thinkProbability === null ? [] : [`P(think) ${percent(thinkProbability)}`]),
    `entropy ${nats(entropy)} a token`,
  ].join(' · ');
  const context = contextTokens < firstToken ? `, with ${contextTokens} of ${firstToken} tokens of context` : '';
  return [
    figures,
    ...mostSurprising(tokens, reading.code),
    segment?.latent ? latentText(segment) : 'No latent is in force here.',
    `Read by ${code(readerName(reading))}${context}.`,
  ];
}

/** A paragraph about a token, and its alternatives. */
export function explainToken(token: TokenReading, { code: text }: CodeReading): string[] {
  const { from, to, logProbability, without, entropy, alternatives } = token;
  const what = code(text.slice(from, to));
  if (logProbability === null || without === null) return [`${what}: nothing precedes it.`];
  const plain = Math.abs(without - logProbability) > 1e-9 ? `, without latents ${percent(Math.exp(without))}` : '';
  return [
    `${what} ${percent(Math.exp(logProbability))} (${nats(-logProbability)})${plain}; entropy ${nats(entropy ?? 0)}`,
    `Likeliest: ${listed(alternatives)}`,
  ];
}

export function readerName({ model }: Pick<CodeReading, 'model'>): string {
  return model.step === null ? model.name : `${model.name}, step ${model.step}`;
}

/** `+1.23 nats over 2 lines`. */
export function gainText({ gain, from, to }: Pick<FileSegment, 'gain' | 'from' | 'to'>): string {
  const sign = gain < 0 ? '−' : '+';
  return `${sign}${nats(Math.abs(gain))} over ${to - from === 1 ? 'this line' : `${to - from} lines`}`;
}

function mostSurprising(tokens: readonly TokenReading[], text: string): string[] {
  const known = tokens.filter(({ logProbability }) => logProbability !== null);
  const most = known.reduce<TokenReading | null>(
    (worst, token) => (worst === null || token.logProbability! < worst.logProbability! ? token : worst),
    null,
  );
  if (most === null) return [];
  const p = most.logProbability!;
  const share = tokens.length === 1 ? '' : ', the most surprising token';
  const what = code(text.slice(most.from, most.to));
  return [`${what} had ${percent(Math.exp(p))} (${nats(-p)})${share}. Likeliest: ${listed(most.alternatives)}`];
}

function latentText(segment: FileSegment): string {
  const { text, origin } = segment.latent!;
  const whose = origin === 'model' ? "the model's" : 'in the file';
  return `Latent in force, ${whose}: ${code(text)}, worth ${gainText(segment)}.`;
}

function listed(alternatives: readonly Alternative[]): string {
  return alternatives
    .map(({ text, logProbability }) => `${code(text)} ${percent(Math.exp(logProbability))}`)
    .join(', ');
}

/** As code that Markdown leaves alone, white space made visible. */
export function code(text: string): string {
  const shown = text
    .replace(/\r\n|\n/g, '↵')
    .replace(/\r/g, '\\r')
    .replace(/\t/g, '⇥')
    .replace(/^ +| +$/g, (spaces) => '␣'.repeat(spaces.length));
  const longest = Math.max(0, ...[...shown.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const space = shown.startsWith('`') || shown.endsWith('`') ? ' ' : '';
  return `${fence}${space}${shown}${space}${fence}`;
}

function nats(value: number): string {
  return `${value.toFixed(2)} nats`;
}

/** Two digits that mean something, down to a millionth. */
function percent(probability: number): string {
  const value = 100 * probability;
  if (value > 0 && value < 1e-4) return '< 0.0001 %';
  return `${value >= 10 ? value.toFixed(0) : Number(value.toPrecision(2))} %`;
}
