/**
 * Accessibility of a page or a webview, by axe-core: WCAG 2.2, levels A and AA. Knows nothing of VS Code but that a webview
 * is a transparent frame.
 */
import axe from 'axe-core';
import type { Frame, Page } from 'playwright-core';

const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

export interface AccessibilityOptions {
  /** Checks only what is in this element (a CSS selector). */
  readonly within?: string;
  /** Names of axe's rules that are not checked. Say why where you use it. */
  readonly without?: readonly string[];
}

// What this file uses of a browser's globals, which are not part of the project's types.
interface Styled {
  readonly style: { backgroundColor: string };
  getBoundingClientRect(): { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
}
declare const document: { readonly documentElement: Styled; elementsFromPoint(x: number, y: number): Styled[] };
declare function getComputedStyle(element: Styled): { readonly backgroundColor: string };

/**
 * Throws an error that names every violation.
 *
 * @param frame from `ui.webview()`, or the page
 */
export async function assertA11y(frame: Frame | Page, options: AccessibilityOptions = {}): Promise<void> {
  await frame.evaluate(`${axe.source}; undefined`); // a content security policy does not hold for this
  let violations = await violationsIn(frame, options);
  // Colours change over some frames when a theme was chosen just now: what lasts is meant.
  for (let tries = 0; violations.length > 0 && tries < 3; tries += 1) {
    await frame.waitForTimeout(500);
    violations = await violationsIn(frame, options);
  }
  if (violations.length === 0) return;
  const lines = violations.flatMap(({ id, impact, help, nodes }) => [
    `${id} (${impact ?? 'unknown'}): ${help}`,
    ...nodes.map(
      ({ target, html, failureSummary = '' }) =>
        `    ${target.join(' ')}  ${html.slice(0, 200)}\n        ${failureSummary.replace(/\n\s*/g, ' ')}`,
    ),
  ]);
  throw new Error(`Not accessible:\n${lines.join('\n')}`);
}

async function violationsIn(
  frame: Frame | Page,
  { within, without = [] }: AccessibilityOptions,
): Promise<readonly axe.Result[]> {
  const options: axe.RunOptions = {
    runOnly: tags,
    rules: Object.fromEntries(without.map((rule) => [rule, { enabled: false }])),
    resultTypes: ['violations'],
  };
  const background = 'parentFrame' in frame ? await colourBehind(frame) : null;
  return frame.evaluate(
    async (asked): Promise<axe.Result[]> => {
      // axe takes what is transparent for white, so what is seen through the page is put under it meanwhile.
      const page = document.documentElement;
      const own = page.style.backgroundColor;
      const transparent = /^rgba\(.*, 0\)$/.test(getComputedStyle(page).backgroundColor);
      if (asked.background !== null && transparent) page.style.backgroundColor = asked.background;
      try {
        const { axe: checker } = globalThis as unknown as { readonly axe: typeof axe };
        return (await checker.run(asked.within ?? 'html', asked.options)).violations;
      } finally {
        page.style.backgroundColor = own;
      }
    },
    { options, within, background },
  );
}

/** The colour that shows through a webview, or null. */
async function colourBehind(frame: Frame): Promise<string | null> {
  let outermost = frame;
  for (let parent = frame.parentFrame(); parent?.parentFrame(); parent = parent.parentFrame()) outermost = parent;
  if (outermost.parentFrame() === null) return null;
  const element = await outermost.frameElement();
  return element.evaluate((iframe: Styled) => {
    const { x, y, width, height } = iframe.getBoundingClientRect();
    const colours = document
      .elementsFromPoint(x + width / 2, y + height / 2)
      .map((behind) => getComputedStyle(behind).backgroundColor);
    return colours.find((colour) => !/^rgba\(.*, 0\)$/.test(colour)) ?? null;
  });
}
