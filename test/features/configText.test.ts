/** The text of a run config: where problems are, and edits that leave the rest as its user has it. */
import { applyEdits } from 'jsonc-parser';
import { describe, expect, it } from 'vitest';
import { formSections } from '../../src/features/configFields.ts';
import { editsFor, objectIn, placeOf } from '../../src/features/configText.ts';
import { checkTrainingConfig, configSections } from '../../src/midtraining/config.ts';
import { parseToPanel, type Path } from '../../src/webviews/configForm/messages.ts';
import { typed, valueAt, written } from '../../src/webviews/configForm/fieldValue.ts';

const layout = { tabSize: 2, insertSpaces: true };
const change = (text: string, path: Path, value: unknown): string =>
  applyEdits(text, editsFor(text, path, value, layout));

describe('the place of a problem', () => {
  const marked = (text: string): string[] =>
    checkTrainingConfig(text).problems.map((problem) => {
      const { offset, length } = placeOf(text, problem);
      return text.slice(offset, offset + length);
    });

  it('is the key that there is not, or the value that is wrong', () => {
    expect(marked('{\n  "stepz": 3,\n  "train": "half"\n}')).toEqual(['"stepz"', '"half"']);
    expect(marked('{"lora": {"rnk": 4}}')).toEqual(['"rnk"']);
    expect(marked('{"data": [{"kind": "starter"}, {"kind": "folder", "pth": "x"}]}')[0]).toBe('"pth"');
  });

  it('of what is missing is what it is missing in, and of a text that is none all of it', () => {
    expect(marked('{"data": [{"kind": "folder"}]}')).toEqual(['{"kind": "folder"}']);
    expect(marked('')).toEqual(['']);
    expect(marked('[1]')).toEqual(['[1]']);
    expect(marked('{"steps": 3')).toEqual(['{"steps": 3']);
  });
});

describe('an edit', () => {
  it('changes one key and leaves order and layout', () => {
    const text = '{\n    "steps": 5,   "seed": 1,\n\n    "train": "full"\n}\n';
    expect(change(text, ['seed'], 2)).toBe(text.replace('"seed": 1', '"seed": 2'));
    expect(JSON.parse(change(text, ['lora', 'rank'], 4))).toEqual({
      steps: 5,
      seed: 1,
      train: 'full',
      lora: { rank: 4 },
    });
    expect(change('{}', ['steps'], 7)).toBe('{\n  "steps": 7\n}');
  });

  it('takes a key away, and an object that has no other', () => {
    expect(change('{\n  "steps": 5,\n  "seed": 1\n}', ['seed'], undefined)).toBe('{\n  "steps": 5\n}');
    expect(JSON.parse(change('{"steps": 5, "lora": {"rank": 4}}', ['lora', 'rank'], undefined))).toEqual({ steps: 5 });
    expect(JSON.parse(change('{"data": [{"kind": "starter", "seed": 1}]}', ['data', 0, 'seed'], undefined))).toEqual({
      data: [{ kind: 'starter' }],
    });
    expect(change('{}', ['seed'], undefined)).toBe('{}');
  });

  it('reads what can be read of a text', () => {
    expect(objectIn('{"steps": 3, "seed": ')).toEqual({ steps: 3 });
    expect(objectIn('[]')).toEqual({});
    expect(objectIn('')).toEqual({});
  });
});

describe('the form', () => {
  const sections = formSections();

  it('has a field for every key, and is a message', () => {
    expect(sections.map(({ title }) => title)).toEqual(configSections.map(({ title }) => title));
    const paths = sections.flatMap(({ fields }) => fields.map(({ path }) => path.join('.')));
    expect(new Set(paths.map((path) => path.split('.')[0]))).toEqual(
      new Set(configSections.flatMap(({ keys }) => keys)),
    );
    expect(paths).toContain('lora.rank');
    // As VS Code sends it: what is undefined is left out.
    expect(parseToPanel(JSON.parse(JSON.stringify({ type: 'form', sections })))).not.toBeNull();
    for (const { field } of sections.flatMap(({ fields }) => fields)) {
      expect(field.label).toMatch(/^[A-Z]/);
      expect(field.otherwise, field.key).not.toBeUndefined();
    }
  });

  it('shows what only some methods need where they are chosen, under a heading', () => {
    const placed = new Map(sections.flatMap(({ fields }) => fields.map((field) => [field.path.join('.'), field])));
    expect(placed.get('lora.rank')).toMatchObject({
      group: 'LoRA',
      needs: { key: 'train', values: ['lora'] },
      field: { label: 'Rank' },
    });
    expect(placed.get('abstractions.eUpdates')).toMatchObject({
      group: 'Abstractions',
      needs: { key: 'method', values: ['ra3', 'brite'] },
      field: { label: 'E-step updates' },
    });
    expect(placed.get('abstractions.writer')?.needs?.values).toEqual(['synthetic']);
    expect(placed.get('steps')).toMatchObject({ group: '', needs: null });
    for (const { needs } of placed.values()) {
      if (needs === null) continue;
      const { field } = placed.get(needs.key)!;
      expect('options' in field ? field.options : []).toEqual(expect.arrayContaining(needs.values));
    }
  });

  it('knows the control of each', () => {
    const kinds = Object.fromEntries(
      sections.flatMap(({ fields }) => fields.map(({ path, field }) => [path.join('.'), field.kind])),
    );
    expect(kinds).toMatchObject({
      model: 'text',
      data: 'list',
      train: 'choice',
      method: 'choice',
      'lora.targets': 'choices',
      learningRate: 'number',
      steps: 'number',
      checkpointing: 'boolean',
    });
  });

  it('writes what was typed, and nothing where it is the default', () => {
    expect([typed(' 12 ', { kind: 'number' }), typed('1e-4', { kind: 'number' })]).toEqual([12, 1e-4]);
    expect([typed('many', { kind: 'number' }), typed('null', { kind: 'number' })]).toEqual(['many', null]);
    expect([typed(' ', { kind: 'text' }), typed('12', { kind: 'text' })]).toEqual([undefined, '12']);
    expect([written(100, { otherwise: 100 }), written(null, { otherwise: 1 })]).toEqual([undefined, null]);
    expect(valueAt({ data: [{ kind: 'folder', path: 'x' }] }, ['data', 0, 'path'])).toBe('x');
    expect(valueAt({ lora: null }, ['lora', 'rank'])).toBeUndefined();
  });
});
