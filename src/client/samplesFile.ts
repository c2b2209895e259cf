/**
 * Finds a sample's row in `samples.jsonl`, whose rows are large: the file is read no further than the sample looked for, and
 * of each row on the way only its task and number are read, not the whole of it. Knows nothing of results or of VS Code.
 */
import { runPaths } from '../runner/runFolder.ts';
import { GrowingLines, type PlacedLine, readPlaced } from './growingLines.ts';

// A quote within a JSON string is escaped, so neither of these matches inside of one.
const TASK = /[{,]\s*"task_id"\s*:\s*("(?:[^"\\]|\\.)*")/;
const SAMPLE = /[{,]\s*"sample"\s*:\s*(\d+)\s*[,}]/;
/** Where the task's id is looked for: it is the first field of our rows. */
const HEAD_BYTES = 4096;

export class SamplesFile {
  readonly #lines: GrowingLines;
  readonly #places = new Map<string, Omit<PlacedLine, 'bytes'>>();
  readonly #seen = new Map<string, number>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param folder of the run */
  constructor(folder: string) {
    this.#lines = new GrowingLines(runPaths(folder).samples);
  }

  /**
   * The row as it was parsed; null where the file has none, or is not there.
   * @throws the system's error when it cannot be read
   */
  find(taskId: string, sample: number): Promise<Readonly<Record<string, unknown>> | null> {
    const found = this.#last.then(() => this.#find(taskId, sample));
    this.#last = found.catch(() => undefined);
    return found;
  }

  async #find(taskId: string, sample: number): Promise<Readonly<Record<string, unknown>> | null> {
    const key = `${taskId}#${sample}`;
    if (await this.#lines.wasReplaced()) {
      this.#lines.restart();
      this.#places.clear();
      this.#seen.clear();
    }
    if (!this.#places.has(key)) {
      for await (const lines of this.#lines.read()) {
        for (const line of lines) this.#add(line);
        if (this.#places.has(key)) break;
      }
    }
    const place = this.#places.get(key);
    if (place === undefined) return null;
    const row = parse((await readPlaced(this.#lines.path, place)).toString('utf8'));
    return isRow(row) && row['task_id'] === taskId && (row['sample'] ?? sample) === sample ? row : null;
  }

  #add({ offset, length, bytes }: PlacedLine): void {
    if (bytes === null) return;
    const quoted = TASK.exec(bytes.toString('utf8', 0, HEAD_BYTES))?.[1];
    const taskId = quoted === undefined ? null : parse(quoted);
    if (typeof taskId !== 'string') return;
    const seen = this.#seen.get(taskId) ?? 0;
    this.#seen.set(taskId, seen + 1);
    const sample = Number(SAMPLE.exec(bytes.toString('latin1'))?.[1] ?? seen);
    this.#places.set(`${taskId}#${sample}`, { offset, length });
  }
}

function isRow(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
