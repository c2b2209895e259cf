import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Output } from '../../src/cli/output.ts';
import { formatDuration, Meter, progressLine, type ProgressState } from '../../src/cli/progress.ts';

class Sink extends Writable {
  text = '';
  isTTY = false;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }

  get lines(): string[] {
    return this.text.split('\n').filter((line) => line !== '');
  }
}

function opened(json: boolean): { output: Output; stdout: Sink; stderr: Sink; clock: { now: number } } {
  const stdout = new Sink();
  const stderr = new Sink();
  const clock = { now: 0 };
  return { output: new Output({ json }, { stdout, stderr, now: () => clock.now }), stdout, stderr, clock };
}

const state = (done: number, total = 64): ProgressState => ({
  title: 'Evaluating',
  done,
  total,
  unit: 'samples',
  detail: '3 passed',
});

describe('what is piped', () => {
  it('gets a plain line now and then, results on stdout, the rest on stderr', () => {
    const { output, stdout, stderr, clock } = opened(false);
    for (clock.now = 0; clock.now <= 25; clock.now++) output.progress(state(clock.now));
    output.progress(state(64));
    output.progress(state(64));
    output.note('a note');
    output.result('evaluation', ['the score'], {});
    expect(stdout.lines).toEqual(['the score']);
    expect(stderr.lines).toEqual([
      'Evaluating: 0/64 · 0 % · 3 passed',
      'Evaluating: 10/64 · 15 % · 1.0/s · 54 s left · 3 passed',
      'Evaluating: 20/64 · 31 % · 1.0/s · 44 s left · 3 passed',
      'Evaluating: 64/64 · 100 % · 2.5/s · 3 passed',
      'a note',
    ]);
    expect(stderr.text).not.toContain('\u001b');
  });

  it('gets JSON lines on stdout and nothing else there', () => {
    const { output, stdout, stderr, clock } = opened(true);
    for (let i = 0; i <= 20; i++) {
      clock.now = i / 10;
      output.progress(state(i));
    }
    output.warning('careful');
    output.result('evaluation', ['the score'], { score: 1 });
    output.error('broken');
    const rows = stdout.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows.map(({ type }) => type)).toEqual(['progress', 'progress', 'progress', 'note', 'evaluation', 'error']);
    expect(rows[1]).toMatchObject({ done: 10, total: 64, unit: 'samples', rate: 10 });
    expect(rows[3]).toEqual({ type: 'note', level: 'warning', text: 'careful' });
    expect(stderr.lines).toEqual(['broken']);
  });
});

describe('a terminal', () => {
  it('gets one line that is drawn again, notes above it, and its last state kept', () => {
    vi.stubEnv('CI', '');
    vi.stubEnv('TERM', 'xterm');
    const stdout = new Sink();
    const stderr = Object.assign(new Sink(), {
      isTTY: true,
      columns: 80,
      cursorTo: vi.fn(),
      clearLine: vi.fn(),
      moveCursor: vi.fn(),
    });
    const output = new Output({ json: false }, { stdout, stderr, now: () => 0 });
    output.progress(state(16));
    output.progress(state(32));
    output.note('a note');
    output.result('x', ['the score'], {});
    vi.unstubAllEnvs();
    const lines = stripVTControlCharacters(stderr.text).split('\n');
    expect(lines.some((line) => line.endsWith('a note'))).toBe(true);
    expect(lines.at(-2)).toContain('Evaluating ██████████░░░░░░░░░░ 32/64 · 3 passed');
    expect(stderr.text.match(/32\/64/g)!.length).toBeGreaterThan(1);
    expect(stdout.lines).toEqual(['the score']);
  });

  it('of no width is treated as a pipe', () => {
    vi.stubEnv('CI', '');
    vi.stubEnv('TERM', 'xterm');
    const stderr = Object.assign(new Sink(), { isTTY: true, columns: 0 });
    new Output({ json: false }, { stdout: new Sink(), stderr, now: () => 0 }).progress(state(16));
    vi.unstubAllEnvs();
    expect(stderr.text).toBe('Evaluating: 16/64 · 25 % · 3 passed\n');
  });
});

describe('progress', () => {
  it('measures the rate of the last half minute, and not what was there before', () => {
    const meter = new Meter();
    expect(meter.rate(1000, 0)).toBeNull();
    for (let at = 1; at <= 60; at++) expect(meter.rate(1000 + at, at)).toBeCloseTo(1, 6);
    let rate: number | null = null;
    for (let at = 61; at <= 120; at++) rate = meter.rate(1060 + (at - 60) * 5, at);
    expect(rate).toBeCloseTo(5, 6);
    expect(meter.rate(0, 121)).toBeNull(); // something new has begun
  });

  it('never gives a rate below nothing, nor a line that is not one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1000), fc.double({ min: 0, max: 50, noNaN: true }))),
        fc.nat(2000),
        (steps, total) => {
          const meter = new Meter();
          let at = 0;
          for (const [done, wait] of steps) {
            at += wait;
            const rate = meter.rate(done, at);
            if (rate !== null) expect(rate).toBeGreaterThan(0);
            for (const bar of [true, false]) {
              expect(progressLine(state(done, total), rate, { bar })).toMatch(/^Evaluating[: ].*\d+\/\d+[^\n]*$/);
              expect(progressLine(state(done, total), rate, { bar })).not.toMatch(/NaN|Infinity|undefined/);
            }
          }
        },
      ),
    );
  });

  it('words bytes, slow rates and long times', () => {
    const bytes: ProgressState = { title: 'Fetching', done: 46_435_520, total: 92_871_040, unit: 'bytes' };
    expect(progressLine(bytes, 2e6, { bar: true })).toBe(
      'Fetching ██████████░░░░░░░░░░ 46.4 MB of 92.9 MB · 2.00 MB/s · 23 s left',
    );
    expect(progressLine(state(1), 0.1, { bar: false })).toBe(
      'Evaluating: 1/64 · 1 % · 6.0/min · 10 min 30 s left · 3 passed',
    );
    expect([0, 59.4, 60, 3599, 3600, 7500, -1].map(formatDuration)).toEqual([
      '0 s',
      '59 s',
      '1 min 0 s',
      '59 min 59 s',
      '1 h 0 min',
      '2 h 5 min',
      '0 s',
    ]);
  });
});
