/** package.json says what src/contributions.ts says, and what it says is whole: ids, when clauses, scopes, descriptions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import {
  colors,
  commands,
  contextKeys,
  editors,
  items,
  panels,
  settings,
  viewContainer,
  views,
} from '../src/contributions.ts';
import { ENDING } from '../src/midtraining/config.ts';

const root = join(import.meta.dirname, '..');
const { contributes, capabilities, activationEvents } = packageJson;

interface MenuEntry {
  readonly command: string;
  readonly when?: string;
  readonly group?: string;
}
const menus = Object.entries(contributes.menus as Record<string, readonly MenuEntry[]>);
const entries = menus.flatMap(([menu, list]) => list.map((entry) => ({ menu, ...entry })));

interface Setting {
  readonly type: string;
  readonly scope?: string;
  readonly default?: unknown;
  readonly description?: string;
  readonly markdownDescription?: string;
  readonly enum?: readonly string[];
  readonly enumDescriptions?: readonly string[];
}
const properties = contributes.configuration.properties as Record<string, Setting>;

/** The sources that register and use the ids. */
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'contributions.ts')
  .map((path) => ({ path, text: readFileSync(join(root, 'src', path), 'utf8') }));
const usedAs = (name: string): boolean => sources.some(({ text }) => text.includes(name));

/** A word of a when clause, and what stands to the right of it. */
interface Comparison {
  readonly key: string;
  readonly operator: '==' | '!=' | '=~' | null;
  readonly value: string;
}

/**
 * Reads a when clause as the editor does (vscode/src/vs/platform/contextkey/common/scanner.ts): `&&`, `||`, `!`, parentheses,
 * and comparisons with `==`, `!=` and `=~`. What we do not use is an error here, and `!~` is one there.
 * @returns the comparisons, and whether the clause holds where they do as `holds` says
 */
function readWhen(
  clause: string,
  holds: (comparison: Comparison) => boolean,
): { holds: boolean; comparisons: Comparison[] } {
  const tokens = [...clause.matchAll(/\s+|&&|\|\||[()]|==|!=|=~|!(?![=~])|\/(?:[^/\\]|\\.)+\/|[\w.]+|./gu)]
    .map(([token]) => token)
    .filter((token) => token.trim() !== '');
  const comparisons: Comparison[] = [];
  const isWord = (token: string | undefined): token is string => /^[\w.]+$/.test(token ?? '');
  const take = (...wanted: string[]): string | null => (wanted.includes(tokens[0] ?? '') ? tokens.shift()! : null);
  const either = (): boolean => {
    let value = both();
    while (take('||') !== null) value = both() || value;
    return value;
  };
  const both = (): boolean => {
    let value = one();
    while (take('&&') !== null) value = one() && value;
    return value;
  };
  const one = (): boolean => {
    if (take('!') !== null) return !one();
    if (take('(') !== null) {
      const value = either();
      expect(take(')'), `a parenthesis of "${clause}" is not closed`).toBe(')');
      return value;
    }
    const key = tokens.shift();
    if (!isWord(key)) throw new Error(`"${clause}" has "${String(key)}" where a key is expected`);
    const operator = take('==', '!=', '=~') as Comparison['operator'];
    const value = operator === null ? '' : tokens.shift()!;
    if (operator === '=~') expect(value, `a pattern in "${clause}"`).toMatch(/^\/.+\/$/);
    else if (operator !== null) expect(value, `a value in "${clause}"`).toMatch(/^[\w.]+$/);
    const comparison = { key, operator, value };
    comparisons.push(comparison);
    return holds(comparison);
  };
  const value = either();
  expect(tokens, `what is left of "${clause}"`).toEqual([]);
  return { holds: value, comparisons };
}

/** Whether a comparison holds with these values. */
function among(values: Readonly<Record<string, string | boolean>>): (comparison: Comparison) => boolean {
  return ({ key, operator, value }) => {
    const actual = values[key];
    if (operator === null) return actual === true;
    if (operator === '=~') return new RegExp(value.slice(1, -1)).test(String(actual));
    return (actual === value) === (operator === '==');
  };
}

/** `viewItem` of each kind of row of each view, as the trees set it. */
const rows: Readonly<Record<string, readonly string[]>> = {
  [views.runs]: [
    items.run,
    `${items.run} ${items.live} ${items.running}`,
    `${items.run} ${items.live} ${items.paused}`,
    `${items.run} ${items.resumable}`,
    items.unreadable,
    `${items.training} ${items.live} ${items.running}`,
    `${items.training} ${items.resumable}`,
    `${items.training} ${items.live}`,
    `${items.training} ${items.live} ${items.running} ${items.exploring}`,
  ],
  [views.models]: [items.model, items.modelAbsent, items.modelNamed],
  [views.benchmarks]: [items.benchmark, items.benchmarkAbsent],
};

/** Commands in the menu of a row. */
function menuOf(view: string, viewItem: string, inline: boolean): string[] {
  return entries
    .filter(({ menu, group }) => menu === 'view/item/context' && (group ?? '').startsWith('inline') === inline)
    .filter(({ when }) => readWhen(when!, among({ view, viewItem })).holds)
    .map(({ command }) => command)
    .sort();
}

const whens = [
  ...entries.map(({ when }) => when),
  ...contributes.viewsWelcome.map((one) => ('when' in one ? one.when : undefined)),
  ...contributes.commands.map((one) => ('enablement' in one ? one.enablement : undefined)),
].filter((when) => when !== undefined);

describe('commands', () => {
  it('are the same in the manifest and in the code, each with title, category and icon, and used', () => {
    expect(contributes.commands.map(({ command }) => command).sort()).toEqual(Object.values(commands).sort());
    for (const { command, title, category, icon } of contributes.commands) {
      expect(title, command).toMatch(/^[A-Z]/);
      expect(title, `${command}: the category is put before it`).not.toMatch(/midtrain/i);
      expect(category, command).toBe('Midtrain');
      expect(icon, command).toMatch(/^\$\([a-z-]+\)$/);
    }
    const titles = contributes.commands.map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
    for (const name of Object.keys(commands)) expect(usedAs(`commands.${name}`), name).toBe(true);
  });

  it('that run something or fetch it need a trusted workspace', () => {
    const enabled = new Map(
      contributes.commands.map((one) => [one.command, 'enablement' in one ? one.enablement : undefined]),
    );
    const { evaluate, evaluateHumanEval, evaluateMbpp, runAgain, resume, getModel, getBenchmark, checkEnvironment } =
      commands;
    const { train, trainByConfig, estimate, previewData } = commands;
    const { showAbstractions, explainSurprise, insertLatents, chooseReader } = commands;
    for (const id of [
      showAbstractions,
      explainSurprise,
      insertLatents,
      chooseReader,
      train,
      trainByConfig,
      estimate,
      previewData,
      evaluate,
      evaluateHumanEval,
      evaluateMbpp,
      runAgain,
      resume,
      getModel,
      getBenchmark,
      checkEnvironment,
    ]) {
      const { holds } = readWhen(enabled.get(id) ?? 'always', among({ isWorkspaceTrusted: false, always: true }));
      expect(holds, id).toBe(false);
    }
  });

  it('in menus exist, each in a menu whose view is told, or whose kind of file', () => {
    for (const { menu, command, when, group } of entries) {
      expect(Object.values(commands), `${menu}: ${command}`).toContain(command);
      const { comparisons } = readWhen(when!, () => true);
      if (menu === 'commandPalette') continue; // it has neither views nor groups
      if (!menu.startsWith('view/')) {
        expect(
          comparisons.map(({ key }) => key),
          `${menu}: ${command}`,
        ).toEqual(['resourceFilename']);
        continue;
      }
      expect(group, `${menu}: ${command}`).toBeTruthy();
      const view = comparisons.find(({ key, operator }) => key === 'view' && operator === '==');
      expect(Object.values(views), `${menu}: ${command}`).toContain(view?.value);
    }
  });

  it('in texts of welcome exist', () => {
    for (const { contents } of contributes.viewsWelcome) {
      for (const [, id] of contents.matchAll(/\(command:([\w.]+)\)/g)) {
        if (!id!.startsWith('workbench.')) expect(Object.values(commands)).toContain(id);
      }
    }
  });
});

describe('views', () => {
  it('are the same in the manifest and in the code, each with name, icon and a welcome', () => {
    expect(contributes.viewsContainers.activitybar.map(({ id }) => id)).toEqual([viewContainer]);
    expect(Object.keys(contributes.views)).toEqual([viewContainer]);
    const declared = contributes.views[viewContainer];
    expect(declared.map(({ id }) => id).sort()).toEqual(Object.values(views).sort());
    for (const { id, name, icon, contextualTitle } of declared) {
      expect(name, id).not.toBe('');
      expect(contextualTitle, id).toContain(name);
      expect(existsSync(join(root, icon)), icon).toBe(true);
      expect(
        contributes.viewsWelcome.some(({ view }) => view === id),
        `a welcome of ${id}`,
      ).toBe(true);
    }
    for (const { view } of contributes.viewsWelcome) expect(Object.values(views)).toContain(view);
    for (const { icon } of contributes.viewsContainers.activitybar) expect(existsSync(join(root, icon))).toBe(true);
    for (const name of Object.keys(views)) expect(usedAs(`views.${name}`), name).toBe(true);
  });

  it('have a panel that is restored, for which the extension is activated', () => {
    const restored = activationEvents.filter((event) => event.startsWith('onWebviewPanel:'));
    expect(restored.sort()).toEqual(
      Object.values(panels)
        .map((id) => `onWebviewPanel:${id}`)
        .sort(),
    );
  });
});

describe('run configs', () => {
  it('have their schema and their form by their ending', () => {
    expect(contributes.jsonValidation).toEqual([{ fileMatch: `*${ENDING}`, url: './dist/midtrain.schema.json' }]);
    expect(contributes.customEditors.map(({ viewType }) => viewType)).toEqual(Object.values(editors));
    for (const { selector, priority } of contributes.customEditors) {
      expect(selector).toEqual([{ filenamePattern: `*${ENDING}` }]);
      expect(priority).toBe('option');
    }
  });
});

describe('when clauses', () => {
  it('can be read by the editor and name only keys and rows that there are', () => {
    const known = ['view', 'viewItem', 'resourceFilename', 'isWorkspaceTrusted', ...Object.values(contextKeys)];
    for (const when of whens) {
      for (const { key, operator, value } of readWhen(when, () => true).comparisons) {
        expect(known, when).toContain(key);
        if (key !== 'viewItem') continue;
        const all = Object.values(rows).flat();
        if (operator === '=~')
          expect(
            all.some((row) => new RegExp(value.slice(1, -1)).test(row)),
            when,
          ).toBe(true);
        else expect(Object.values(items), when).toContain(value);
      }
    }
    for (const name of Object.keys(contextKeys)) expect(usedAs(`contextKeys.${name}`), name).toBe(true);
  });

  it('give each row the commands that fit it', () => {
    const { pause, resume, stop, openResults, openRunFolder, openAbstractions, runAgain, removeRun } = commands;
    const { openRun, stopAndSave, pauseAndRelease, saveCheckpoint, sampleNow, exportMetrics, exportModel } = commands;
    const { setLearningRate, setEvaluationInterval } = commands;
    const { setThinkPenalty, setTemperature, setGroupSize, setUpdates, setSteps } = commands;
    const [over, running, paused, resumable, unreadable, training, trainable, beginning, exploring] = rows[views.runs]!;
    const inline = (row: string | undefined): string[] => menuOf(views.runs, row!, true);
    expect(inline(over)).toEqual([openResults]);
    expect(inline(running)).toEqual([openResults, pause, stop].sort());
    expect(inline(paused)).toEqual([openResults, resume, stop].sort());
    expect(inline(resumable)).toEqual([openResults, resume].sort());
    expect(inline(unreadable)).toEqual([]);
    // What may be lost by a stop is asked for in the menu, not by a press.
    expect(inline(training)).toEqual([openRun, pause, stopAndSave].sort());
    expect(inline(beginning)).toEqual([openRun, stop].sort());
    expect(inline(trainable)).toEqual([openRun, resume].sort());
    const more = (row: string | undefined): string[] => menuOf(views.runs, row!, false);
    expect(more(over)).toEqual([openResults, openAbstractions, openRunFolder, removeRun, runAgain].sort());
    expect(more(running)).toEqual([openResults, openAbstractions, openRunFolder, runAgain].sort());
    expect(more(resumable)).toEqual(more(over));
    expect(more(unreadable)).toEqual([openRunFolder, removeRun]);
    const verbs = [stop, saveCheckpoint, sampleNow, setLearningRate, setEvaluationInterval];
    const ofTraining = [openRun, openAbstractions, openRunFolder, exportMetrics, exportModel];
    expect(more(training)).toEqual([...ofTraining, ...verbs, pauseAndRelease].sort());
    const ofEStep = [setThinkPenalty, setTemperature, setGroupSize, setUpdates, setSteps];
    expect(more(exploring)).toEqual([...more(training), ...ofEStep].sort());
    expect(inline(exploring)).toEqual(inline(training));
    expect(more(trainable)).toEqual([...ofTraining, removeRun].sort());

    const { evaluate, evaluateHumanEval, evaluateMbpp, train, getModel, removeModel, getBenchmark, removeBenchmark } =
      commands;
    const models = (row: string): string[] => [...menuOf(views.models, row, true), ...menuOf(views.models, row, false)];
    expect(models(items.model)).toEqual([evaluate, evaluateHumanEval, evaluateMbpp, removeModel, train]);
    expect(models(items.modelNamed)).toEqual([evaluate, evaluateHumanEval, evaluateMbpp, removeModel, train]);
    expect(models(items.modelAbsent)).toEqual([evaluate, getModel, evaluateHumanEval, evaluateMbpp, train]);
    expect(menuOf(views.benchmarks, items.benchmark, false)).toEqual([removeBenchmark]);
    expect(menuOf(views.benchmarks, items.benchmarkAbsent, true)).toEqual([getBenchmark]);
  });

  it('are given every kind of row by the trees', () => {
    for (const name of Object.keys(items)) {
      // A run's row has its state among its words: `running`, `paused`.
      if (name === 'running' || name === 'paused') continue;
      expect(usedAs(`items.${name}`), name).toBe(true);
    }
  });
});

describe('colours', () => {
  it('are the same in the manifest and in the code, each described, with one for each kind of theme', () => {
    expect(contributes.colors.map(({ id }) => id)).toEqual(Object.values(colors));
    for (const { id, description, defaults } of contributes.colors) {
      expect(description, id).toMatch(/^[A-Z].*\.$/);
      expect(Object.keys(defaults), id).toEqual(['dark', 'light', 'highContrast', 'highContrastLight']);
      for (const value of Object.values(defaults))
        expect(value, id).toMatch(/^(#[0-9a-f]{6}([0-9a-f]{2})?|contrastBorder)$/);
    }
    for (const name of Object.keys(colors)) expect(usedAs(`colors.${name}`), name).toBe(true);
  });
});

describe('settings', () => {
  it('are the same in the manifest and in the code, each described, with a default of its type', () => {
    const ids = Object.values(settings).map((name) => `midtrain.${name}`);
    expect(Object.keys(properties).sort()).toEqual(ids.sort());
    for (const [id, setting] of Object.entries(properties)) {
      expect(setting.description ?? setting.markdownDescription, id).toMatch(/^[A-Z].*\.$/s);
      const type = Array.isArray(setting.default) ? 'array' : typeof setting.default;
      expect(type === 'number' ? 'integer' : type, id).toBe(setting.type);
      if (setting.enum === undefined) continue;
      expect(setting.enum, id).toContain(setting.default);
      expect(setting.enumDescriptions, id).toHaveLength(setting.enum.length);
    }
    for (const name of Object.keys(settings)) expect(usedAs(`settings.${name}`), name).toBe(true);
  });

  it('that say what is executed, where or how belong to the machine, and not to an untrusted workspace', () => {
    const shown: string[] = [settings.statusBar, settings.notices];
    const executing = Object.values(settings).filter((name) => !shown.includes(name));
    for (const name of executing) {
      expect(['machine', 'machine-overridable'], name).toContain(properties[`midtrain.${name}`]!.scope);
    }
    const overridable = Object.keys(properties).filter((id) => properties[id]!.scope === 'machine-overridable');
    const { untrustedWorkspaces } = capabilities;
    expect(untrustedWorkspaces.supported).toBe('limited');
    expect(untrustedWorkspaces.description).not.toBe('');
    expect(untrustedWorkspaces.restrictedConfigurations.toSorted()).toEqual(overridable.sort());
  });
});

it('no id is written out where the code could name it', () => {
  const literal = new RegExp(
    `'(?:${[...Object.values(commands), ...Object.values(views)].join('|').replaceAll('.', '\\.')})'`,
  );
  const found = sources.filter(({ text }) => literal.test(text)).map(({ path }) => path);
  expect(found).toEqual([]);
});
