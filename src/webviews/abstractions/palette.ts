/** The colours of a picture, as the theme has them now. */
import { ink, type ThemeColour, themeColour } from '../theme.ts';
import type { PictureOptions } from './picture.ts';

const colours = {
  background: ['--vscode-editor-background', '#ffffff'],
  ink,
  dim: ['--vscode-descriptionForeground', '#808080'],
  rule: ['--mt-rule', '#808080'],
  latent: ['--mt-latent', '#808080'],
  think: ['--mt-think', '#b180d7'],
  entropy: ['--mt-entropy', '#3794ff'],
  surprise: ['--mt-surprise', '#d18616'],
} satisfies Record<string, ThemeColour>;

export function paletteNow(): Pick<PictureOptions, 'palette' | 'codeFont' | 'textFont'> {
  const now = Object.fromEntries(
    Object.entries(colours).map(([name, colour]) => [name, themeColour(colour)]),
  ) as Record<keyof typeof colours, string>;
  return {
    palette: {
      ...now,
      band: 'rgba(128, 128, 128, 0.12)',
      ofKind: (kind) => themeColour([`--mt-${nameOf(kind)}`, now.ink]),
    },
    codeFont: themeColour(['--vscode-editor-font-family', 'monospace']),
    textFont: themeColour(['--vscode-font-family', 'sans-serif']),
  };
}

/** `keyword` of `k-keyword`; constants look as keywords do. */
function nameOf(kind: string): string {
  const name = /k-(\w+)/.exec(kind)?.[1] ?? '';
  return name === 'constant' ? 'keyword' : name;
}
