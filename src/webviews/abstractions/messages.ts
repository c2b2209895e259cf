/**
 * What the abstractions panel and the extension say to each other, what the panel keeps over a reload, and how a reading of
 * code comes in, from wherever. Whatever comes over a border is checked here. Knows nothing of browsers, VS Code or models.
 */
import * as v from 'valibot';
import { parserOf } from '../parse.ts';

/** Readings beside each other. */
export const MOST_SIDES = 2;
export const GRANULARITIES = ['token', 'line', 'statement', 'segment'] as const;
export const LATENTS = ['text', 'model', 'none'] as const;
/** Typed code is kept with the panel's state, and read whole. */
export const LONGEST_TEXT = 200_000;
/** Of a picture, in bytes. */
const LARGEST_PICTURE = 2 ** 25;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const real = v.pipe(v.number(), v.finite());
const probability = v.pipe(real, v.minValue(0), v.maxValue(1));
const shortText = v.pipe(v.string(), v.maxLength(4096));
const uri = v.pipe(shortText, v.url());
const side = v.pipe(count, v.maxValue(MOST_SIDES - 1));

// A reading, as midtraining/abstractions/reading.ts has it.

const tokenSchema = v.object({
  from: count,
  to: count,
  logProbability: v.nullable(real),
  without: v.nullable(real),
  entropy: v.nullable(real),
  alternatives: v.array(v.object({ text: v.string(), logProbability: real })),
});

const latentSchema = v.object({
  text: v.string(),
  origin: v.picklist(['text', 'model']),
  tokens: count,
  logProbability: v.nullable(real),
  gain: real,
});

const lineSchema = v.object({
  from: count,
  to: count,
  row: count,
  rows: v.pipe(count, v.minValue(1)),
  firstToken: count,
  endToken: count,
  statement: v.boolean(),
  block: v.boolean(),
  thinkProbability: v.nullable(probability),
  logProbability: real,
  without: real,
  entropy: real,
  latent: v.nullable(latentSchema),
  contextTokens: count,
});

const readingSchema = v.pipe(
  v.object({
    code: v.string(),
    name: v.string(),
    model: v.object({ name: v.string(), step: v.nullable(count) }),
    latents: v.picklist(LATENTS),
    lines: v.array(lineSchema),
    tokens: v.array(tokenSchema),
    hasError: v.boolean(),
  }),
  v.check(({ code, tokens }) => inOrder(tokens, code.length), 'tokens in the order of the code, and inside it'),
  v.check(({ code, lines }) => inOrder(lines, code.length), 'lines in the order of the code, and inside it'),
  v.check(
    ({ lines, tokens }) =>
      lines.every(
        ({ firstToken, endToken, row }, i) =>
          firstToken <= endToken &&
          endToken <= tokens.length &&
          row >= (i === 0 ? 0 : lines[i - 1]!.row + lines[i - 1]!.rows),
      ),
    'lines with rows and tokens of their own',
  ),
);

function inOrder(stretches: readonly { readonly from: number; readonly to: number }[], length: number): boolean {
  let last = 0;
  return stretches.every(({ from, to }) => {
    const isRight = from >= last && to >= from && to <= length;
    last = from;
    return isRight;
  });
}

// What is read.

/** Names what is read, so that it is found again. A model is what one writes after `--model`, or the folder of a run. */
const addressSchema = v.variant('kind', [
  /** A file of readings, as *Copy as JSON* writes them. */
  v.object({ kind: v.literal('readings'), uri }),
  v.object({ kind: v.literal('file'), uri, model: shortText }),
  v.object({ kind: v.literal('text'), text: v.pipe(v.string(), v.maxLength(LONGEST_TEXT)), model: shortText }),
  /** All samples of a run; a model of null is the one that wrote them. */
  v.object({ kind: v.literal('samples'), folder: shortText, model: v.nullable(shortText) }),
]);

const choiceEntries = {
  /** Place among what the source has, such as the samples of a run. */
  item: count,
  /** Of a checkpoint; null: there is one model only. */
  step: v.nullable(count),
  latents: v.picklist(LATENTS),
};
const choiceSchema = v.object(choiceEntries);
const viewedSchema = v.object({ address: addressSchema, ...choiceEntries });

const agreementSchema = v.object({
  boundaries: count,
  hits: count,
  share: v.nullable(real),
  random: v.nullable(real),
  pValue: v.nullable(real),
});

/** Of one reading, by midtraining/abstractions/statistics.ts; null where there is nothing to take it of. */
const summarySchema = v.object({
  lines: count,
  thinks: count,
  thinkRate: v.nullable(real),
  tokensPerLatent: v.nullable(real),
  meanTau: v.nullable(real),
  meanDiscount: v.nullable(real),
  effectiveHorizon: v.nullable(real),
  statement: agreementSchema,
  block: agreementSchema,
});

const toPanelSchema = v.variant('type', [
  /** What a side shows now, of what there is to choose from. */
  v.object({
    type: v.literal('source'),
    side,
    address: addressSchema,
    title: v.string(),
    items: v.pipe(count, v.minValue(1)),
    steps: v.array(count),
    latents: v.pipe(v.array(v.picklist(LATENTS)), v.minLength(1)),
    chosen: choiceSchema,
  }),
  /** It is at work on a side; `share` is null where it cannot be told. */
  v.object({ type: v.literal('progress'), side, text: v.string(), share: v.nullable(probability) }),
  v.object({ type: v.literal('reading'), side, reading: readingSchema, summary: summarySchema }),
  /** There is none; a sentence for a person. */
  v.object({ type: v.literal('failed'), side, text: v.string() }),
  /** The panel cannot be filled any more; a sentence for a person. */
  v.object({ type: v.literal('gone'), text: v.string() }),
]);

const fromPanelSchema = v.variant('type', [
  /** It listens now, and knows nothing; it showed these. */
  v.object({ type: v.literal('ready'), sides: v.pipe(v.array(viewedSchema), v.maxLength(MOST_SIDES)) }),
  /** Reads something else of the same source; with `again` it is computed although it is known. */
  v.object({ type: v.literal('read'), side, ...choiceEntries, again: v.boolean() }),
  v.object({ type: v.literal('readText'), side, text: v.pipe(v.string(), v.maxLength(LONGEST_TEXT)) }),
  v.object({ type: v.literal('cancel'), side }),
  /** Lets the user choose what a side shows; it may be a side that there is not yet. */
  v.object({ type: v.literal('choose'), side }),
  /** Lets the user choose among what the source has. */
  v.object({ type: v.literal('chooseItem'), side }),
  v.object({ type: v.literal('close'), side }),
  v.object({ type: v.literal('copyJson'), side }),
  v.object({ type: v.literal('saveJson'), side }),
  /** A picture, to be saved where the user says. */
  v.object({
    type: v.literal('picture'),
    side,
    format: v.picklist(['png', 'svg']),
    bytes: v.pipe(
      v.instance(Uint8Array),
      v.check(({ length }) => length > 0 && length <= LARGEST_PICTURE, 'a picture of at most 32 MiB'),
    ),
  }),
]);

/** What the panel keeps over a reload. The extension needs `sides` of it, to find again what was read. */
const savedSchema = v.object({
  sides: v.pipe(v.array(viewedSchema), v.minLength(1), v.maxLength(MOST_SIDES)),
  granularity: v.optional(v.picklist(GRANULARITIES), 'line'),
  /** P(think) from which a line counts as one where the model would think. */
  threshold: v.optional(probability, 0.5),
  search: v.optional(v.string(), ''),
  /** The row of code at the top. */
  top: v.optional(v.pipe(real, v.minValue(0)), 0),
});

export type Reading = v.InferOutput<typeof readingSchema>;
export type TokenReading = Reading['tokens'][number];
export type LineReading = Reading['lines'][number];
export type LatentReading = NonNullable<LineReading['latent']>;
export type Address = v.InferOutput<typeof addressSchema>;
export type Choice = v.InferOutput<typeof choiceSchema>;
export type Viewed = v.InferOutput<typeof viewedSchema>;
export type Agreement = v.InferOutput<typeof agreementSchema>;
export type Summary = v.InferOutput<typeof summarySchema>;
export type ToPanel = v.InferOutput<typeof toPanelSchema>;
export type FromPanel = v.InferOutput<typeof fromPanelSchema>;
export type Saved = v.InferOutput<typeof savedSchema>;
export type Granularity = (typeof GRANULARITIES)[number];
export type Latents = (typeof LATENTS)[number];

/** The message, or null where this is none. */
export const parseToPanel = parserOf(toPanelSchema);

/** The message, or null where this is none. */
export const parseFromPanel = parserOf(fromPanelSchema);

/** What was kept, or null where it is of no use. */
export const parseSaved = parserOf(savedSchema);

/** A reading that can be drawn, or null. */
export const parseReading = parserOf(readingSchema);
