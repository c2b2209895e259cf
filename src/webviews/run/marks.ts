/**
 * What was done to the run, as marks along the axis: each kind has a shape of its own, and says what it was on hover and
 * focus. Those that would cover each other are one.
 */
import { html, svg, type SVGTemplateResult, type TemplateResult } from 'lit';
import type { Mark } from './messages.ts';

type Kind = Mark['kind'];

export const markTitles: Readonly<Record<Kind, string>> = {
  pause: 'Paused',
  release: 'Paused, memory released',
  resume: 'Went on',
  stop: 'Stopped',
  'stop-and-save': 'Stopped and saved',
  checkpoint: 'Checkpoint',
  sample: 'Sampled',
  set: 'Set',
  resumed: 'Resumed',
  failed: 'Failed',
};

const shapes: Readonly<Record<Kind, SVGTemplateResult>> = {
  pause: svg`<path d="M5.5 4v8M10.5 4v8" />`,
  release: svg`<path d="M5 3v6M9 3v6M3 13h10M13 3v6" />`,
  resume: svg`<path d="M5 3.5v9l7-4.5z" />`,
  stop: svg`<path d="M4 4h8v8H4z" />`,
  'stop-and-save': svg`<path d="M4 3h8v6H4zM3 13h10" />`,
  checkpoint: svg`<path d="M4 14V3h8l-2 3 2 3H4" />`,
  sample: svg`<path d="M4 3h8v10H4zM6 6h4M6 8.5h4" />`,
  set: svg`<path d="M8 3v10M4 6l4-3 4 3" />`,
  resumed: svg`<path d="M12.5 8a4.5 4.5 0 1 1-1.5-3.4M11 2v3H8" />`,
  failed: svg`<path d="m4 4 8 8m0-8-8 8" />`,
};

/** Those that changed the curve, or ended it. */
export function isWeighty({ kind }: Mark): boolean {
  return kind === 'set' || kind === 'resumed' || kind === 'failed';
}

export function markIcon(kind: Kind): TemplateResult {
  return html`<svg
    viewBox="0 0 16 16"
    width="16"
    height="16"
    aria-hidden="true"
    fill="none"
    stroke="currentColor"
    stroke-width="1.75"
    stroke-linecap="round"
    stroke-linejoin="round"
  >
    ${shapes[kind]}
  </svg>`;
}

/** `Step 40, set by …` */
export function markWords({ step, kind, text }: Mark): string {
  return `Step ${step}. ${markTitles[kind]}: ${text}`;
}

export interface MarkGroup {
  /** From the left edge of the drawn part, in CSS pixels. */
  readonly left: number;
  readonly marks: readonly Mark[];
}

/** What a button of the row says; that of several begins with their number, which is what it shows. */
export function groupWords({ marks }: MarkGroup): string {
  return [...(marks.length > 1 ? [`${marks.length} marks.`] : []), ...marks.map(markWords)].join(' ');
}

/** A button's width, and the least distance between the middles of two. */
export const MARK_PIXELS = 26;

/** Marks with where they are, from left to right, together where they would cover each other. */
export function groupsOf(placed: readonly { readonly mark: Mark; readonly left: number }[]): MarkGroup[] {
  const groups: { left: number; marks: Mark[] }[] = [];
  for (const { mark, left } of [...placed].sort((a, b) => a.left - b.left)) {
    const last = groups.at(-1);
    if (last !== undefined && left - last.left < MARK_PIXELS) last.marks.push(mark);
    else groups.push({ left, marks: [mark] });
  }
  return groups;
}
