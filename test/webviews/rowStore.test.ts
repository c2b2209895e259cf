/** The rows of the results panel: what is sent in pieces is there whole, and the order is that of a plain sort. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type RowsMessage, VERDICTS } from '../../src/webviews/results/messages.ts';
import { type Row, RowStore, type SortKey } from '../../src/webviews/results/rowStore.ts';

type PlainRow = Omit<Row, 'number'>;

/** Messages as the extension sends them: rows in pieces, words in lists that grow. */
class Sender {
  readonly #tasks: string[] = [];
  readonly #reasons: string[] = [];
  #sent = 0;

  message(rows: readonly PlainRow[], first = this.#sent, reset = this.#sent === 0): RowsMessage {
    const newTasks: string[] = [];
    const newReasons: string[] = [];
    const place = (list: string[], added: string[], text: string): number => {
      if (!list.includes(text)) added.push(list[list.push(text) - 1]!);
      return list.indexOf(text);
    };
    this.#sent = Math.max(this.#sent, first + rows.length);
    return {
      type: 'rows',
      reset,
      numbers: Uint32Array.from(rows, (_, i) => first + i),
      tasks: Uint32Array.from(rows, ({ taskId }) => place(this.#tasks, newTasks, taskId)),
      samples: Uint32Array.from(rows, ({ sample }) => sample),
      verdicts: Uint8Array.from(rows, ({ verdict }) => VERDICTS.indexOf(verdict)),
      reasons: Uint32Array.from(rows, ({ reason }) => place(this.#reasons, newReasons, reason)),
      wallSeconds: Float32Array.from(rows, ({ wallSeconds }) => wallSeconds),
      cpuSeconds: Float32Array.from(rows, ({ cpuSeconds }) => cpuSeconds),
      newTasks,
      newReasons,
    };
  }
}

const seconds = fc.oneof(fc.float({ min: 0, max: 10, noNaN: true }), fc.constant(NaN));
const plainRow: fc.Arbitrary<PlainRow> = fc.record({
  taskId: fc.integer({ min: 0, max: 30 }).map((i) => `HumanEval/${i}`),
  sample: fc.integer({ min: 0, max: 3 }),
  verdict: fc.constantFrom(...VERDICTS),
  reason: fc.constantFrom('', 'AssertionError', "name 'x' is not defined"),
  wallSeconds: seconds,
  cpuSeconds: seconds,
});
const rowsArbitrary = fc.uniqueArray(plainRow, {
  maxLength: 80,
  selector: ({ taskId, sample }) => `${taskId}#${sample}`,
});

const everything = { verdicts: [], search: '', sort: { by: 'task', descending: false } } as const;

function filled(rows: readonly PlainRow[], pieces: number): RowStore {
  const store = new RowStore();
  const sender = new Sender();
  for (let start = 0; start < rows.length; start += pieces) {
    expect(store.apply(sender.message(rows.slice(start, start + pieces)))).toBe(true);
  }
  return store;
}

describe('rows', () => {
  it('are what was sent, in whatever pieces', () => {
    fc.assert(
      fc.property(rowsArbitrary, fc.integer({ min: 1, max: 40 }), (rows, pieces) => {
        const store = filled(rows, pieces);
        expect(store.count).toBe(rows.length);
        rows.forEach((row, number) => {
          expect(store.row(number)).toEqual({ number, ...row });
          expect(store.find(row.taskId, row.sample)).toBe(number);
        });
        expect(store.find('HumanEval/99', 0)).toBeNull();
      }),
    );
  });

  it('that come again replace the earlier ones; a reset forgets all', () => {
    const sender = new Sender();
    const store = new RowStore();
    const row = (verdict: PlainRow['verdict']): PlainRow => ({
      taskId: 'a',
      sample: 0,
      verdict,
      reason: '',
      wallSeconds: 1,
      cpuSeconds: 1,
    });
    store.apply(sender.message([row('harness error')]));
    store.apply(sender.message([row('passed')], 0));
    expect(store.count).toBe(1);
    expect(store.row(0).verdict).toBe('passed');
    store.apply(new Sender().message([], 0, true));
    expect(store.count).toBe(0);
  });

  it('that do not fit are passed over, and harm nothing', () => {
    const sender = new Sender();
    const rows: PlainRow[] = [
      { taskId: 'a', sample: 0, verdict: 'passed', reason: '', wallSeconds: 1, cpuSeconds: 1 },
      { taskId: 'b', sample: 0, verdict: 'failed', reason: 'x', wallSeconds: 1, cpuSeconds: 1 },
    ];
    const store = new RowStore();
    store.apply(sender.message(rows));
    const good = sender.message(rows, 0);
    const wrong: Partial<RowsMessage>[] = [
      { numbers: new Uint32Array(1) },
      { numbers: Uint32Array.of(0, 4_000_000_000) },
      { tasks: Uint32Array.of(0, 2) },
      { reasons: Uint32Array.of(7, 0) },
      { verdicts: Uint8Array.of(6, 0) },
      { reset: true },
    ];
    for (const change of wrong) expect(store.apply({ ...good, ...change })).toBe(false);
    expect([0, 1].map((number) => store.row(number).taskId)).toEqual(['a', 'b']);
  });
});

describe('the order', () => {
  it('is that of a plain sort and filter', () => {
    const number = (by: SortKey) => (row: PlainRow) =>
      by === 'sample'
        ? row.sample
        : by === 'wall'
          ? row.wallSeconds
          : by === 'cpu'
            ? row.cpuSeconds
            : VERDICTS.indexOf(row.verdict);
    fc.assert(
      fc.property(
        rowsArbitrary,
        fc.constantFrom<SortKey>('sample', 'wall', 'cpu', 'verdict'),
        fc.boolean(),
        fc.subarray([...VERDICTS]),
        fc.constantFrom('', ' EVAL/1', 'name'),
        (rows, by, descending, verdicts, search) => {
          const words = search.trim().toLowerCase();
          const taskNumber = (row: PlainRow): number => Number(row.taskId.split('/')[1]);
          const value = number(by);
          const expected = rows
            .map((row, i) => ({ row, i }))
            .filter(({ row }) => verdicts.length === 0 || verdicts.includes(row.verdict))
            .filter(({ row }) => row.taskId.toLowerCase().includes(words) || row.reason.toLowerCase().includes(words))
            .sort((a, b) => {
              const tie = taskNumber(a.row) - taskNumber(b.row) || a.row.sample - b.row.sample;
              const [left, right] = [value(a.row), value(b.row)];
              if (Number.isNaN(left) || Number.isNaN(right))
                return Number(Number.isNaN(left)) - Number(Number.isNaN(right)) || tie;
              return (descending ? right - left : left - right) || tie;
            })
            .map(({ i }) => i);
          expect([...filled(rows, 7).select({ verdicts, search, sort: { by, descending } })]).toEqual(expected);
        },
      ),
    );
  });

  it('takes numbers in the ids of tasks for numbers', () => {
    const rows = [10, 9, 100, 1].map((i) => ({
      taskId: `HumanEval/${i}`,
      sample: 0,
      verdict: 'passed' as const,
      reason: '',
      wallSeconds: 0,
      cpuSeconds: 0,
    }));
    const store = filled(rows, 4);
    const names = [...store.select(everything)].map((number) => store.row(number).taskId);
    expect(names).toEqual(['HumanEval/1', 'HumanEval/9', 'HumanEval/10', 'HumanEval/100']);
  });

  it('leads from failure to failure, round and round', () => {
    const rows = ['passed', 'failed', 'passed', 'timed out'].map((verdict, i) => ({
      taskId: `t/${i}`,
      sample: 0,
      verdict: verdict as PlainRow['verdict'],
      reason: '',
      wallSeconds: 0,
      cpuSeconds: 0,
    }));
    const store = filled(rows, 4);
    const order = store.select(everything);
    expect([-1, 0, 1, 2, 3].map((place) => store.nextFailure(order, place, 1))).toEqual([1, 1, 3, 3, 1]);
    expect([-1, 0, 1, 2, 3].map((place) => store.nextFailure(order, place, -1))).toEqual([3, 3, 3, 1, 1]);
    expect(filled(rows.slice(0, 1), 1).nextFailure(Uint32Array.of(0), 0, 1)).toBeNull();
    expect(store.nextFailure(new Uint32Array(), -1, 1)).toBeNull();
  });
});
