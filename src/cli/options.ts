/**
 * Reads the values of options. What is wrong with one is said by commander, with exit status 2.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { SamplingSettings } from '../engine/generation/types.ts';
import type { PrecisionChoice } from '../engine/languageModel.ts';
import { type DeviceChoice, devices } from '../runner/types.ts';

/** A whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`);
  };
}

/** A number from `least` to `most`, both allowed. */
export function numberBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d*)?$|^\.\d+$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      most === Infinity ? `It must be a number of at least ${least}.` : `It must be a number from ${least} to ${most}.`,
    );
  };
}

/** Seconds, more than nothing. */
export function seconds(text: string): number {
  const value = numberBetween(0, 86_400)(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be more than 0 seconds.');
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json: boolean;
}

export function withCommonOptions(command: Command): Command {
  return command.option('--json', 'one JSON object a line on stdout instead of text', false);
}

/** Options of every command that may fetch something or run programs. */
export interface ConsentOptions {
  readonly yes: boolean;
}

export function withConsentOptions(command: Command): Command {
  return command.option('-y, --yes', 'agree to downloads and to running model-written programs', false);
}

export function pythonOption(): Option {
  return new Option('--python <command>', 'the Python that runs the programs').env('MIDTRAIN_PYTHON');
}

/** Options of every command that samples a model. */
export interface SamplingOptions extends SamplingSettings {
  readonly samples: number;
  readonly seed: number;
  readonly device: DeviceChoice;
  readonly precision: PrecisionChoice;
  readonly threads?: number;
}

/** Where and how a model is computed. */
export function withEngineOptions(command: Command): Command {
  return command
    .addOption(new Option('-d, --device <name>', 'where it is computed').choices(devices).default('auto'))
    .addOption(
      new Option('--precision <name>', 'how weights are held; auto: int8 where the file is quantised, else fp32')
        .choices(['auto', 'fp32', 'fp16', 'int8', 'int4'])
        .default('auto'),
    )
    .option('--threads <count>', 'threads of the engine', wholeNumber(1));
}

export function withSamplingOptions(command: Command, samplesOf: string): Command {
  const sampling = command
    .option('-n, --samples <count>', `samples of ${samplesOf}`, wholeNumber(1), 1)
    .option('-t, --temperature <number>', '0 is greedy', numberBetween(0, 100), 0)
    .option('--top-p <share>', 'nucleus sampling; 1 is off', numberBetween(0, 1), 1)
    .option('--top-k <count>', 'only the k likeliest tokens; 0 is off', wholeNumber(0), 0)
    .option(
      '--min-p <share>',
      "only tokens with this share of the likeliest one's probability; 0 is off",
      numberBetween(0, 1),
      0,
    )
    .option('--seed <number>', 'the same seed gives the same samples', wholeNumber(0), 0);
  return withEngineOptions(sampling);
}
