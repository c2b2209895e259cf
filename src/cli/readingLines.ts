/**
 * How a reading of code is printed: each row of code with its line's P(think) and surprise before it, and where a latent comes
 * into force a row with it and its gain. Knows nothing of how it came about.
 */
import type { CodeReading, LineReading } from '../midtraining/abstractions/reading.ts';
import { segmentsOf } from '../midtraining/abstractions/latents.ts';
import { summarize } from '../midtraining/abstractions/statistics.ts';

export function readingLines(reading: CodeReading): string[] {
  const { code, lines, tokens } = reading;
  const latents = lines.map(({ latent }) => latent?.text ?? null);
  const taus = new Map(segmentsOf(latents).map(({ from, tau }) => [from, tau]));
  const printed = ['P(think)  nats'];
  let at = 0; // rows above the first line of code, and between, are part of what follows
  lines.forEach((line, i) => {
    const tau = taus.get(i)!;
    if (line.latent !== null) {
      const { text, gain } = line.latent;
      const worth = `${signed(gain)} nats over ${tau} ${tau === 1 ? 'line' : 'lines'}`;
      const indent = ' '.repeat(/^\s*/.exec(code.slice(line.from, line.to))![0].length);
      const rows = text.split('\n');
      printed.push(
        ...rows.map((row, r) => `${rule(17)}┬─ ${indent}${row}${r === rows.length - 1 ? `   ${worth}` : ''}`),
      );
    }
    const rows = code
      .slice(at, line.to)
      .replace(/\r\n?|\n/g, '\n')
      .replace(/\n$/, '')
      .split('\n');
    at = line.to;
    const own = rows.length - line.rows;
    printed.push(...rows.map((row, r) => `${(r === own ? figures(line) : '').padEnd(17)}│ ${row}`.trimEnd()));
  });
  const rest = code.slice(at);
  if (rest.trim() !== '')
    printed.push(
      ...rest
        .trimEnd()
        .split(/\r\n?|\n/)
        .map((row) => `${' '.repeat(17)}│ ${row}`.trimEnd()),
    );
  return [...printed, '', `${summaryOf(reading, latents)}, ${tokens.length} tokens`];
}

function figures({ thinkProbability, logProbability }: LineReading): string {
  const think = thinkProbability === null ? '' : thinkProbability.toFixed(3);
  return `${think.padStart(8)}  ${(-logProbability).toFixed(1).padStart(5)}`;
}

function summaryOf({ lines, model, hasError }: CodeReading, latents: readonly (string | null)[]): string {
  const { thinks, thinkRate, meanTau } = summarize([{ latents }]);
  const nats = lines.reduce((sum, { logProbability }) => sum - logProbability, 0);
  const without = lines.reduce((sum, line) => sum - line.without, 0);
  const of = model.step === null ? model.name : `${model.name}, step ${model.step}`;
  const told =
    thinks === 0
      ? 'no latent'
      : `${thinks} latents (think rate ${thinkRate.toFixed(2)}, E[tau] ${meanTau.toFixed(1)} lines) worth ${signed(without - nats)} nats`;
  const error = hasError ? 'The text has syntax errors. ' : '';
  return `${error}${of}: ${nats.toFixed(1)} nats for ${lines.length} lines of code, ${told}`;
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`;
}

function rule(width: number): string {
  return '─'.repeat(width);
}
