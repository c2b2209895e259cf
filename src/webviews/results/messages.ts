/**
 * Everything that the results panel and the extension say to each other: plain data and its schemas. Each side checks what
 * it receives. The panel names a sample by the number of its row; nothing that it sends can do more than the verbs do.
 * Knows nothing of browsers or of VS Code.
 */
import * as v from 'valibot';
import { parserOf } from '../parse.ts';

/** In the order in which the panel shows them; a row's verdict is a place in this list. */
export const VERDICTS = ['passed', 'failed', 'timed out', 'crashed', 'out of memory', 'harness error'] as const;

/** What can be opened as a document or copied of a sample. */
export const PARTS = ['program', 'completion', 'prompt', 'traceback'] as const;
export type Part = (typeof PARTS)[number];

/** What can be done to the run. */
export const ACTIONS = ['pause', 'resume', 'stop', 'runAgain', 'openFolder'] as const;
export type Action = (typeof ACTIONS)[number];

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const words = v.array(v.string());
const numberOrNull = v.nullable(v.number());

const estimate = v.object({ k: count, value: v.number(), low: v.number(), high: v.number() });

const headerSchema = v.object({
  title: v.string(),
  /** Absolute path of the run. */
  folder: v.string(),
  status: v.picklist(['asked', 'running', 'paused', 'finished', 'stopped', 'failed', 'crashed']),
  /** What it is at and how fast, in a few words. */
  words: v.string(),
  error: v.string(),
  /** Samples judged, of how many; null before that is known. */
  progress: v.nullable(v.object({ done: count, total: count })),
  passAtK: v.array(estimate),
  /** By place in VERDICTS. */
  verdicts: v.array(count),
  problems: v.object({ solved: count, judged: count, asked: count, benchmark: count }),
  final: v.boolean(),
  whyNotFinal: v.string(),
  /** Protocol, hashes, settings: shown as they are, each can be copied. */
  facts: v.array(v.object({ name: v.string(), value: v.string() })),
  notes: v.array(v.object({ level: v.picklist(['info', 'warning']), text: v.string() })),
  actions: v.array(v.picklist(ACTIONS)),
});

/**
 * Rows that are new or have changed, a column for each quantity. `tasks` and `reasons` are places in lists that grow:
 * `newTasks` and `newReasons` come behind all that were sent before. `reset`: what was sent before is void, the lists too.
 */
const rowsSchema = v.object({
  type: v.literal('rows'),
  reset: v.boolean(),
  numbers: v.instance(Uint32Array),
  tasks: v.instance(Uint32Array),
  samples: v.instance(Uint32Array),
  verdicts: v.instance(Uint8Array),
  reasons: v.instance(Uint32Array),
  /** NaN where it is not known. */
  wallSeconds: v.instance(Float32Array),
  cpuSeconds: v.instance(Float32Array),
  newTasks: words,
  newReasons: words,
});

const detailSchema = v.object({
  taskId: v.string(),
  sample: count,
  verdict: v.string(),
  result: v.string(),
  prompt: v.string(),
  completion: v.string(),
  before: v.string(),
  finish: v.string(),
  tokens: v.nullable(
    v.object({
      texts: words,
      logProbabilities: v.array(v.number()),
      entropies: v.array(v.number()),
      alternatives: v.array(v.array(v.tuple([v.string(), v.number()]))),
    }),
  ),
  program: v.nullable(v.object({ candidate: v.string(), check: v.string() })),
  traceback: v.string(),
  output: v.string(),
  wallSeconds: numberOrNull,
  cpuSeconds: numberOrNull,
  timeLimit: numberOrNull,
  retried: v.boolean(),
  notes: words,
});

const toPanelSchema = v.variant('type', [
  v.object({ type: v.literal('run'), header: headerSchema }),
  rowsSchema,
  /** How much of the results file was read, and what of it is no row. */
  v.object({ type: v.literal('file'), read: count, size: count, broken: count, cut: v.boolean() }),
  /** Answer to `detail`; `error` says why there is none. */
  v.object({ type: v.literal('detail'), request: count, detail: v.nullable(detailSchema), error: v.string() }),
  /** There is no such run any more; a sentence for a person. */
  v.object({ type: v.literal('gone'), text: v.string() }),
]);

const row = v.pipe(count, v.maxValue(2 ** 32 - 1));
const fromPanelSchema = v.variant('type', [
  /** It listens now, and knows nothing. */
  v.object({ type: v.literal('ready') }),
  v.object({ type: v.literal('detail'), request: count, row }),
  v.object({ type: v.literal('open'), row, part: v.picklist(PARTS) }),
  v.object({ type: v.literal('copy'), row, part: v.picklist(PARTS) }),
  v.object({ type: v.literal('copyFact'), name: v.pipe(v.string(), v.maxLength(100)) }),
  v.object({ type: v.literal('rerun'), row }),
  v.object({ type: v.literal('action'), action: v.picklist(ACTIONS) }),
]);

/** What the panel keeps over a reload. The extension needs `folder` of it, to find the run again. */
export const savedSchema = v.object({
  folder: v.string(),
  sample: v.optional(v.nullable(v.object({ taskId: v.string(), sample: count })), null),
  verdicts: v.optional(v.array(v.picklist(VERDICTS)), []),
  search: v.optional(v.string(), ''),
  sort: v.optional(
    v.object({ by: v.picklist(['task', 'sample', 'verdict', 'reason', 'wall', 'cpu']), descending: v.boolean() }),
    { by: 'task', descending: false },
  ),
  part: v.optional(v.string(), 'completion'),
  shading: v.optional(v.boolean(), true),
});

export type Header = v.InferOutput<typeof headerSchema>;
export type RowsMessage = v.InferOutput<typeof rowsSchema>;
export type Detail = v.InferOutput<typeof detailSchema>;
export type ToPanel = v.InferOutput<typeof toPanelSchema>;
export type FromPanel = v.InferOutput<typeof fromPanelSchema>;
export type Saved = v.InferOutput<typeof savedSchema>;

/** The message, or null where this is none. */
export const parseToPanel = parserOf(toPanelSchema);

/** The message, or null where this is none. */
export const parseFromPanel = parserOf(fromPanelSchema);

/** What was kept, or null where it is of no use. */
export const parseSaved = parserOf(savedSchema);
