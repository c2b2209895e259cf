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
  'codeLoss',
  'latentLoss',
] as const;
export type Quantity = (typeof QUANTITIES)[number];

/** The same of an update of q. */
export const UPDATE_QUANTITIES = [
  'returnWithout',
  'returnWith',
  'returnNever',
  'penalty',
  'thinkPenalty',
  'thinkRate',
  'formatErrors',
  'groupsWithoutSpread',
  'clipped',
  'latentTokens',
  'distinctLatents',
  'kl',
  'entropy',
  'staleness',
  'rolloutsPerSecond',
  'learningRate',
  'gradientNorm',
  'heldReturnWithout',
  'heldReturnWith',
  'heldReturnNever',
  'heldThinkRate',
] as const;
export type UpdateQuantity = (typeof UPDATE_QUANTITIES)[number];

/** What steps of the model are drawn over: their number, tokens trained on, seconds at work. */
export const AXES = ['step', 'tokens', 'time'] as const;
export type Axis = (typeof AXES)[number];

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
  'setThinkPenalty',
  'setTemperature',
  'setGroupSize',
  'setUpdates',
  'setSteps',
  'openFolder',
  'exportCsv',
  'exportEStepCsv',
  'exportTensorBoard',
] as const;
export type Action = (typeof ACTIONS)[number];

/** Runs drawn beside the panel's own. */
export const MOST_OVERLAYS = 6;
const LARGEST_PICTURE = 32 * 1024 * 1024;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const folder = v.pipe(v.string(), v.maxLength(4096));
const numberOrNull = v.nullable(v.number());
const place = v.instance(Float64Array);
const column = v.instance(Float32Array);

/** Of these names each the same. */
const each = <const Name extends string, Schema extends v.GenericSchema>(names: readonly Name[], schema: Schema) =>
  v.object(Object.fromEntries(names.map((name) => [name, schema])) as Record<Name, Schema>);

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

/**
 * Rows of a run's curves from row `from` on: they and nothing else follow the rows before it. NaN where nothing was told.
 * `metrics` has a row a step of the model, `updates` a row an update of q.
 */
const metricsSchema = v.object({
  type: v.literal('metrics'),
  run: folder,
  from: count,
  places: each(AXES, place),
  values: each(QUANTITIES, column),
});
const updatesSchema = v.object({
  type: v.literal('updates'),
  run: folder,
  from: count,
  places: each(['update'], place),
  values: each(UPDATE_QUANTITIES, column),
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
  update: count,
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

const numbers = v.instance(Uint32Array);

/** Of a rollout of q, as its event has it (runner/events.ts). */
const rolloutSchema = v.object({
  index: count,
  returnWith: v.number(),
  returnNever: v.number(),
  lines: v.array(
    v.object({
      code: v.string(),
      latent: v.nullable(v.string()),
      thinkProbability: numberOrNull,
      reward: v.number(),
      without: v.number(),
      error: v.nullable(v.string()),
    }),
  ),
});

const toPanelSchema = v.variant('type', [
  v.object({ type: v.literal('run'), header: headerSchema }),
  metricsSchema,
  updatesSchema,
  /** All there are, in the order in which they were made. */
  v.object({ type: v.literal('marks'), marks: v.array(markSchema) }),
  /** All there are, without their texts; the panel names one by its place in the list. */
  v.object({
    type: v.literal('samples'),
    samples: v.array(v.object({ step: count, taskId: v.nullable(v.string()), verdict: v.nullable(v.string()) })),
  }),
  /** Answer to `sample`; `error` says why there is none. */
  v.object({ type: v.literal('sample'), request: count, sample: v.nullable(sampleSchema), error: v.string() }),
  /** All groups of rollouts, by update and snippet: how many rollouts were told, and their mean gain over never thinking. */
  v.pipe(
    v.object({
      type: v.literal('groups'),
      updates: numbers,
      snippets: numbers,
      sizes: numbers,
      gains: column,
    }),
    v.check(({ updates, ...others }) =>
      [others.snippets, others.sizes, others.gains].every(({ length }) => length === updates.length),
    ),
  ),
  /** Answer to `rollouts`; `error` says why there are none. */
  v.object({ type: v.literal('rollouts'), request: count, rollouts: v.array(rolloutSchema), error: v.string() }),
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
  v.object({ type: v.literal('rollouts'), request: count, update: count, snippet: count }),
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

/** Shown part of an axis; null: all of it, as it grows. */
const zoom = v.optional(v.nullable(v.tuple([v.number(), v.number()])), null);

/** What the panel keeps over a reload. The extension needs `folder` of it, to find the run again. */
export const savedSchema = v.object({
  folder: v.string(),
  overlays: v.optional(v.pipe(v.array(folder), v.maxLength(MOST_OVERLAYS)), []),
  axis: v.optional(v.picklist(AXES), 'step'),
  log: v.optional(v.boolean(), false),
  /** Weight of the past in the smoothed loss, from 0 to 0.999. */
  smoothing: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(0.999)), 0.9),
  zoom,
  updateZoom: zoom,
  /** Place of the sample that is shown; null: the latest. */
  sample: v.optional(v.nullable(count), null),
  /** Group of rollouts that is shown; null: the latest. */
  group: v.optional(v.nullable(v.object({ update: count, snippet: count })), null),
  /** Whether rollouts are one below the other. */
  stacked: v.optional(v.boolean(), false),
});

export type Header = v.InferOutput<typeof headerSchema>;
export type MetricsMessage = v.InferOutput<typeof metricsSchema>;
export type UpdatesMessage = v.InferOutput<typeof updatesSchema>;
export type Rollout = v.InferOutput<typeof rolloutSchema>;
export type Mark = v.InferOutput<typeof markSchema>;
export type Sample = v.InferOutput<typeof sampleSchema>;
export type ToPanel = v.InferOutput<typeof toPanelSchema>;
export type FromPanel = v.InferOutput<typeof fromPanelSchema>;
export type Groups = Extract<ToPanel, { type: 'groups' }>;
export type Saved = v.InferOutput<typeof savedSchema>;

/** The message, or null where this is none. */
export const parseToPanel = parserOf(toPanelSchema);

/** The message, or null where this is none. */
export const parseFromPanel = parserOf(fromPanelSchema);

/** What was kept, or null where it is of no use. */
export const parseSaved = parserOf(savedSchema);
