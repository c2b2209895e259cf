/**
 * What a user sees of VS Code and does there. Every function waits for its condition, none for a fixed time. Knows nothing
 * of servers or extensions.
 */
import type { Frame, Locator, Page } from 'playwright-core';

export type Theme = 'light' | 'dark' | 'hc-dark' | 'hc-light';

interface ThemeNames {
  /** In the theme picker. */
  readonly label: string;
  /** Value of `workbench.colorTheme`. */
  readonly setting: string;
  /** Class of the workbench. */
  readonly workbench: string;
  /** Class of a webview's body. */
  readonly body: string;
}

export const themes: Readonly<Record<Theme, ThemeNames>> = {
  light: { label: 'Light Modern', setting: 'Light Modern', workbench: 'vs', body: 'vscode-light' },
  dark: { label: 'Dark Modern', setting: 'Dark Modern', workbench: 'vs-dark', body: 'vscode-dark' },
  'hc-dark': {
    label: 'Dark High Contrast',
    setting: 'Default High Contrast',
    workbench: 'hc-black',
    body: 'vscode-high-contrast',
  },
  'hc-light': {
    label: 'Light High Contrast',
    setting: 'Default High Contrast Light',
    workbench: 'hc-light',
    body: 'vscode-high-contrast-light',
  },
};

/** Matches the text itself, whatever space is around it. */
function exactly(text: string): RegExp {
  return new RegExp(`^\\s*${escaped(text)}\\s*$`);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

export class Workbench {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Resolves when editors and views are restored. Extensions may still be starting: wait for what they show. */
  async ready(): Promise<void> {
    const restored = (): boolean => performance.getEntriesByName('code/LifecyclePhase/Restored').length > 0;
    await this.page.waitForFunction(restored, null, { timeout: 60_000 });
    await this.page.locator('.monaco-workbench .part.statusbar').waitFor({ timeout: 60_000 });
  }

  /** Asks `read` again and again until `accept` holds for its answer, and returns that. */
  async until<T>(read: () => Promise<T>, accept: (value: T) => boolean, timeout = 15_000): Promise<T> {
    for (const deadline = Date.now() + timeout; ;) {
      const value = await read();
      if (accept(value)) return value;
      if (Date.now() > deadline) throw new Error(`Still not so: ${JSON.stringify(value)}`);
      await this.page.waitForTimeout(50);
    }
  }

  // Command palette, quick picks, input boxes

  /** The quick input that is open, whatever it is. */
  get quickInput(): Locator {
    return this.page.locator('.quick-input-widget:visible');
  }

  /** A row of the open quick pick, by its whole label. */
  quickPickRow(label: string): Locator {
    const name = this.page.locator('.quick-input-list-label .label-name', { hasText: exactly(label) });
    return this.#quickPickRows.filter({ has: name }).first();
  }

  /** Labels of the open quick pick; of a long one those that are drawn, about 20. */
  async quickPickLabels(): Promise<string[]> {
    await this.#quickPickRows.first().waitFor();
    return (await this.#quickPickRows.locator('.quick-input-list-row:first-child .label-name').allInnerTexts()).map(
      (label) => label.trim(),
    );
  }

  /**
   * Runs a command through the command palette by the title that a user sees there ("Category: Title"). Tries again while
   * the command is not listed, since its extension may still be starting.
   */
  async runCommand(title: string, timeout = 30_000): Promise<void> {
    const row = this.quickPickRow(title);
    for (const deadline = Date.now() + timeout; ;) {
      try {
        await this.page.keyboard.press('F1');
        await this.#quickInputBox.fill(`>${title}`, { timeout: 3000 });
        await row.click({ timeout: 4000 });
        await row.waitFor({ state: 'hidden', timeout: 5000 });
        return;
      } catch (cause) {
        const listed = await this.#quickPickRows.allInnerTexts().catch(() => []);
        await this.page.keyboard.press('Escape');
        if (Date.now() < deadline) continue;
        const names = listed.slice(0, 5).join(' | ');
        throw new Error(`The command "${title}" could not be run; the palette listed: ${names}`, { cause });
      }
    }
  }

  /** Chooses a row of the quick pick that is open or about to open. */
  async pick(label: string): Promise<void> {
    await this.quickPickRow(label).click();
    await this.quickPickRow(label).waitFor({ state: 'hidden' });
  }

  /** Types into the input box that is open or about to open, and accepts. `title` guards against another box. */
  async fillInput(text: string, { title }: { title?: string } = {}): Promise<void> {
    const box = title === undefined ? this.quickInput : this.quickInput.filter({ hasText: title });
    await box.locator('input.input').first().fill(text);
    await this.page.keyboard.press('Enter');
  }

  // Notifications, dialogs, status bar

  /** A notification with this text. One without buttons hides after some seconds: wait for it right away. */
  notification(text: string | RegExp): Locator {
    return this.page.locator('.notifications-toasts .notification-toast', { hasText: text }).first();
  }

  async pressNotificationButton(text: string | RegExp, button: string): Promise<void> {
    const notification = this.notification(text);
    await notification.hover();
    await notification.getByRole('button', { name: button, exact: true }).click();
  }

  /** Texts of the error notifications on the screen. */
  async errors(): Promise<string[]> {
    const errors = this.page.locator('.notification-toast', { has: this.page.locator('.codicon-error') });
    return errors.locator('.notification-list-item-message').allInnerTexts();
  }

  async clearNotifications(): Promise<void> {
    if ((await this.page.locator('.notification-toast').count()) === 0) return;
    await this.runCommand('Notifications: Clear All Notifications');
  }

  /** A modal dialog with this text. */
  dialog(text: string | RegExp): Locator {
    return this.page.locator('.monaco-dialog-box', { hasText: text });
  }

  async pressDialogButton(text: string | RegExp, button: string): Promise<void> {
    await this.dialog(text).getByRole('button', { name: button, exact: true }).click();
    await this.dialog(text).waitFor({ state: 'hidden' });
  }

  /** An entry of the status bar with this text; `click()` runs its command. */
  statusBarItem(text: string | RegExp): Locator {
    return this.page.locator('.part.statusbar .statusbar-item', { hasText: text }).first();
  }

  // Views and trees

  /** The activity bar's icon of a view container, by its title. */
  viewContainer(title: string): Locator {
    return this.page.locator('.part.activitybar').getByRole('tab', { name: title });
  }

  /** The pane of a view, by its heading. */
  view(title: string): Locator {
    const heading = this.page.locator('.pane-header', { hasText: new RegExp(`^\\s*${escaped(title)}`, 'i') });
    return this.page.locator('.pane', { has: heading }).first();
  }

  /** Runs a command that shows a view (such as "View: Show Midtrain") and waits for the view. */
  async showView(command: string, title: string): Promise<Locator> {
    await this.runCommand(command);
    await this.view(title).waitFor();
    return this.view(title);
  }

  /** A row of a view's tree, by its whole label. */
  treeItem(view: string, label: string): Locator {
    const name = this.page.locator('.label-name, .label', { hasText: exactly(label) });
    return this.view(view).getByRole('treeitem').filter({ has: name }).first();
  }

  /** Expands a row, if it is not expanded. */
  async expand(row: Locator): Promise<void> {
    await row.waitFor();
    if ((await row.getAttribute('aria-expanded')) === 'false') await row.locator('.monaco-tl-twistie').click();
    await this.until(
      () => row.getAttribute('aria-expanded'),
      (expanded) => expanded === 'true',
    );
  }

  /** Presses an inline action of a row, by its title. They show under the pointer. */
  async pressRowAction(row: Locator, title: string): Promise<void> {
    await row.hover();
    await row.getByRole('button', { name: title }).first().click();
  }

  /** Opens a run's panel from its row. The row of a live run is drawn anew each second, and a click between is lost. */
  async openRun(name: string): Promise<void> {
    const tab = this.page.locator('.tabs-container .tab', { hasText: name });
    for (let tries = 0; tries < 6; tries++) {
      await this.treeItem('Runs', name).click();
      const isOpen = await tab.waitFor({ timeout: 5000 }).then(
        () => true,
        () => false,
      );
      if (isOpen) return;
    }
    throw new Error(`The panel of ${name} did not open.`);
  }

  async chooseInContextMenu(row: Locator, entry: string): Promise<void> {
    await row.click({ button: 'right' });
    const item = this.page.getByRole('menuitem', { name: entry });
    await item.waitFor();
    // A menu that has just opened does not take a click yet.
    for (const deadline = Date.now() + 15_000; (await item.count()) > 0 && Date.now() < deadline;) {
      await item.click({ timeout: 2000 }).catch(() => undefined);
      await item.waitFor({ state: 'detached', timeout: 1000 }).catch(() => undefined);
    }
  }

  // Editors

  /** The active editor. */
  get editor(): Locator {
    return this.page.locator('.editor-group-container.active .editor-instance .monaco-editor').first();
  }

  /** A tab, by its whole label. */
  tab(label: string): Locator {
    const name = this.page.locator('.monaco-icon-label-container', { hasText: exactly(label) });
    return this.page.locator('.tabs-container .tab', { has: name }).first();
  }

  /** Opens a file of the workspace by its name, through quick open. */
  async openFile(name: string, timeout = 30_000): Promise<void> {
    for (const deadline = Date.now() + timeout; ;) {
      try {
        await this.page.keyboard.press('ControlOrMeta+P');
        await this.#quickInputBox.fill(name, { timeout: 3000 });
        await this.quickPickRow(name).click({ timeout: 4000 });
        await this.tab(name).waitFor({ timeout: 5000 });
        await this.editor.waitFor();
        return;
      } catch (error) {
        await this.page.keyboard.press('Escape');
        if (Date.now() > deadline) throw error;
      }
    }
  }

  /** The lines of the active editor that are on the screen, as they are read: with inlay hints. */
  async editorText(): Promise<string> {
    interface Line {
      readonly textContent: string;
      getBoundingClientRect(): { readonly top: number };
    }
    const lines = await this.editor
      .locator('.view-lines > .view-line')
      .evaluateAll((found: Line[]) =>
        found.map((line) => ({ top: line.getBoundingClientRect().top, text: line.textContent })),
      );
    lines.sort((a, b) => a.top - b.top);
    return lines.map(({ text }) => text.replaceAll('\u00a0', ' ')).join('\n');
  }

  // Webviews

  /**
   * The content of a webview on the screen (panel, view or custom editor), by its title; without one, of the first. Ask again
   * after it was hidden, moved or reloaded: it then has another frame.
   */
  async webview(title?: string, timeout = 30_000): Promise<Frame> {
    const find = async (): Promise<Frame | null> => {
      for (const outer of await this.page.locator('iframe.webview.ready:visible').elementHandles()) {
        const inner = await (await outer.contentFrame())?.$('iframe#active-frame');
        if (!inner || (title !== undefined && (await inner.getAttribute('title')) !== title)) continue;
        const frame = await inner.contentFrame();
        await frame?.waitForLoadState('load', { timeout: 5000 });
        if (frame) return frame;
      }
      return null;
    };
    for (const deadline = Date.now() + timeout; ;) {
      const frame = await find().catch(() => null); // the frame may be replaced meanwhile
      if (frame) return frame;
      if (Date.now() > deadline)
        throw new Error(`No webview ${title === undefined ? '' : `"${title}" `}is on the screen.`);
      await this.page.waitForTimeout(50);
    }
  }

  // Themes

  /** Chooses a colour theme as a user does; waits until the workbench and every webview on the screen show it. */
  async setTheme(theme: Theme): Promise<void> {
    const { label, workbench, body } = themes[theme];
    const shown = this.page.locator(`.monaco-workbench.${workbench}`);
    for (const deadline = Date.now() + 30_000; (await shown.count()) === 0;) {
      try {
        await this.runCommand('Preferences: Color Theme');
        await this.#quickInputBox.fill(label);
        await this.quickPickRow(label).click({ timeout: 5000 });
        await shown.waitFor({ timeout: 5000 });
      } catch (error) {
        // A new window lists its themes late, and may show the one of its settings meanwhile.
        await this.page.keyboard.press('Escape');
        if (Date.now() > deadline) throw error;
      }
    }
    const webviews = this.page.frames().filter((frame) => frame.url().includes('/fake.html'));
    for (const frame of webviews) {
      await frame
        .locator(`body.${body}`)
        .waitFor()
        .catch((error: unknown) => {
          if (!frame.isDetached()) throw error;
        });
    }
  }

  get #quickPickRows(): Locator {
    return this.quickInput.locator('.quick-input-list .monaco-list-row');
  }

  get #quickInputBox(): Locator {
    return this.quickInput.locator('input.input').first();
  }
}
