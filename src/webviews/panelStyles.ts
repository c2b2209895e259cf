/** How every panel looks: its text, its facts and notes, what went wrong. Every colour is the theme's. */
import { css } from 'lit';

export const panelStyles = css`
  :host {
    display: block;
    height: 100vh;
    color: var(--vscode-foreground);
    font-family: var(--vscode-font-family);
    font-size: var(--vscode-font-size);
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
  .dim {
    color: var(--vscode-descriptionForeground);
    font-weight: normal;
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
  /* High contrast themes have no colours for these heads, and what stands in is a dark theme's. */
  :host-context(body.vscode-high-contrast) vscode-collapsible,
  :host-context(body.vscode-high-contrast-light) vscode-collapsible {
    --vscode-sideBarSectionHeader-background: transparent;
    --vscode-sideBarTitle-foreground: var(--vscode-foreground);
    --vscode-icon-foreground: var(--vscode-foreground);
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
  .notes {
    margin: 4px 12px;
    padding-left: 16px;
    max-height: 160px;
    overflow: auto;
  }
  .hint {
    padding: 16px;
    color: var(--vscode-descriptionForeground);
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
  .link:focus-visible {
    outline: 1px solid var(--vscode-focusBorder);
    outline-offset: 1px;
  }
  /* Read by a screen reader only. */
  .said {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
  }
  .title,
  .actions {
    display: flex;
    flex-wrap: wrap;
    gap: 6px;
    align-items: center;
  }
  .title {
    justify-content: space-between;
  }
`;
