/**
 * Colours of code in the webviews for each kind of theme, near those of VS Code's own themes and readable on their editors'
 * backgrounds. High contrast themes get fewer colours. Also the shades of token probabilities: five, told apart by a line
 * below the token too. And the colours of latents and of the figures at each line.
 */
import { css } from 'lit';

export const codeStyles = css`
  .k-keyword,
  .k-constant {
    color: var(--mt-keyword);
  }
  .k-control {
    color: var(--mt-control);
  }
  .k-string {
    color: var(--mt-string);
  }
  .k-number {
    color: var(--mt-number);
  }
  .k-comment {
    color: var(--mt-comment);
  }
  .k-function {
    color: var(--mt-function);
  }
  .k-class {
    color: var(--mt-class);
  }
  .k-name {
    color: var(--mt-name);
  }
  .p1 {
    background: color-mix(in srgb, var(--mt-shade) 12%, transparent);
  }
  .p2 {
    background: color-mix(in srgb, var(--mt-shade) 20%, transparent);
    box-shadow: inset 0 -1px var(--mt-shade-line);
  }
  .p3 {
    background: color-mix(in srgb, var(--mt-shade) 28%, transparent);
    box-shadow: inset 0 -2px var(--mt-shade-line);
  }
  .p4 {
    background: color-mix(in srgb, var(--mt-shade) 36%, transparent);
    box-shadow: inset 0 -3px var(--mt-shade-line);
  }
  /* On a shade, plain text is readable and coloured text is not always. */
  .shaded :is(.p2, .p3, .p4) span {
    color: var(--vscode-editor-foreground);
  }
`;

/** For the document: custom properties reach into every shadow tree. */
export const themeColours = `
  body {
    --mt-keyword: #569cd6; --mt-control: #c586c0; --mt-string: #ce9178; --mt-number: #b5cea8; --mt-comment: #7aa868;
    --mt-function: #dcdcaa; --mt-class: #4ec9b0; --mt-name: #9cdcfe; --mt-shade: #d18616; --mt-shade-line: #e2a33a;
    --mt-latent: #7fd6c2; --mt-think: #b180d7; --mt-entropy: #4a9eff; --mt-surprise: #e08b2a; --mt-rule: #8a8a8a;
  }
  body.vscode-light {
    --mt-keyword: #0000ff; --mt-control: #9b1fb1; --mt-string: #a31515; --mt-number: #086b46; --mt-comment: #006a00;
    --mt-function: #6b5215; --mt-class: #1f6a7f; --mt-name: #001080; --mt-shade: #e07b00; --mt-shade-line: #b35900;
    --mt-latent: #006b5b; --mt-think: #7b3fb0; --mt-entropy: #0066c4; --mt-surprise: #c25e00; --mt-rule: #767676;
  }
  body.vscode-high-contrast {
    --mt-keyword: #6cb6ff; --mt-control: #e394dc; --mt-string: #f0a48a; --mt-number: #c5e6b5; --mt-comment: #8fd07a;
    --mt-function: #ecec9b; --mt-class: #5ee0c8; --mt-name: #b3e5ff; --mt-shade: #ffb000; --mt-shade-line: #ffb000;
    --mt-latent: #7df0d8; --mt-think: #d9a6ff; --mt-entropy: #6cb6ff; --mt-surprise: #ffb000; --mt-rule: #6fc3df;
  }
  body.vscode-high-contrast-light {
    --mt-keyword: #0000c8; --mt-control: #7a1290; --mt-string: #8a0f0f; --mt-number: #04492f; --mt-comment: #004d00;
    --mt-function: #4d3a0c; --mt-class: #134a5a; --mt-name: #000b5c; --mt-shade: #e07b00; --mt-shade-line: #7a3d00;
    --mt-latent: #004d41; --mt-think: #5b1f8f; --mt-entropy: #00458a; --mt-surprise: #8a3f00; --mt-rule: #0f4a85;
  }
  /* High contrast themes have no colour for these heads; what stands in for it is a dark theme's. */
  body:is(.vscode-high-contrast, .vscode-high-contrast-light) {
    --vscode-sideBarSectionHeader-background: transparent;
    --vscode-sideBarTitle-foreground: var(--vscode-foreground);
  }
`;
