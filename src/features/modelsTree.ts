/**
 * The Models view: what is here, what can be fetched, and their commands.
 */
import * as vscode from 'vscode';
import { removeModel, type ResolvedModel, resolveModel } from '../catalog/models.ts';
import { formatBytes, type FetchOptions } from '../catalog/plan.ts';
import { commands, items, settings, views } from '../contributions.ts';
import { UserError } from '../errors.ts';
import { addModel, forgetModel } from './addModel.ts';
import { findModel, type KnownModel, knownModels } from './catalog.ts';
import { type Midtrain, register } from './context.ts';
import { modelDescription, needDownloadConsent } from './evaluate.ts';
import { factsTooltip, spoken } from './rowText.ts';
import { readSettings, section } from './settings.ts';
import { mayHaveFetched } from '../runner/state.ts';

export function activateModelsTree(midtrain: Midtrain): void {
  const tree = new ModelsTree();
  midtrain.extension.subscriptions.push(
    vscode.window.createTreeView(views.models, { treeDataProvider: tree }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      const changed = [settings.models, settings.cacheFolder].some((name) =>
        event.affectsConfiguration(`${section}.${name}`),
      );
      if (changed) tree.refresh();
    }),
    midtrain.onDidChangeRuns((run) => {
      if (run !== null && mayHaveFetched(run.state)) tree.refresh(); // a run may have fetched its model
    }),
  );
  register(midtrain, commands.refresh, async () => {
    tree.refresh();
    await midtrain.runs.refresh();
  });
  register(midtrain, commands.addModel, async () => {
    await addModel();
    tree.refresh();
  });
  register(midtrain, commands.getModel, async (argument?: unknown) => {
    const model = await chosenModel(argument, 'Fetch which model?', ({ canFetch }) => canFetch);
    await fetchedModel(model.spec);
    tree.refresh();
  });
  register(midtrain, commands.removeModel, async (argument?: unknown) => {
    const model = await chosenModel(
      argument,
      'Remove which model?',
      ({ origin }) => origin === 'named' || origin === 'cached',
    );
    await remove(model);
    tree.refresh();
  });
}

/** The model's files, fetched where they are not here and the user agrees. @throws CancellationError; UserError */
export async function fetchedModel(spec: string): Promise<ResolvedModel> {
  const { here, plan } = await findModel(spec);
  if (plan === null) return here;
  await needDownloadConsent([plan]);
  const home = readSettings().cacheFolder;
  return fetching(`Fetching ${plan.what}`, (options) =>
    resolveModel(spec, { home, consent: () => Promise.resolve(true), ...options }),
  );
}

async function remove({ label, spec, origin, folder, bytes }: KnownModel): Promise<void> {
  if (origin === 'named') {
    await forgetModel(spec);
    return;
  }
  if (folder === null) return;
  const yes = 'Remove';
  const detail = `${bytes === null ? 'Its files' : formatBytes(bytes)} in ${folder} are deleted. It can be fetched again.`;
  const answer = await vscode.window.showWarningMessage(`Remove ${label}?`, { modal: true, detail }, yes);
  if (answer === yes) await removeModel({ folder }, readSettings().cacheFolder);
}

async function chosenModel(
  argument: unknown,
  title: string,
  which: (model: KnownModel) => boolean,
): Promise<KnownModel> {
  const known = (await knownModels()).filter(which);
  const spec = (argument as Partial<KnownModel> | undefined)?.spec;
  const asked = known.find((model) => model.spec === spec);
  if (asked !== undefined) return asked;
  if (known.length === 0) throw new UserError('There is no such model. The Models view shows what is here.');
  const picked = await vscode.window.showQuickPick(
    known.map((model) => ({ model, label: model.label, description: modelDescription(model) })),
    { title },
  );
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.model;
}

/** Shows how far a download is, with a way to stop it; what was fetched is kept and gone on with. */
export async function fetching<T>(title: string, work: (options: FetchOptions) => Promise<T>): Promise<T> {
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    async (progress, token) => {
      const stop = new AbortController();
      token.onCancellationRequested(() => {
        stop.abort(new vscode.CancellationError());
      });
      let before = 0;
      return work({
        signal: stop.signal,
        onProgress: (done, total) => {
          const part = total === 0 ? 0 : (100 * done) / total;
          progress.report({ increment: part - before, message: `${formatBytes(done)} of ${formatBytes(total)}` });
          before = part;
        },
      });
    },
  );
}

class ModelsTree implements vscode.TreeDataProvider<KnownModel> {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  refresh(): void {
    this.#changed.fire(undefined);
  }

  async getChildren(model?: KnownModel): Promise<KnownModel[]> {
    return model === undefined ? knownModels() : [];
  }

  getTreeItem(model: KnownModel): vscode.TreeItem {
    const { label, spec, path, canFetch, origin, bytes, licence, checksum } = model;
    const item = new vscode.TreeItem(label);
    item.id = spec;
    item.description = modelDescription(model);
    item.iconPath = new vscode.ThemeIcon(path !== null ? 'symbol-class' : canFetch ? 'cloud-download' : 'warning');
    if (origin === 'named') item.contextValue = canFetch ? items.modelNamedAbsent : items.modelNamed;
    else if (origin === 'built in') item.contextValue = items.modelBuiltIn;
    else item.contextValue = canFetch ? items.modelAbsent : items.model;
    item.tooltip = factsTooltip(label, {
      name: spec,
      where: path ?? (canFetch ? 'not here yet' : 'not found: it was moved or removed'),
      size: bytes === null ? null : formatBytes(bytes),
      licence,
      hash: checksum,
    });
    item.accessibilityInformation = { label: spoken(label, item.description) };
    return item;
  }
}
