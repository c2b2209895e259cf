/**
 * Everything that the run panel and the extension say to each other: plain data and its schemas. Each side checks what it
 * receives. A run is named by its folder, and only those of the store are opened; nothing that the panel sends can do more
 * than the verbs do. Knows nothing of browsers or of VS Code.
 */
import * as v from 'valibot';
import { parserOf } from '../parse.ts';

/** What is drawn of a step, as the extension reads it (client/metricsFile.ts), and in what it is sent. */
export const QUANTITIES = [
  'loss',
  'heldOutLoss',
  'learningRate',
  'gradientNorm',
  'tokensPerSecond',
  'memory',
  'passed',
  'problems',
] as const;
export type Quantity = (typeof QUANTITIES)[number];

/** What can be done to the run and with its curves. */
export const ACTIONS = [
  'pause',
  'release',
  'resume',
  'stop',
  'stopAndSave',
  'checkpoint',
  'sample',
  'setLearningRate',
  'setEvaluationInterval',
  'openFolder',
  'exportCsv',
  'exportTensorBoard',
] as const;
export type Action = (typeof ACTIONS)[number];

/** Runs drawn beside the panel's own. */
export const MOST_OVERLAYS = 6;
const LARGEST_PICTURE = 32 * 1024 * 1024;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const folder = v.pipe(v.string(), v.maxLength(4096));
const numberOrNull = v.nullable(v.number());
const column = v.instance(Float32Array);

const headerSchema = v.object({
  title: v.string(),
  folder: v.string(),
  status: v.picklist(['asked', 'running', 'paused', 'finished', 'stopped', 'failed', 'crashed']),
  /** How it stands, in a few words; the phase is not in them. */
  words: v.string(),
  /** What it is at, and since when (milliseconds since 1970); null: nothing. */
  phase: v.nullable(v.object({ words: v.string(), since: numberOrNull })),
  step: count,
  /** Of how many; null before that is known. */
  steps: v.nullable(count),
  /** Milliseconds left; null: not known. */
  left: numberOrNull,
  device: v.string(),
  /** Why it failed or crashed, and what to do. */
  error: v.string(),
  facts: v.array(v.object({ name: v.string(), value: v.string() })),
  notes: v.array(v.object({ level: v.picklist(['info', 'warning']), text: v.string() })),
  actions: v.array(v.picklist(ACTIONS)),
});

/** Rows of a run's curves from row `from` on: they and nothing else follow the rows before it. NaN where nothing was told. */
const metricsSchema = v.object({
  type: v.literal('metrics'),
  run: folder,
  from: count,
  steps: v.instance(Uint32Array),
  /** Seconds at work by then, targets trained on, and milliseconds since 1970. */
  worked: v.instance(Float64Array),
  tokens: v.instance(Float64Array),
  times: v.instance(Float64Array),
  values: v.object(Object.fromEntries(QUANTITIES.map((name) => [name, column])) as Record<Quantity, typeof column>),
});

const markSchema = v.object({
  kind: v.picklist([
    'pause',
    'release',
    'resume',
    'stop',
    'stop-and-save',
    'checkpoint',
    'sample',
    'set',
    'resumed',
    'failed',
  ]),
  step: count,
  time: v.number(),
  text: v.string(),
});

const sampleSchema = v.object({
  step: count,
  taskId: v.nullable(v.string()),
  verdict: v.nullable(v.string()),
  prompt: v.string(),
  completion: v.string(),
});

const toPanelSchema = v.variant('type', [
  v.object({ type: v.literal('run'), header: headerSchema }),
  metricsSchema,
  /** All there are, in the order in which they were made. */
  v.object({ type: v.literal('marks'), marks: v.array(markSchema) }),
  /** All there are, without their texts; the panel names one by its place in the list. */
  v.object({
    type: v.literal('samples'),
    samples: v.array(v.object({ step: count, taskId: v.nullable(v.string()), verdict: v.nullable(v.string()) })),
  }),
  /** Answer to `sample`; `error` says why there is none. */
  v.object({ type: v.literal('sample'), request: count, sample: v.nullable(sampleSchema), error: v.string() }),
  /** The runs that are drawn beside this one: all of them. */
  v.object({
    type: v.literal('overlays'),
    runs: v.array(v.object({ folder, title: v.string(), words: v.string() })),
  }),
  /** How much of the events was read; lines that are none. */
  v.object({ type: v.literal('file'), read: count, size: count, broken: count }),
  /** There is no such run any more; a sentence for a person. */
  v.object({ type: v.literal('gone'), text: v.string() }),
]);

const fromPanelSchema = v.variant('type', [
  /** It listens now, and knows nothing; it would draw these runs too. */
  v.object({ type: v.literal('ready'), overlays: v.pipe(v.array(folder), v.maxLength(MOST_OVERLAYS)) }),
  v.object({ type: v.literal('action'), action: v.picklist(ACTIONS) }),
  v.object({ type: v.literal('sample'), request: count, number: count }),
  /** Lets the user choose the runs that are drawn too. */
  v.object({ type: v.literal('chooseOverlays') }),
  v.object({ type: v.literal('removeOverlay'), folder }),
  /** A picture of the curves, to be saved where the user says. */
  v.object({
    type: v.literal('picture'),
    format: v.picklist(['png', 'svg']),
    bytes: v.pipe(
      v.instance(Uint8Array),
      v.check(({ length }) => length > 0 && length <= LARGEST_PICTURE, 'a picture of at most 32 MiB'),
    ),
  }),
]);

export const AXES = ['step', 'tokens', 'time'] as const;

/** What the panel keeps over a reload. The extension needs `folder` of it, to find the run again. */
export const savedSchema = v.object({
  folder: v.string(),
  overlays: v.optional(v.pipe(v.array(folder), v.maxLength(MOST_OVERLAYS)), []),
  axis: v.optional(v.picklist(AXES), 'step'),
  log: v.optional(v.boolean(), false),
  /** Weight of the past in the smoothed loss, from 0 to 0.999. */
  smoothing: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(0.999)), 0.9),
  /** Shown part of the axis; null: all of it, as it grows. */
  zoom: v.optional(v.nullable(v.tuple([v.number(), v.number()])), null),
  /** Place of the sample that is shown. */
  sample: v.optional(v.nullable(count), null),
});

export type Header = v.InferOutput<typeof headerSchema>;
export type MetricsMessage = v.InferOutput<typeof metricsSchema>;
export type Mark = v.InferOutput<typeof markSchema>;
export type Sample = v.InferOutput<typeof sampleSchema>;
export type ToPanel = v.InferOutput<typeof toPanelSchema>;
export type FromPanel = v.InferOutput<typeof fromPanelSchema>;
export type Saved = v.InferOutput<typeof savedSchema>;
export type Axis = (typeof AXES)[number];

/** The message, or null where this is none. */
export const parseToPanel = parserOf(toPanelSchema);

/** The message, or null where this is none. */
export const parseFromPanel = parserOf(fromPanelSchema);

/** What was kept, or null where it is of no use. */
export const parseSaved = parserOf(savedSchema);
