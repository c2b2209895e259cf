/** What is said of the line or token that the pointer or the focus is on. */
import { html, nothing, type TemplateResult } from 'lit';
import { percentOf, visible } from '../probability.ts';
import { figuresOf, gain, mostSurprising, nats, percent, unitOf } from './figures.ts';
import type { Layout } from './layout.ts';
import type { Granularity } from './messages.ts';
import type { Focus } from './movement.ts';

export function detailsView(layout: Layout, focus: Focus | null, granularity: Granularity): TemplateResult {
  if (focus === null || layout.reading.lines[focus.line] === undefined) {
    return html`<p class="dim">
      Point at a line, or step through the code with the arrow keys: its segment, latent and figures show here.
    </p>`;
  }
  const { reading, segments, segmentOf } = layout;
  const unit = unitOf(layout, focus.line, granularity);
  const line = reading.lines[focus.line]!;
  const segment = segments[segmentOf[focus.line]!]!;
  const { tokens, think, entropy, surprise, logProbability, without } = figuresOf(reading, unit);
  const shown = focus.token ?? mostSurprising(reading, line);
  return html`
    <div class="of-line">
      <p><strong>${unitWords(layout, focus, granularity)}</strong> <span class="dim">${tokens} tokens</span></p>
      <dl>
        ${fact('Segment', `${segmentOf[focus.line]! + 1} of ${segments.length}, ${linesWords(layout, segment)}, τ = ${segment.to - segment.from}`)}
        ${fact('Latent', segment.latent === null ? 'none: before the first' : html`<span class="latent">${segment.latent.text}</span>`)}
        ${
          segment.latent === null
            ? nothing
            : fact(
                'Its worth',
                `${gain(segment.latent.gain)} nats over its lines; ${segment.latent.tokens} tokens${segment.latent.logProbability === null ? '' : `, log q ${nats(segment.latent.logProbability)}`}`,
              )
        }
        ${fact('P(think)', think === null ? 'no latent may go here' : percent(think))}
        ${fact('log pi', `${nats(logProbability)} with latents, ${nats(without)} without: ${gain(logProbability - without)} nats`)}
        ${fact('A token', entropy === null ? '–' : `entropy ${nats(entropy)}, surprise ${nats(surprise!)} nats on average`)}
        ${fact('Context', `${line.contextTokens} tokens`)}
      </dl>
    </div>
    ${shown === null ? nothing : tokenView(layout, shown, focus.token !== null)}
  `;
}

function tokenView({ reading }: Layout, token: number, isFocused: boolean): TemplateResult {
  const { from, to, logProbability, without, entropy, alternatives } = reading.tokens[token]!;
  const text = reading.code.slice(from, to);
  return html`
    <div class="of-token">
      <p>
        ${isFocused ? 'Token' : 'Most surprising token'} <strong class="name">${visible(text)}</strong>
        ${logProbability === null ? html`<span class="dim">nothing precedes it</span>` : percentOf(logProbability)}
      </p>
      ${
        logProbability === null
          ? nothing
          : html`<p>
              log pi
              ${nats(logProbability)}${without === null ? '' : `, ${nats(without)} without latents: ${gain(logProbability - without)} nats`}${entropy === null ? '' : `; entropy ${nats(entropy)} nats`}
            </p>`
      }
      <table aria-label="Likeliest tokens here">
        ${alternatives.slice(0, 5).map(
          (one) =>
            html`<tr class=${one.text === text ? 'chosen' : ''}>
              <td class="name">${visible(one.text)}</td>
              <td class="number">${percentOf(one.logProbability)}</td>
              <td>
                <meter
                  min="0"
                  max="1"
                  .value=${Math.exp(one.logProbability)}
                  aria-label=${percentOf(one.logProbability)}
                ></meter>
              </td>
            </tr>`,
        )}
      </table>
    </div>
  `;
}

function fact(name: string, value: string | TemplateResult): TemplateResult {
  return html`<dt>${name}</dt>
    <dd>${value}</dd>`;
}

function unitWords(layout: Layout, { line }: Focus, granularity: Granularity): string {
  const unit = unitOf(layout, line, granularity);
  const words = linesWords(layout, unit);
  if (granularity === 'segment') return `Segment, ${words}`;
  if (granularity === 'statement') return `Statement, ${words}`;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** `line 3`, `lines 3 to 7`, as an editor numbers the rows. */
function linesWords({ reading }: Layout, { from, to }: { readonly from: number; readonly to: number }): string {
  const first = reading.lines[from]!.row + 1;
  const last = reading.lines[to - 1]!.row + reading.lines[to - 1]!.rows;
  return first === last ? `line ${first}` : `lines ${first} to ${last}`;
}

/** The same in a sentence for a screen reader. */
export function spoken(layout: Layout, focus: Focus, granularity: Granularity): string {
  const { reading, segments, segmentOf } = layout;
  const number = segmentOf[focus.line]!;
  if (focus.token !== null) {
    const { from, to, logProbability, alternatives } = reading.tokens[focus.token]!;
    const likeliest = alternatives.slice(0, 3).map((one) => `${visible(one.text)} ${percentOf(one.logProbability)}`);
    const how = logProbability === null ? 'nothing precedes it' : percentOf(logProbability);
    return `${visible(reading.code.slice(from, to))}, ${how}. Likeliest: ${likeliest.join(', ')}`;
  }
  const { think, surprise } = figuresOf(reading, unitOf(layout, focus.line, granularity));
  const latent = segments[number]!.latent;
  return [
    unitWords(layout, focus, granularity),
    `segment ${number + 1}`,
    latent === null ? 'no latent' : latent.text,
    think === null ? '' : `P(think) ${percent(think)}`,
    surprise === null ? '' : `surprise ${nats(surprise)} nats a token`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}
