/** How the results panel looks. Every colour is the theme's. */
import { css } from 'lit';
import { codeStyles } from '../codeStyles.ts';

export const appStyles = [
  codeStyles,
  css`
    :host {
      display: block;
      height: 100vh;
      color: var(--vscode-foreground);
      font-family: var(--vscode-font-family);
      font-size: var(--vscode-font-size);
    }
    main {
      box-sizing: border-box;
      height: 100%;
      min-height: 520px;
      display: flex;
      flex-direction: column;
      gap: 8px;
      padding: 10px 14px 0;
    }
    .gone {
      min-height: 0;
      padding: 24px;
    }
    h1 {
      font-size: 1.35em;
      font-weight: 600;
      margin: 0;
    }
    h2 {
      font-size: 1.15em;
      font-weight: 600;
      margin: 0;
    }
    h3 {
      font-size: 1em;
      font-weight: 600;
      margin: 10px 0 4px;
    }
    p {
      margin: 4px 0;
    }
    .title,
    .actions,
    .filters,
    .chips,
    .shading,
    .verdict {
      display: flex;
      flex-wrap: wrap;
      gap: 6px;
      align-items: center;
    }
    .title {
      justify-content: space-between;
    }
    .dim {
      color: var(--vscode-descriptionForeground);
      font-weight: normal;
    }
    .figures {
      display: flex;
      flex-wrap: wrap;
      gap: 8px 32px;
      align-items: center;
    }
    .score {
      flex: 1 1 220px;
    }
    midtrain-verdict-chart {
      flex: 2 1 400px;
      max-width: 620px;
    }
    .pass {
      display: flex;
      flex-wrap: wrap;
      gap: 0 8px;
      align-items: baseline;
    }
    .pass .value {
      font-size: 1.9em;
      font-weight: 600;
      font-variant-numeric: tabular-nums;
    }
    .pass + .pass .value {
      font-size: 1.2em;
    }
    progress {
      width: 100%;
      height: 4px;
      accent-color: var(--vscode-progressBar-background);
    }
    .error,
    .note {
      white-space: pre-wrap;
      margin: 4px 0;
      padding: 6px 8px;
      border-left: 3px solid var(--vscode-editorWarning-foreground);
      background: var(--vscode-textBlockQuote-background);
      color: var(--vscode-foreground);
      max-height: 140px;
      overflow: auto;
    }
    .error {
      border-left-color: var(--vscode-editorError-foreground);
    }
    .facts {
      display: grid;
      grid-template-columns: max-content 1fr;
      gap: 2px 16px;
      margin: 4px 12px;
      max-height: 200px;
      overflow: auto;
    }
    .facts dt {
      color: var(--vscode-descriptionForeground);
    }
    .facts dd {
      margin: 0;
      min-width: 0;
    }
    .fact {
      overflow-wrap: anywhere;
      font-family: var(--vscode-editor-font-family, monospace);
    }
    .link {
      all: unset;
      cursor: pointer;
      color: var(--vscode-textLink-foreground);
      text-decoration: underline;
      margin-left: 8px;
    }
    .link:focus-visible,
    .chip:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
      outline-offset: 1px;
    }
    .notes {
      margin: 4px 12px;
      padding-left: 16px;
      max-height: 160px;
      overflow: auto;
    }
    vscode-textfield {
      width: 230px;
    }
    .chip {
      all: unset;
      display: inline-flex;
      gap: 4px;
      align-items: center;
      padding: 2px 8px;
      border-radius: 12px;
      cursor: pointer;
      border: 1px solid var(--vscode-contrastBorder, var(--vscode-panel-border));
    }
    .chip:hover {
      background: var(--vscode-toolbar-hoverBackground);
    }
    .chip[aria-pressed='true'] {
      background: var(--vscode-inputOption-activeBackground);
      color: var(--vscode-inputOption-activeForeground);
      border-color: var(--vscode-inputOption-activeBorder);
      text-decoration: underline;
    }
    .count {
      font-variant-numeric: tabular-nums;
    }
    vscode-split-layout {
      flex: 1;
      min-height: 0;
      border: none;
      border-top: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    }
    .pane {
      box-sizing: border-box;
      height: 100%;
      min-height: 0;
    }
    .scrolls {
      overflow: auto;
      padding: 8px 4px 16px 12px;
    }
    .hint {
      padding: 16px;
      color: var(--vscode-descriptionForeground);
    }
    .detail {
      display: flex;
      flex-direction: column;
      gap: 2px;
    }
    .detail > .actions {
      margin: 6px 0;
    }
    .shading {
      justify-content: space-between;
      padding: 6px 0;
    }
    .legend {
      display: flex;
      flex-wrap: wrap;
      gap: 4px 12px;
      list-style: none;
      margin: 0;
      padding: 0;
    }
    .swatch {
      font-family: var(--vscode-editor-font-family, monospace);
      padding: 0 3px;
    }
    pre {
      margin: 0;
      padding: 8px;
      overflow: auto;
      font-family: var(--vscode-editor-font-family, monospace);
      font-size: var(--vscode-editor-font-size, 13px);
      background: var(--vscode-textCodeBlock-background);
      color: var(--vscode-editor-foreground);
      white-space: pre-wrap;
    }
    mark {
      background: color-mix(in srgb, var(--vscode-testing-iconFailed, red) 22%, transparent);
      color: inherit;
      font-weight: 600;
    }
  `,
];
