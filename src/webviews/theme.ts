/** The theme's colours for what is drawn on a canvas, and when they change. */

/** A custom property of the theme, with what stands in where a theme lacks it. */
export type ThemeColour = readonly [property: string, otherwise: string];

/** @returns the colour as it is now */
export function themeColour([property, otherwise]: ThemeColour): string {
  return getComputedStyle(document.body).getPropertyValue(property).trim() || otherwise;
}

export const ink: ThemeColour = ['--vscode-foreground', '#808080'];

/** @param size in CSS pixels */
export function themeFont(size: number): string {
  return `${size}px ${themeColour(['--vscode-font-family', 'sans-serif'])}`;
}

/** Calls `changed` whenever another theme was chosen. */
export function themeObserver(changed: () => void): Pick<MutationObserver, 'disconnect'> & { observe(): void } {
  const observer = new MutationObserver(changed);
  return {
    observe: () => {
      observer.observe(document.body, { attributes: true, attributeFilter: ['class', 'data-vscode-theme-id'] });
    },
    disconnect: () => {
      observer.disconnect();
    },
  };
}
