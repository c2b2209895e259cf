/**
 * `midtrain doctor`: what was found on this machine, what is missing and how to mend it.
 */
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os';
import type { Command } from 'commander';
import { cacheFolder } from '../../catalog/cacheFolder.ts';
import { findBenchmark } from '../../catalog/datasets.ts';
import { freeBytes } from '../../catalog/disk.ts';
import { listModels, resolveBuiltIn } from '../../catalog/models.ts';
import { formatBytes } from '../../catalog/plan.ts';
import { findPythons, isRecent, pythonCommands } from '../../catalog/python.ts';
import { messageOf } from '../../errors.ts';
import { BENCHMARKS, benchmarkId } from '../../evaluation/benchmarks/index.ts';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, pythonOption, withCommonOptions } from '../options.ts';
import { sandboxLayers } from '../sandbox.ts';

/** `missing` keeps something from working, `note` is only worth knowing. */
export interface Finding {
  readonly topic: string;
  readonly status: 'ok' | 'note' | 'missing';
  readonly found: string;
  /** What to do about it, or ''. */
  readonly mend: string;
}

export function addDoctor(program: Command, run: Run): void {
  withCommonOptions(program.command('doctor'))
    .description('what was found, what is missing and how to mend it')
    .addOption(pythonOption())
    .action(async (options: CommonOptions & { python?: string }) => {
      await run(options, (context) => doctor(context, options));
    });
}

async function doctor({ output }: Context, options: { readonly python?: string }): Promise<ExitCode> {
  const findings = [
    ...machine(),
    ...(await runtime()),
    ...(await python(options.python)),
    ...(await sandbox(options)),
    ...(await storage()),
    ...(await data()),
  ];
  output.result('doctor', findings.flatMap(describe), { findings });
  return findings.some(({ status }) => status === 'missing') ? exitCodes.failed : exitCodes.ok;
}

/** Oldest Node that the package supports. */
const oldestNode = [20, 19] as const;

function machine(): Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const recent = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return [
    {
      topic: 'Node',
      status: recent ? 'ok' : 'missing',
      found: `${process.version} (${process.execPath})`,
      mend: recent ? '' : `Install Node ${oldestNode.join('.')} or later from nodejs.org.`,
    },
    { topic: 'System', status: 'ok', found: `${platform()} ${release()} ${arch()}`, mend: '' },
    { topic: 'Processor', status: 'ok', found: `${model}, ${availableParallelism()} threads to use`, mend: '' },
    { topic: 'Memory', status: 'ok', found: `${formatBytes(totalmem())}, ${formatBytes(freemem())} free`, mend: '' },
  ];
}

async function runtime(): Promise<Finding[]> {
  try {
    const ort = await import('onnxruntime-node');
    const all = ort.listSupportedBackends();
    const ready = all.filter(({ bundled }) => bundled).map(({ name }) => name);
    const rest = all.filter(({ bundled }) => !bundled).map(({ name }) => name);
    const providers = `${ready.join(', ')}${rest.length > 0 ? `; ${rest.join(', ')} where their own libraries are installed` : ''}`;
    return [
      {
        topic: 'ONNX Runtime',
        status: 'ok',
        found: `onnxruntime-node ${ort.env.versions.node ?? ort.env.versions.common}, providers offered: ${providers}`,
        mend: '',
      },
    ];
  } catch (error) {
    return [
      {
        topic: 'ONNX Runtime',
        status: 'missing',
        found: `onnxruntime-node does not load: ${messageOf(error).split('\n')[0] ?? ''}`,
        mend: 'Run "npm ci" in the folder of midtrain. It has builds for Linux x64 and arm64, macOS arm64, Windows x64 and arm64.',
      },
    ];
  }
}

async function python(chosen: string | undefined): Promise<Finding[]> {
  const commands = chosen === undefined ? pythonCommands() : pythonCommands({ MIDTRAIN_PYTHON: chosen });
  const found = await findPythons(commands);
  if (found.length === 0) {
    return [
      {
        topic: 'Python',
        status: 'missing',
        found: `none (tried ${commands.map((command) => command.join(' ')).join(', ')})`,
        mend: 'Install Python 3.9 or later, or set MIDTRAIN_PYTHON to its path. Without it models can be sampled but not scored.',
      },
    ];
  }
  return found.map(({ version, executable, pip }): Finding => {
    const recent = isRecent(version);
    return {
      topic: 'Python',
      status: !recent ? 'missing' : pip === null ? 'note' : 'ok',
      found: `${version} (${executable}), ${pip === null ? 'no pip' : `pip ${pip}`}`,
      mend: !recent
        ? 'Install Python 3.9 or later, or set MIDTRAIN_PYTHON to its path.'
        : pip === null
          ? `To fetch the starter model run "${executable} -m ensurepip --user".`
          : '',
    };
  });
}

async function sandbox(options: { readonly python?: string }): Promise<Finding[]> {
  try {
    const layers = await sandboxLayers(options);
    return layers.map(({ name, inForce, detail }) => ({
      topic: 'Sandbox',
      status: inForce ? 'ok' : 'note',
      found: inForce ? `${name}: ${detail}` : `no ${name}`,
      mend: inForce ? '' : detail,
    }));
  } catch (error) {
    return [{ topic: 'Sandbox', status: 'missing', found: 'programs cannot be run', mend: messageOf(error) }];
  }
}

/** Less free space than the starter model needs while it is unpacked. */
const littleSpace = 400e6;

async function storage(): Promise<Finding[]> {
  const home = cacheFolder();
  const free = await freeBytes(home);
  const little = free !== null && free < littleSpace;
  return [
    {
      topic: 'Cache',
      status: little ? 'note' : 'ok',
      found: `${home}, ${free === null ? 'free space not known' : `${formatBytes(free)} free`}`,
      mend: little ? 'Make room there, or set MIDTRAIN_HOME to a folder on a larger disk.' : '',
    },
  ];
}

async function data(): Promise<Finding[]> {
  const models = [await resolveBuiltIn(), ...(await listModels())];
  const findings: Finding[] = models.map(({ spec, bytes }) => ({
    topic: 'Model',
    status: 'ok',
    found: `${spec}, ${formatBytes(bytes)}`,
    mend: '',
  }));
  for (const name of Object.keys(BENCHMARKS)) {
    const found = await findBenchmark(benchmarkId(name), null);
    findings.push({
      topic: 'Data set',
      status: found === null ? 'note' : 'ok',
      found: found === null ? `${name} not here yet` : `${name}: ${found.path}`,
      mend: found === null ? '"midtrain evaluate" fetches it when it is first needed; --data takes a file.' : '',
    });
  }
  return findings;
}

const marks = { ok: 'ok     ', note: 'note   ', missing: 'MISSING' } as const;

/** Lines for one finding. */
export function describe({ topic, status, found, mend }: Finding): string[] {
  const line = `${marks[status]}  ${topic.padEnd(12)}  ${found}`;
  return mend === '' ? [line] : [line, `${' '.repeat(23)}-> ${mend}`];
}
