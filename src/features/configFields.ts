/**
 * The form's fields, made from the JSON schema of run configs: a key that is new there is a field here.
 * Pure; knows nothing of panels or of VS Code.
 */
import { configSections } from '../midtraining/config.ts';
import { type JsonSchema, trainingConfigJsonSchema } from '../midtraining/configSchema.ts';
import type { ListField, PlacedField, PlainField, ToPanel } from '../webviews/configForm/messages.ts';

/** Keys that count only where another key has one of these values; the form shows them there. */
const needs: Readonly<Record<string, PlacedField['needs']>> = {
  switchBack: { key: 'train', values: ['full'] },
  lora: { key: 'train', values: ['lora'] },
  abstractions: { key: 'method', values: ['ra3', 'brite'] },
  'abstractions.maxLatentTokens': { key: 'method', values: ['ra3', 'brite', 'synthetic'] },
  'abstractions.writer': { key: 'method', values: ['synthetic'] },
};

export function formSections(): Extract<ToPanel, { type: 'form' }>['sections'] {
  const { properties = {} } = trainingConfigJsonSchema();
  return configSections.map(({ title, keys }) => ({
    title,
    fields: keys.flatMap((key) => fieldsOf([key], properties[key]!)),
  }));
}

/** An object's keys are fields of their own. */
function fieldsOf(path: readonly string[], schema: JsonSchema): PlacedField[] {
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([key, inner]) => fieldsOf([...path, key], inner));
  }
  const variants = schema.items?.oneOf;
  const field = variants === undefined ? plainField(path, schema) : listField(path, schema, variants);
  const group = path.length === 1 ? '' : labelOf(path.slice(0, 1));
  return [{ path: [...path], field, group, needs: needs[path.join('.')] ?? needs[path[0]!] ?? null }];
}

function listField(path: readonly string[], schema: JsonSchema, variants: readonly JsonSchema[]): ListField {
  return {
    key: path.at(-1)!,
    label: labelOf(path.slice(-1)),
    description: schema.description ?? '',
    kind: 'list',
    otherwise: schema.default as ListField['otherwise'],
    variants: variants.map(({ properties = {} }) => {
      const { kind, ...others } = properties;
      return {
        name: String(kind!.const),
        description: kind!.description ?? '',
        fields: Object.entries(others).map(([key, inner]) => plainField([key], inner)),
      };
    }),
  };
}

function plainField(path: readonly string[], schema: JsonSchema): PlainField {
  const { description = '', default: otherwise } = schema;
  return { key: path.at(-1)!, label: labelOf(path.slice(-1)), description, otherwise, ...controlOf(schema) };
}

function controlOf({
  type,
  enum: options,
  const: only,
  anyOf,
  items,
}: JsonSchema): Pick<PlainField, 'kind' | 'options'> {
  const words = (values: readonly unknown[]): string[] => values.map(String);
  if (options !== undefined) return { kind: 'choice', options: words(options) };
  if (only !== undefined) return { kind: 'choice', options: words([only]) };
  if (items?.enum !== undefined) return { kind: 'choices', options: words(items.enum) };
  const types = [type, ...(anyOf ?? []).map((one) => one.type)];
  if (types.includes('number') || types.includes('integer')) return { kind: 'number', options: [] };
  return { kind: type === 'boolean' ? 'boolean' : 'text', options: [] };
}

const spelt: Readonly<Record<string, string>> = { lora: 'LoRA', kl: 'KL', e: 'E-step', m: 'M-step' };

/** `LoRA`, `Learning rate`, `E-step updates`. */
function labelOf(path: readonly string[]): string {
  const words = path.flatMap((key) => key.split(/(?=[A-Z])/)).map((word) => word.toLowerCase());
  const text = words.map((word) => spelt[word] ?? word).join(' ');
  return text[0]!.toUpperCase() + text.slice(1);
}
