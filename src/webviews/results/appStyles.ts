/** How the results panel looks. Every colour is the theme's. */
import { css } from 'lit';
import { codeStyles } from '../codeStyles.ts';
import { panelStyles } from '../panelStyles.ts';

export const appStyles = [
  codeStyles,
  panelStyles,
  css`
    main {
      box-sizing: border-box;
      height: 100%;
      min-height: 520px;
      display: flex;
      flex-direction: column;
      gap: 8px;
      padding: 10px 14px 0;
    }
    .filters,
    .chips,
    .shading,
    .verdict {
      display: flex;
      flex-wrap: wrap;
      gap: 6px;
      align-items: center;
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
    .chip:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
      outline-offset: 1px;
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
    mark {
      background: color-mix(in srgb, var(--vscode-testing-iconFailed, red) 22%, transparent);
      color: inherit;
      font-weight: 600;
    }
  `,
];
