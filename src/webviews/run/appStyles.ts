/** How the run panel looks, beyond what all panels have in common. Every colour is the theme's. */
import { css } from 'lit';
import { panelStyles } from '../panelStyles.ts';

export const appStyles = [
  panelStyles,
  css`
    main {
      box-sizing: border-box;
      min-height: 100%;
      display: flex;
      flex-direction: column;
      gap: 10px;
      padding: 10px 14px 24px;
    }
    .state {
      font-variant-numeric: tabular-nums;
    }
    header {
      display: flex;
      flex-direction: column;
      gap: 4px;
    }
    .tools {
      display: flex;
      flex-wrap: wrap;
      gap: 6px 14px;
      align-items: center;
      padding: 6px 0;
      border-top: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
      border-bottom: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    }
    label,
    .group {
      display: inline-flex;
      flex-wrap: wrap;
      gap: 6px;
      align-items: center;
    }
    select,
    input[type='range'] {
      font: inherit;
      color: var(--vscode-dropdown-foreground, var(--vscode-foreground));
      accent-color: var(--vscode-focusBorder, var(--vscode-foreground));
    }
    select {
      background: var(--vscode-dropdown-background, var(--vscode-editor-background));
      border: 1px solid var(--vscode-dropdown-border, var(--vscode-contrastBorder, transparent));
      padding: 2px 4px;
      min-height: 24px;
    }
    input[type='range'] {
      width: 110px;
      height: 24px;
    }
    select:focus-visible,
    input:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
    }
    .weight {
      min-width: 5ch;
      font-variant-numeric: tabular-nums;
    }
    .overlays {
      display: flex;
      flex-wrap: wrap;
      gap: 6px 12px;
      list-style: none;
      margin: 0;
      padding: 0;
    }
    .overlays li {
      display: inline-flex;
      gap: 6px;
      align-items: center;
    }
    .rollouts {
      display: grid;
      grid-template-columns: minmax(220px, 300px) minmax(0, 1fr);
      gap: 12px;
      margin-top: 6px;
    }
    .rollouts .picker,
    .rollouts .shown {
      display: flex;
      flex-direction: column;
      gap: 6px;
      min-width: 0;
    }
    .rollouts midtrain-groups {
      height: 440px;
    }
    .rollouts .picker vscode-button {
      align-self: start;
    }
    .rollouts .above {
      display: flex;
      flex-wrap: wrap;
      gap: 6px 14px;
      align-items: center;
      justify-content: space-between;
    }
    @media (max-width: 1100px) {
      .rollouts {
        grid-template-columns: minmax(0, 1fr);
      }
      .rollouts midtrain-groups {
        height: 150px;
      }
    }
    .samples {
      display: grid;
      grid-template-columns: minmax(180px, 280px) minmax(0, 1fr);
      gap: 12px;
    }
    .samples select {
      width: 100%;
      height: 260px;
      font-variant-numeric: tabular-nums;
    }
    @media (max-width: 620px) {
      .samples {
        grid-template-columns: minmax(0, 1fr);
      }
    }
    .scrolls {
      max-height: 240px;
      overflow: auto;
    }
    .events {
      border-collapse: collapse;
      margin: 4px 12px;
    }
    .events th,
    .events td {
      text-align: left;
      padding: 2px 14px 2px 0;
      vertical-align: top;
    }
    .events .number {
      text-align: right;
      font-variant-numeric: tabular-nums;
    }
  `,
];
