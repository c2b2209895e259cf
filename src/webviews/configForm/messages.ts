/**
 * Everything that the form of a run config and the extension say to each other: plain data and its schemas. Each side checks
 * what it receives. Knows nothing of browsers or of VS Code.
 */
import * as v from 'valibot';
import { parserOf } from '../parse.ts';

/** Keys and places, from the outermost. */
const path = v.array(v.union([v.string(), v.number()]));
export type Path = v.InferOutput<typeof path>;

const plainField = v.object({
  key: v.string(),
  /** What a person calls it. */
  label: v.string(),
  description: v.string(),
  /** `choices`: some of the options. */
  kind: v.picklist(['text', 'number', 'boolean', 'choice', 'choices']),
  options: v.array(v.string()),
  /** The value where the key is absent; without one it must be given. */
  otherwise: v.optional(v.unknown()),
});
export type PlainField = v.InferOutput<typeof plainField>;

/** A list of objects, each of a `kind`. */
const listField = v.object({
  key: v.string(),
  label: v.string(),
  description: v.string(),
  kind: v.literal('list'),
  variants: v.array(v.object({ name: v.string(), description: v.string(), fields: v.array(plainField) })),
  otherwise: v.array(v.record(v.string(), v.unknown())),
});
export type ListField = v.InferOutput<typeof listField>;

const field = v.variant('kind', [plainField, listField]);
/**
 * A field and where its key is; what the keys beside it have in common, '' where nothing; and the key and values beside which
 * it counts, null: always.
 */
const placed = v.object({
  path,
  field,
  group: v.string(),
  needs: v.nullable(v.object({ key: v.string(), values: v.array(v.string()) })),
});
export type PlacedField = v.InferOutput<typeof placed>;

export const ACTIONS = ['run', 'resume', 'estimate', 'openText'] as const;
export type Action = (typeof ACTIONS)[number];

const toPanelSchema = v.variant('type', [
  /** Once: what can be set. */
  v.object({ type: v.literal('form'), sections: v.array(v.object({ title: v.string(), fields: v.array(placed) })) }),
  /** What the file says now. */
  v.object({
    type: v.literal('config'),
    name: v.string(),
    /** The object in the file, also where parts of it are wrong. */
    values: v.record(v.string(), v.unknown()),
    problems: v.array(v.object({ path, sentence: v.string() })),
    /** What can be done. */
    actions: v.array(v.picklist(ACTIONS)),
  }),
  /** `lines` and `error` are empty while it is made. */
  v.object({ type: v.literal('estimate'), working: v.boolean(), lines: v.array(v.string()), error: v.string() }),
]);

const fromPanelSchema = v.variant('type', [
  /** It listens now, and knows nothing. */
  v.object({ type: v.literal('ready') }),
  /** Without a value the key goes, and with it the default holds. */
  v.object({
    type: v.literal('set'),
    path: v.pipe(path, v.minLength(1), v.maxLength(8)),
    value: v.optional(v.unknown()),
  }),
  v.object({ type: v.literal('action'), action: v.picklist(ACTIONS) }),
]);

export type ToPanel = v.InferOutput<typeof toPanelSchema>;
export type FromPanel = v.InferOutput<typeof fromPanelSchema>;

/** The message, or null where this is none. */
export const parseToPanel = parserOf(toPanelSchema);

/** The message, or null where this is none. */
export const parseFromPanel = parserOf(fromPanelSchema);
