/** What every panel's page needs outside its element: no margins, and the colours of code. */
import { themeColours } from './codeStyles.ts';

export function preparePage(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`html, body { height: 100%; margin: 0; padding: 0; overflow: auto; }\n${themeColours}`);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}
