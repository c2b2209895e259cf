/**
 * The Benchmarks view: which data sets are here, which can be fetched, and their commands.
 */
import * as vscode from 'vscode';
import { cachedBenchmark, removeBenchmark, resolveBenchmark } from '../catalog/datasets.ts';
import { formatBytes } from '../catalog/plan.ts';
import { commands, items, views } from '../contributions.ts';
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { findData } from './catalog.ts';
import { type Midtrain, register } from './context.ts';
import { needDownloadConsent } from './evaluate.ts';
import { fetching } from './modelsTree.ts';
import { factsTooltip, spoken } from './rowText.ts';
import { readSettings } from './settings.ts';
import { mayHaveFetched } from '../runner/state.ts';

/** A row: plain data, as commands get it. */
interface Row {
  readonly benchmark: BenchmarkId;
}

export function activateBenchmarksTree(midtrain: Midtrain): void {
  const tree = new BenchmarksTree();
  midtrain.extension.subscriptions.push(
    vscode.window.createTreeView(views.benchmarks, { treeDataProvider: tree }),
    midtrain.onDidChangeRuns((run) => {
      if (run !== null && mayHaveFetched(run.state)) tree.refresh(); // a run may have fetched its data
    }),
  );
  register(midtrain, commands.getBenchmark, async (argument?: unknown) => {
    const id = await chosen(argument, 'Fetch which benchmark?');
    const { plan } = await findData(id);
    if (plan !== null) {
      await needDownloadConsent([plan]);
      const home = readSettings().cacheFolder;
      await fetching(`Fetching ${BENCHMARKS[id].title}`, (options) =>
        resolveBenchmark(id, null, { home, consent: () => Promise.resolve(true), ...options }),
      );
    }
    tree.refresh();
  });
  register(midtrain, commands.removeBenchmark, async (argument?: unknown) => {
    const id = await chosen(argument, 'Remove which benchmark?', ({ id }) => id !== 'starter');
    await removeBenchmark(id, readSettings().cacheFolder);
    tree.refresh();
  });
}

async function chosen(
  argument: unknown,
  title: string,
  which: (benchmark: { readonly id: BenchmarkId }) => boolean = () => true,
): Promise<BenchmarkId> {
  const given = (argument as Partial<Row> | undefined)?.benchmark;
  if (given !== undefined && given in BENCHMARKS) return given;
  const rows = Object.values(BENCHMARKS)
    .filter(which)
    .map(({ id, title: label }) => ({ id, label }));
  const picked = await vscode.window.showQuickPick(rows, { title });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.id;
}

class BenchmarksTree implements vscode.TreeDataProvider<Row> {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  refresh(): void {
    this.#changed.fire(undefined);
  }

  getChildren(row?: Row): Row[] {
    return row === undefined ? Object.values(BENCHMARKS).map(({ id }) => ({ benchmark: id })) : [];
  }

  async getTreeItem({ benchmark }: Row): Promise<vscode.TreeItem> {
    const { title, size } = BENCHMARKS[benchmark];
    const { cacheFolder } = readSettings();
    const [found, record] = await Promise.all([findData(benchmark), cachedBenchmark(benchmark, cacheFolder)]);
    const file = record?.files[0];
    const item = new vscode.TreeItem(title);
    item.id = benchmark;
    const own = benchmark === 'starter' ? 'built in' : 'a file of yours';
    const state = found.here === null ? 'not here yet' : file === undefined ? own : formatBytes(file.bytes);
    item.description = `${size} problems · ${state}`;
    item.iconPath = new vscode.ThemeIcon(found.here === null ? 'cloud-download' : 'checklist');
    item.contextValue = found.here === null ? items.benchmarkAbsent : file === undefined ? 'own' : items.benchmark;
    item.tooltip = factsTooltip(title, {
      where: found.here ?? 'not here yet',
      size: file === undefined ? null : formatBytes(file.bytes),
      licence: record?.licence ?? null,
      hash: file?.checksum ?? null,
    });
    item.accessibilityInformation = { label: spoken(title, item.description) };
    return item;
  }
}
