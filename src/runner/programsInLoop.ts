/**
 * A small pass@1 while a model is trained: one greedy program for each of the first problems of a benchmark, asked and judged
 * as `midtrain evaluate` does, so that both give the same verdicts. Knows nothing of training or of events.
 */
import { availableParallelism } from 'node:os';
import type { Completion } from '../engine/generation/types.ts';
import type { ModelSource } from '../engine/model.ts';
import type { Tokenizer } from '../engine/text/tokenizer.ts';
import { UserError } from '../errors.ts';
import { loadBenchmark } from '../evaluation/benchmarks/index.ts';
import { selectProblems } from '../evaluation/benchmarks/benchmark.ts';
import { evaluateSamples } from '../evaluation/evaluateSamples.ts';
import { createNativeExecutor, findPython } from '../evaluation/executor/native.ts';
import { extract, sampleOf } from '../evaluation/extraction.ts';
import { defaultProtocol, type Protocol } from '../evaluation/protocols.ts';
import { rowOfSample, type SampleRow } from '../evaluation/sampleFiles.ts';
import type { Problem, Verdict } from '../evaluation/types.ts';
import type { PassAt1Config } from '../midtraining/config.ts';
import { promptTokens } from './evaluationJob.ts';
import type { LivePrompt } from './liveModel.ts';

/** What was written for a problem, and what came of it. */
export interface JudgedProgram {
  readonly taskId: string;
  readonly prompt: string;
  readonly completion: string;
  readonly verdict: Verdict;
}

export class ProgramsInLoop {
  /** One for each problem, in the benchmark's order. */
  readonly prompts: readonly LivePrompt[];
  readonly #problems: readonly Problem[];
  readonly #protocol: Protocol;
  readonly #python: string | null;

  private constructor(
    problems: readonly Problem[],
    protocol: Protocol,
    prompts: readonly LivePrompt[],
    python: string | null,
  ) {
    this.#problems = problems;
    this.#protocol = protocol;
    this.prompts = prompts;
    this.#python = python;
  }

  /**
   * @param path the benchmark's file
   * @param python a command or a path; null: looked for
   * @throws UserError: no Python is found, the file is broken, a prompt is longer than the model's context
   */
  static async open(
    { benchmark: id, problems: count }: PassAt1Config,
    path: string,
    { config, tokenizer: definition }: ModelSource,
    tokenizer: Tokenizer,
    python: string | null,
  ): Promise<ProgramsInLoop> {
    await findPython(python ?? undefined);
    const benchmark = await loadBenchmark(id, path);
    const protocol = defaultProtocol(id, definition.chatTemplate !== null);
    const problems = selectProblems(benchmark).slice(0, count);
    const prompts = problems.map((problem): LivePrompt => {
      const prompt = promptTokens(protocol, problem, benchmark.problems, definition, tokenizer);
      if (prompt.length >= config.contextLength) {
        throw new UserError(
          `The prompt of ${problem.taskId} has ${prompt.length} tokens, and the model takes ${config.contextLength}. ` +
            'Ask for fewer problems in "passAt1", or leave it out.',
        );
      }
      const request = {
        ...{ id: problem.taskId, prompt, samples: [0], stop: protocol.stop, seed: 0 },
        maxTokens: Math.min(protocol.defaults.maxTokens, config.contextLength - prompt.length),
        ...{ temperature: 0, topP: 1, topK: 0, minP: 0 },
      };
      return { taskId: problem.taskId, prompt: problem.prompt, request };
    });
    return new ProgramsInLoop(problems, protocol, prompts, python);
  }

  /**
   * Judges what was written, while it comes. In the order of the problems.
   * @throws UserError when programs cannot be run; the signal's reason when it is aborted
   */
  async judge(completions: AsyncIterable<Completion>, signal: AbortSignal): Promise<JudgedProgram[]> {
    const workers = Math.min(availableParallelism(), this.#problems.length);
    const python = this.#python === null ? {} : { python: this.#python };
    const executor = await createNativeExecutor({ workers, strict: false, ...python });
    const written = new Map<string, string>();
    const problemOf = (id: string): Problem => this.#problems.find(({ taskId }) => taskId === id)!;
    const samples = async function* (protocol: Protocol): AsyncGenerator<SampleRow> {
      for await (const { id, text } of completions) {
        written.set(id, text);
        const problem = problemOf(id);
        const sample = sampleOf(problem, 0, extract(protocol, problem, text));
        yield { ...sample, row: rowOfSample(sample) };
      }
    };
    try {
      const verdicts = new Map<string, Verdict>();
      const judged = evaluateSamples({
        ...{ problems: this.#problems, samples: samples(this.#protocol), executor, signal },
        ...{ limits: this.#protocol.defaults, concurrency: workers },
      });
      for await (const { scored } of judged) verdicts.set(scored.taskId, scored.verdict);
      return this.#problems.map(({ taskId, prompt }) => ({
        ...{ taskId, prompt, completion: written.get(taskId)!, verdict: verdicts.get(taskId)! },
      }));
    } finally {
      await executor.close();
    }
  }
}
