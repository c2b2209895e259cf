/**
 * The JSON schema of `*.midtrain.json`, made from the one that reads it: editors complete and explain by it, and the form is
 * drawn from it. A key that there is not is left to our own diagnostic, which names the one that is meant: a schema could
 * only say that it is not allowed, and a user would read both.
 */
import { toJsonSchema } from '@valibot/to-json-schema';
import { trainingConfigSchema } from './config.ts';

/** What of JSON Schema (draft 7) is used here. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
}

export function trainingConfigJsonSchema(): JsonSchema {
  const schema = toJsonSchema(trainingConfigSchema, {
    typeMode: 'input',
    target: 'draft-07',
    errorMode: 'ignore', // that a number is finite, which every number in JSON is
    overrideSchema: ({ jsonSchema }) => {
      const { additionalProperties, ...rest } = jsonSchema;
      return rest;
    },
  });
  return { ...schema, title: 'Midtrain run config' } as JsonSchema;
}
