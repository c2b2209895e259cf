/**
 * The command line of `midtrain`: which commands there are, and what becomes of their outcomes and errors.
 * Knows nothing of what the commands do.
 */
import { Command, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { UserError } from '../errors.ts';
import { addCompare } from './commands/compare.ts';
import { addControl } from './commands/control.ts';
import { addDoctor } from './commands/doctor.ts';
import { addEvaluate } from './commands/evaluate.ts';
import { addExport } from './commands/export.ts';
import { addModels } from './commands/models.ts';
import { addRollouts } from './commands/rollouts.ts';
import { addRunner } from './commands/runner.ts';
import { addSample } from './commands/sample.ts';
import { addScore } from './commands/score.ts';
import { addStudy } from './commands/study.ts';
import { addTrain } from './commands/train.ts';
import { StoppedError } from '../runner/control.ts';
import { createContext, type Run } from './context.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exitCodes.ts';
import { InterruptedError } from './interrupt.ts';
import type { Output } from './output.ts';

/** Runs one command line, without `node` and the script, and gives its exit status. */
export async function runCommandLine(args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = exitCodes.ok;
  const run: Run = async (options, work) => {
    const context = createContext(options);
    try {
      code = await work(context);
    } catch (error) {
      code = explain(error, context.output);
    } finally {
      context.output.close();
    }
  };
  const program = new Command('midtrain')
    .description('Evaluates and trains code models on your own machine through ONNX Runtime.')
    .version(packageJson.version)
    .showHelpAfterError('("midtrain help" lists the commands, "midtrain help COMMAND" its options)')
    .addHelpText('after', `\n${exitCodesHelp}`)
    .exitOverride();
  const runs = [addEvaluate, addTrain, addStudy, addControl, addExport];
  for (const add of [...runs, addScore, addCompare, addSample, addModels, addDoctor, addRunner]) add(program, run);
  addRollouts(program);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // commander has said what it had to say.
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  return code;
}

function explain(error: unknown, output: Output): ExitCode {
  if (error instanceof InterruptedError || error instanceof StoppedError) {
    output.error('Stopped.');
    return exitCodes.interrupted;
  }
  if (error instanceof UserError) output.error(error.message);
  else {
    const log = error instanceof Error ? (error.stack ?? error.message) : String(error);
    output.error(`This is a defect of midtrain; please report it with this log:\n${log}`);
  }
  return exitCodes.failed;
}
