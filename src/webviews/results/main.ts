/** The results panel's script. */
import { themeColours } from '../codeStyles.ts';
import './app.ts';

const sheet = new CSSStyleSheet();
sheet.replaceSync(`html, body { height: 100%; margin: 0; padding: 0; overflow: auto; }\n${themeColours}`);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
