/** The form's script. */
import './app.ts';

const sheet = new CSSStyleSheet();
sheet.replaceSync('html, body { margin: 0; padding: 0; }');
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
