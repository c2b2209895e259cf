/** How the form looks: as the editor's settings do. Every colour is the theme's. */
import { css } from 'lit';

export const appStyles = css`
  :host {
    display: block;
    color: var(--vscode-foreground);
    font-family: var(--vscode-font-family);
    font-size: var(--vscode-font-size);
  }
  main {
    max-width: 760px;
    padding: 0 24px 48px;
  }
  header {
    position: sticky;
    top: 0;
    z-index: 3;
    padding: 12px 0 10px;
    background: var(--vscode-editor-background);
    border-bottom: 1px solid var(--vscode-panel-border);
  }
  h1 {
    font-size: 1.35em;
    font-weight: 600;
    margin: 0 0 8px;
  }
  h2 {
    font-size: 1.15em;
    font-weight: 600;
    margin: 22px 0 4px;
  }
  h3 {
    font-size: 1em;
    font-weight: 600;
    margin: 6px 0 2px;
  }
  .group {
    margin: 8px 0 8px 14px;
    padding-left: 14px;
    border-left: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    scroll-margin-top: 100px; /* below the head */
  }
  p {
    margin: 2px 0 6px;
  }
  .actions,
  .head,
  .kind {
    display: flex;
    flex-wrap: wrap;
    gap: 8px;
    align-items: baseline;
  }
  .field {
    padding: 8px 0 8px 12px;
    border-left: 2px solid transparent;
  }
  .field.changed {
    border-left-color: var(--vscode-settings-modifiedItemIndicator, var(--vscode-focusBorder));
  }
  .label {
    font-weight: 600;
  }
  .description,
  .head code {
    color: var(--vscode-descriptionForeground);
  }
  code {
    font-family: var(--vscode-editor-font-family);
    font-size: 0.95em;
  }
  .description {
    line-height: 1.4;
  }
  vscode-textfield.text,
  fieldset {
    width: 100%;
    box-sizing: border-box;
  }
  vscode-textfield.number {
    width: 180px;
  }
  vscode-single-select {
    width: 240px;
  }
  .choices {
    display: flex;
    flex-wrap: wrap;
    gap: 2px 18px;
  }
  fieldset {
    margin: 6px 0;
    padding: 6px 12px 8px;
    border: 1px solid var(--vscode-settings-dropdownBorder, var(--vscode-panel-border));
    border-radius: 3px;
  }
  fieldset .field {
    padding: 4px 0 4px 10px;
  }
  .reset {
    padding: 0;
    border: none;
    background: none;
    color: var(--vscode-textLink-foreground);
    font: inherit;
    cursor: pointer;
  }
  .reset:hover {
    text-decoration: underline;
  }
  .reset:disabled {
    color: var(--vscode-disabledForeground);
    cursor: default;
    text-decoration: none;
  }
  .reset:focus-visible,
  .estimate:focus-visible {
    outline: 1px solid var(--vscode-focusBorder);
    outline-offset: 2px;
  }
  .problem,
  .error {
    margin: 6px 0 0;
    padding: 4px 8px;
    border-left: 3px solid var(--vscode-editorError-foreground);
    background: var(--vscode-textBlockQuote-background);
  }
  .error p {
    margin: 2px 0;
  }
  .estimate {
    margin: 10px 0 0;
    padding: 8px 10px;
    max-height: 40vh;
    overflow: auto;
    white-space: pre-wrap;
    font-family: var(--vscode-editor-font-family);
    font-size: var(--vscode-editor-font-size);
    background: var(--vscode-textCodeBlock-background);
  }
`;
