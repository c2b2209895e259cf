/**
 * Where a program failed, read from Python's traceback. The candidate and its check have files of their own there, as the
 * executor names them (src/evaluation/executor/python/runner.py).
 */
export interface FailingLines {
  /** Line of the innermost frame in each, from 1; null where the traceback has none there. */
  readonly candidate: number | null;
  readonly check: number | null;
  /** In which of them the innermost frame is. */
  readonly innermost: 'candidate' | 'check' | null;
}

const FRAME = /^\s*File "<(candidate|check)>", line (\d+)/gm;

export function failingLines(traceback: string): FailingLines {
  const found: { -readonly [Key in keyof FailingLines]: FailingLines[Key] } = {
    candidate: null,
    check: null,
    innermost: null,
  };
  for (const [, file, line] of traceback.matchAll(FRAME)) {
    found.innermost = file as 'candidate' | 'check';
    found[found.innermost] = Number(line);
  }
  return found;
}
