/**
 * Where a program failed, read from Python's traceback. The candidate and its check have files of their own there, as the
 * executor names them (src/evaluation/executor/python/runner.py).
 */
export interface FailingLines {
  /** Line of the innermost frame in each, from 1; null where the traceback has none there. */
  readonly candidate: number | null;
  readonly check: number | null;
}

const FRAME = /^\s*File "<(candidate|check)>", line (\d+)/gm;

export function failingLines(traceback: string): FailingLines {
  const found: { candidate: number | null; check: number | null } = { candidate: null, check: null };
  for (const [, file, line] of traceback.matchAll(FRAME)) {
    found[file as 'candidate' | 'check'] = Number(line);
  }
  return found;
}
