/**
 * `midtrain train CONFIG`: trains a model as the config says. The work is the runner's, in this process; this finds the
 * model, shows the progress and words the outcome. The same command goes on with an unfinished run.
 */
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { specIn } from '../../catalog/models.ts';
import { readTrainingConfig } from '../../midtraining/config.ts';
import type { MetricEvent, Phase, RunEvent } from '../../runner/events.ts';
import { linkRun, openRun, runName, runsFolder } from '../../runner/store.ts';
import type { TrainingOutcome } from '../../runner/types.ts';
import { executionConsent } from '../consent.ts';
import { type Context, needBenchmark, needModel, type Run } from '../context.ts';
import { estimateLines, estimateSummary } from '../estimateLines.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import {
  type CommonOptions,
  type ConsentOptions,
  pythonOption,
  withCommonOptions,
  withConsentOptions,
} from '../options.ts';
import type { Output } from '../output.ts';
import { previewLines, previewSummary } from '../previewLines.ts';
import { formatDuration } from '../progress.ts';
import { sandboxLayers } from '../sandbox.ts';

interface TrainOptions extends CommonOptions, ConsentOptions {
  readonly out?: string;
  readonly python?: string;
  readonly estimate: boolean;
  readonly preview: boolean;
}

export function addTrain(program: Command, run: Run): void {
  const command = program
    .command('train')
    .description('train a model as a run config says')
    .argument('<config>', 'a *.midtrain.json; {} in it runs with the defaults')
    .option('-o, --out <folder>', 'where the run is kept; the same folder goes on with an unfinished run')
    .option('--estimate', 'only say what it needs: memory, disk, and time by some steps taken', false)
    .option('--preview', 'only say what the data become: counts, tokens, what is left out and why', false)
    .addOption(pythonOption());
  withConsentOptions(withCommonOptions(command)).action(async (file: string, options: TrainOptions) => {
    await run(options, (context) => train(file, context, options));
  });
}

async function train(
  file: string,
  context: Context,
  { out, estimate, preview, python }: TrainOptions,
): Promise<ExitCode> {
  const { output } = context;
  const { name, config } = await readTrainingConfig(file);
  if (config.passAt1 !== null && !estimate && !preview) {
    await executionConsent(context, () => sandboxLayers(python === undefined ? {} : { python }));
    await needBenchmark(config.passAt1.benchmark, null, context);
  }
  const spec = await specIn(dirname(resolve(file)), config.model);
  const weightsOptional = config.initialWeights === 'random';
  const { path, label } = await needModel(spec, context, { weightsOptional });
  const request = { name, config, model: { path, spec, label }, python: python ?? null };
  const store = runsFolder();
  const tell = (text: string): void => {
    output.note(text);
  };
  if (preview) {
    output.note(`Reading the data of ${file}`);
    const { previewTraining } = await import('../../runner/trainingPreview.ts');
    const previewed = await previewTraining(request, { signal: context.signal, tell });
    const lines = previewLines(previewed);
    output.result('preview', lines, { ...previewed, lines, summary: previewSummary(previewed) });
    return exitCodes.ok;
  }
  if (estimate) {
    output.note(`Estimating ${file}`);
    const { estimateTraining } = await import('../../runner/trainingEstimate.ts');
    const estimated = await estimateTraining(request, { store, signal: context.signal, tell });
    const lines = estimateLines(estimated);
    output.result('estimate', lines, { ...estimated, lines, summary: estimateSummary(estimated) });
    return exitCodes.ok;
  }
  const folder = resolve(out ?? join(store, runName(request)));
  output.note(`Training ${label} by ${file}, run in ${folder}`);
  await openRun(folder, request);
  await linkRun(store, folder);
  const { trainOn } = await import('../../runner/work.ts');
  const outcome = await trainOn(folder, { onEvent: shower(output), signal: context.signal });
  output.result('training', outcomeLines(outcome), outcome);
  return outcome.status === 'stopped' ? exitCodes.interrupted : exitCodes.ok;
}

const phases: Partial<Record<Phase, string>> = {
  load: 'Loading the model.',
  prepare: 'Reading the data.',
  explore: 'E-step: q learns where to think.',
};

/** A listener that shows what a run tells. */
function shower(output: Output): (event: RunEvent) => void {
  return (event) => {
    if (event.type === 'phase') {
      const text = phases[event.phase];
      if (text !== undefined) output.note(text);
    } else if (event.type === 'note') {
      if (event.level === 'warning') output.warning(event.text);
      else output.note(event.text);
    } else if (event.type === 'control') {
      output.note(`${event.verb} (${event.client}): ${event.detail}`);
    } else if (event.type === 'metric') {
      const { step, steps, heldOutLoss, passAt1 } = event;
      const found = [
        ...(heldOutLoss === null ? [] : [`held-out loss ${heldOutLoss.toFixed(4)}`]),
        ...(passAt1 === undefined ? [] : [`${passAt1.passed} of ${passAt1.problems} programs right`]),
      ];
      if (found.length > 0) output.note(`Step ${step}: ${found.join(', ')}`);
      output.data(event);
      output.progress({ title: 'Training', done: step, total: steps, unit: 'steps', detail: detailOf(event) });
    } else if (event.type === 'e-step') {
      const { update, heldOut } = event;
      if (heldOut !== undefined) {
        const { returnWithout, returnNever, thinkRate } = heldOut;
        output.note(
          `Update ${update} of q: held-out return ${returnWithout.toFixed(2)}, never thinking ${returnNever.toFixed(2)}, thinks at ${(100 * thinkRate).toFixed(0)} % of the lines`,
        );
      }
      output.data(event);
    }
  };
}

function detailOf({ loss, learningRate, tokensPerSecond }: MetricEvent): string {
  if (loss === null || learningRate === null) return '';
  return `loss ${loss.toFixed(3)} · rate ${learningRate.toPrecision(2)} · ${tokensPerSecond.toFixed(0)} tokens/s`;
}

/** What a person reads at the end. */
export function outcomeLines(outcome: TrainingOutcome): string[] {
  const { steps, stepsAsked, tokens, loss, heldOutLoss, firstHeldOutLoss, seconds, modelFolder, folder } = outcome;
  const losses = [
    ...(loss === null ? [] : [`loss ${loss.toFixed(3)}`]),
    ...(heldOutLoss === null
      ? []
      : [
          `held-out loss ${firstHeldOutLoss === null ? '' : `${firstHeldOutLoss.toFixed(3)} → `}${heldOutLoss.toFixed(3)}`,
        ]),
  ];
  return [
    [`${steps} of ${stepsAsked} steps, ${tokens} tokens`, ...losses].join(', '),
    `${formatDuration(seconds.total)}: load ${formatDuration(seconds.load)}, data ${formatDuration(seconds.prepare)}, ` +
      (seconds.explore > 0 ? `E-steps ${formatDuration(seconds.explore)}, ` : '') +
      `training ${formatDuration(seconds.train)}, held-out loss ${formatDuration(seconds.evaluate)}, ` +
      `saving ${formatDuration(seconds.save)}; ${outcome.device}`,
    modelFolder === null ? `run      ${folder}` : `model    ${modelFolder}`,
    ...(outcome.status === 'stopped' ? ['Stopped before the end: the same command goes on from here.'] : []),
  ];
}
