/**
 * The rows of the results in columns, and the order in which the table shows them: filtered, searched and sorted. 200,000
 * rows take some five megabytes. Pure; knows nothing of browsers.
 */
import { type RowsMessage, type Saved, VERDICTS } from './messages.ts';

export type SortKey = Saved['sort']['by'];

export interface Selection {
  /** Shown verdicts; empty: all. */
  readonly verdicts: readonly (typeof VERDICTS)[number][];
  /** In the task's id or the reason, whatever the case. */
  readonly search: string;
  readonly sort: Saved['sort'];
}

export interface Row {
  readonly number: number;
  readonly taskId: string;
  readonly sample: number;
  readonly verdict: (typeof VERDICTS)[number];
  readonly reason: string;
  /** NaN where they are not known. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

type Column = Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

const PASSED = VERDICTS.indexOf('passed');
const collator = new Intl.Collator('en', { numeric: true });

export class RowStore {
  #count = 0;
  #mostSample = 0;
  #tasks: string[] = [];
  #reasons: string[] = [];
  #task = new Uint32Array(1024);
  #sample = new Uint32Array(1024);
  #verdict = new Uint8Array(1024);
  #reason = new Uint32Array(1024);
  #wall = new Float32Array(1024);
  #cpu = new Float32Array(1024);

  get count(): number {
    return this.#count;
  }

  /** Whether any problem has more than one sample. */
  get hasSeveralSamples(): boolean {
    return this.#mostSample > 0;
  }

  /** Takes rows over. A message that does not fit in itself or behind the others is passed over. @returns whether it was taken */
  apply(message: RowsMessage): boolean {
    const { reset, numbers, tasks, samples, verdicts, reasons, wallSeconds, cpuSeconds } = message;
    const knownTasks = (reset ? 0 : this.#tasks.length) + message.newTasks.length;
    const knownReasons = (reset ? 0 : this.#reasons.length) + message.newReasons.length;
    const { length } = numbers;
    if ([tasks, samples, verdicts, reasons, wallSeconds, cpuSeconds].some((column) => column.length !== length))
      return false;
    const count = numbers.reduce((most, number) => Math.max(most, number + 1), reset ? 0 : this.#count);
    if (count > (reset ? 0 : this.#count) + length) return false; // it would leave a gap
    if (tasks.some((task) => task >= knownTasks) || reasons.some((reason) => reason >= knownReasons)) return false;
    if (verdicts.some((verdict) => verdict >= VERDICTS.length)) return false;
    if (reset) {
      this.#tasks = [];
      this.#reasons = [];
      this.#mostSample = 0;
    }
    for (const task of message.newTasks) this.#tasks.push(task);
    for (const reason of message.newReasons) this.#reasons.push(reason);
    this.#count = count;
    this.#grow();
    for (let i = 0; i < length; i += 1) {
      const number = numbers[i]!;
      this.#task[number] = tasks[i]!;
      this.#sample[number] = samples[i]!;
      this.#mostSample = Math.max(this.#mostSample, samples[i]!);
      this.#verdict[number] = verdicts[i]!;
      this.#reason[number] = reasons[i]!;
      this.#wall[number] = wallSeconds[i]!;
      this.#cpu[number] = cpuSeconds[i]!;
    }
    return true;
  }

  row(number: number): Row {
    return {
      number,
      taskId: this.#tasks[this.#task[number]!]!,
      sample: this.#sample[number]!,
      verdict: VERDICTS[this.#verdict[number]!]!,
      reason: this.#reasons[this.#reason[number]!]!,
      wallSeconds: this.#wall[number]!,
      cpuSeconds: this.#cpu[number]!,
    };
  }

  /** Number of a sample's row; null where there is none. */
  find(taskId: string, sample: number): number | null {
    const task = this.#tasks.indexOf(taskId);
    for (let number = 0; task >= 0 && number < this.#count; number += 1) {
      if (this.#task[number] === task && this.#sample[number] === sample) return number;
    }
    return null;
  }

  /** Numbers of the rows to be shown, in their order. */
  select({ verdicts, search, sort }: Selection): Uint32Array {
    const words = search.trim().toLowerCase();
    const holds = (text: string): boolean => text.toLowerCase().includes(words);
    const tasks = words === '' ? null : this.#tasks.map(holds);
    const reasons = words === '' ? null : this.#reasons.map(holds);
    const shown = VERDICTS.map((verdict) => verdicts.length === 0 || verdicts.includes(verdict));
    const order = new Uint32Array(this.#count);
    let length = 0;
    for (let number = 0; number < this.#count; number += 1) {
      if (shown[this.#verdict[number]!] !== true) continue;
      if (tasks !== null && !tasks[this.#task[number]!] && !reasons![this.#reason[number]!]) continue;
      order[length] = number;
      length += 1;
    }
    return order.subarray(0, length).sort(this.#comparison(sort));
  }

  /** Place in `order` of the next row behind `place` that has not passed, going round; null where there is none. */
  nextFailure(order: Uint32Array, place: number, step: 1 | -1): number | null {
    const { length } = order;
    const first = place < 0 && step < 0 ? length : place;
    for (let gone = 1; gone <= length; gone += 1) {
      const at = (((first + step * gone) % length) + length) % length;
      if (this.#verdict[order[at]!] !== PASSED) return at;
    }
    return null;
  }

  /** What is not known comes last, whichever way round. Ties go by task and sample. */
  #comparison({ by, descending }: Saved['sort']): (a: number, b: number) => number {
    const rank = ranks(this.#tasks);
    const sign = descending ? -1 : 1;
    const tie = (a: number, b: number): number =>
      rank[this.#task[a]!]! - rank[this.#task[b]!]! || this.#sample[a]! - this.#sample[b]!;
    const byNumber =
      (column: Column) =>
      (a: number, b: number): number => {
        const [left, right] = [column[a]!, column[b]!];
        if (left === right) return tie(a, b);
        if (Number.isNaN(left) || Number.isNaN(right)) {
          return Number(Number.isNaN(left)) - Number(Number.isNaN(right)) || tie(a, b);
        }
        return sign * (left - right);
      };
    switch (by) {
      case 'task':
        return (a, b) => sign * tie(a, b);
      case 'sample':
        return byNumber(this.#sample);
      case 'verdict':
        return byNumber(this.#verdict);
      case 'wall':
        return byNumber(this.#wall);
      case 'cpu':
        return byNumber(this.#cpu);
      case 'reason': {
        const reasons = ranks(this.#reasons);
        return (a, b) => sign * (reasons[this.#reason[a]!]! - reasons[this.#reason[b]!]!) || tie(a, b);
      }
    }
  }

  #grow(): void {
    if (this.#count <= this.#task.length) return;
    const size = 2 ** Math.ceil(Math.log2(this.#count));
    const grown = <T extends Column>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.#task = grown(this.#task, new Uint32Array(size));
    this.#sample = grown(this.#sample, new Uint32Array(size));
    this.#verdict = grown(this.#verdict, new Uint8Array(size));
    this.#reason = grown(this.#reason, new Uint32Array(size));
    this.#wall = grown(this.#wall, new Float32Array(size));
    this.#cpu = grown(this.#cpu, new Float32Array(size));
  }
}

/** Place of each text in their order; numbers in them count as numbers. */
function ranks(texts: readonly string[]): Uint32Array {
  const sorted = texts.map((_, i) => i).sort((a, b) => collator.compare(texts[a]!, texts[b]!));
  const result = new Uint32Array(texts.length);
  sorted.forEach((text, place) => {
    result[text] = place;
  });
  return result;
}
