/**
 * What comes over the border between a panel and the extension is checked here. Knows nothing of what it means.
 */
import * as v from 'valibot';

/** The value as the schema has it, or null where it is none of those. */
export function parserOf<const Schema extends v.GenericSchema>(
  schema: Schema,
): (value: unknown) => v.InferOutput<Schema> | null {
  return (value) => {
    const parsed = v.safeParse(schema, value);
    return parsed.success ? parsed.output : null;
  };
}
