/** How the abstractions panel looks, beyond what all panels have in common. Every colour is the theme's. */
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
      min-height: 480px;
      display: flex;
      flex-direction: column;
      gap: 6px;
      padding: 8px 12px 0;
    }
    .tools,
    .tools label,
    .chips,
    .search,
    .choices,
    .choices label,
    .group,
    .links {
      display: flex;
      flex-wrap: wrap;
      gap: 4px 8px;
      align-items: center;
    }
    .tools {
      gap: 4px 16px;
      padding-bottom: 6px;
      border-bottom: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    }
    .chips {
      gap: 4px;
    }
    .chip {
      all: unset;
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
    .chip:focus-visible,
    .latent-row:focus-visible,
    textarea:focus-visible,
    select:focus-visible,
    .details:focus-visible,
    input:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
      outline-offset: 1px;
    }
    vscode-textfield {
      width: 190px;
    }
    input[type='range'] {
      width: 110px;
      height: 24px;
      accent-color: var(--vscode-focusBorder, var(--vscode-foreground));
    }
    select {
      font: inherit;
      color: var(--vscode-dropdown-foreground, var(--vscode-foreground));
      background: var(--vscode-dropdown-background, var(--vscode-editor-background));
      border: 1px solid var(--vscode-dropdown-border, var(--vscode-contrastBorder, transparent));
      padding: 2px 4px;
      min-height: 24px;
    }
    .number {
      font-variant-numeric: tabular-nums;
      white-space: nowrap;
    }
    .links .link,
    .link.first {
      margin-left: 0;
    }
    .links {
      gap: 2px 12px;
    }
    .sides {
      flex: 1;
      min-height: 0;
      display: grid;
      grid-template-columns: minmax(0, 1fr);
      grid-template-rows: minmax(0, 1fr);
    }
    .sides.two {
      grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
    }
    .side {
      min-width: 0;
      min-height: 0;
      display: flex;
      flex-direction: column;
      gap: 6px;
    }
    .two .side + .side {
      padding-left: 10px;
      margin-left: 10px;
      border-left: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    }
    header {
      display: flex;
      flex-direction: column;
      gap: 4px;
    }
    h1 {
      font-size: 1.15em;
      overflow-wrap: anywhere;
    }
    .working {
      display: flex;
      gap: 10px;
      align-items: center;
    }
    .working progress {
      flex: 1;
    }
    .what {
      display: block;
      white-space: nowrap;
    }
    .what::first-letter {
      text-transform: uppercase;
    }
    .typing {
      display: flex;
      flex-direction: column;
      gap: 4px;
      align-items: flex-start;
    }
    textarea {
      box-sizing: border-box;
      width: 100%;
      resize: vertical;
      font-family: var(--vscode-editor-font-family, monospace);
      font-size: var(--vscode-editor-font-size, 13px);
      color: var(--vscode-input-foreground);
      background: var(--vscode-input-background);
      border: 1px solid var(--vscode-input-border, var(--vscode-contrastBorder, var(--vscode-panel-border)));
      tab-size: 4;
    }
    .figures {
      display: flex;
      flex-wrap: wrap;
      gap: 2px 16px;
      margin: 0;
    }
    .figures div {
      display: flex;
      gap: 5px;
      align-items: baseline;
      white-space: nowrap;
    }
    .figures dt {
      color: var(--vscode-descriptionForeground);
    }
    .figures dd {
      margin: 0;
      font-weight: 600;
      font-variant-numeric: tabular-nums;
    }
    .latents {
      list-style: none;
      margin: 0;
      padding: 2px 0;
      max-height: 150px;
      overflow: auto;
    }
    .latent-row {
      all: unset;
      box-sizing: border-box;
      width: 100%;
      display: grid;
      grid-template-columns: 70px minmax(0, 1fr) 44px 60px 100px;
      gap: 10px;
      align-items: center;
      min-height: 24px;
      padding: 0 8px;
      cursor: pointer;
    }
    .latent-row:focus-visible {
      outline-offset: -1px;
    }
    .latent-row:hover {
      background: var(--vscode-list-hoverBackground);
    }
    .latent-row .number {
      text-align: right;
    }
    .latent,
    .latent-text {
      font-family: var(--vscode-editor-font-family, monospace);
      font-style: italic;
      color: var(--mt-latent);
      overflow: hidden;
      text-overflow: ellipsis;
      white-space: nowrap;
    }
    .gain {
      height: 8px;
    }
    .gain i {
      display: block;
      height: 100%;
      background: var(--mt-think);
    }
    .gain.loss i {
      background: none;
      box-shadow: inset 0 0 0 1px var(--mt-surprise);
    }
    midtrain-reading {
      flex: 1;
      min-height: 120px;
      border: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    }
    .details {
      flex: none;
      height: 140px;
      overflow: auto;
      display: flex;
      flex-wrap: wrap;
      gap: 4px 32px;
      padding-bottom: 4px;
    }
    .details p {
      margin: 2px 0;
    }
    .of-line {
      flex: 2 1 320px;
    }
    .of-token {
      flex: 1 1 260px;
    }
    .details dl {
      display: grid;
      grid-template-columns: max-content minmax(0, 1fr);
      gap: 0 12px;
      margin: 0;
    }
    .details dt {
      color: var(--vscode-descriptionForeground);
    }
    .details dd {
      margin: 0;
      font-variant-numeric: tabular-nums;
    }
    .details .latent {
      white-space: pre-wrap;
    }
    .details table {
      border-collapse: collapse;
    }
    .details td {
      padding: 0 10px 0 0;
    }
    .details td.number {
      text-align: right;
    }
    .name {
      font-family: var(--vscode-editor-font-family, monospace);
    }
    .chosen {
      font-weight: 700;
    }
    meter {
      width: 80px;
      height: 8px;
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
  `,
];
