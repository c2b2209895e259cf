/**
 * Which charts a run has, and which curves are in each: the run's own and those of the runs drawn beside it, told apart by
 * dash and letter as well as by colour. Pure; knows nothing of what draws.
 */
import type { ThemeColour } from '../theme.ts';
import type { Curve } from './curveChart.ts';
import type { Drawn, RunCurves } from './curves.ts';
import type { Axis } from './messages.ts';
import { amount, bytes, figure, share } from './scales.ts';

/** A run that is drawn, and the letter and words that its curves go by; '' for the panel's own. */
export interface DrawnRun {
  readonly curves: RunCurves;
  readonly letter: string;
}

export interface ChartSpec {
  readonly id: string;
  readonly heading: string;
  readonly curves: readonly Curve[];
  readonly writeY: (value: number) => string;
  /** Whether the switch for the logarithmic scale holds for it. */
  readonly canBeLog: boolean;
  readonly isLarge: boolean;
}

const blue: ThemeColour = ['--vscode-charts-blue', '#3794ff'];
const yellow: ThemeColour = ['--vscode-charts-yellow', '#cca700'];
/** Of the runs drawn beside the panel's own, in turn. */
const others: readonly { readonly colour: ThemeColour; readonly dash: readonly number[] }[] = [
  { colour: ['--vscode-charts-green', '#89d185'], dash: [9, 4] },
  { colour: ['--vscode-charts-purple', '#b180d7'], dash: [2, 3] },
  { colour: ['--vscode-charts-red', '#f14c4c'], dash: [10, 3, 2, 3] },
  { colour: ['--vscode-terminal-ansiCyan', '#11a8cd'], dash: [14, 5] },
  { colour: ['--vscode-terminal-ansiBrightMagenta', '#d670d6'], dash: [5, 2, 1, 2, 1, 2] },
  { colour: ['--vscode-foreground', '#808080'], dash: [4, 6] },
];

interface Line {
  readonly drawn: Drawn;
  readonly label: string;
  readonly colour?: ThemeColour;
  readonly dash?: readonly number[];
  readonly faint?: boolean;
  readonly dots?: boolean;
  /** Not of the runs drawn beside: one line of a run is enough there. */
  readonly ownOnly?: boolean;
}

const specs: readonly (Omit<ChartSpec, 'curves' | 'isLarge'> & { readonly lines: readonly Line[] })[] = [
  {
    id: 'loss',
    heading: 'Loss',
    writeY: figure,
    canBeLog: true,
    lines: [
      { drawn: 'loss', label: 'train', faint: true, ownOnly: true },
      { drawn: 'smoothed', label: 'train, smoothed' },
      { drawn: 'heldOutLoss', label: 'held out', colour: yellow, dash: [6, 4], dots: true },
    ],
  },
  {
    id: 'passAt1',
    heading: 'pass@1',
    writeY: share,
    canBeLog: false,
    lines: [{ drawn: 'passAt1', label: 'live weights', dots: true }],
  },
  {
    id: 'learningRate',
    heading: 'Learning rate',
    writeY: figure,
    canBeLog: false,
    lines: [{ drawn: 'learningRate', label: 'rate' }],
  },
  {
    id: 'gradientNorm',
    heading: 'Gradient norm',
    writeY: figure,
    canBeLog: true,
    lines: [{ drawn: 'gradientNorm', label: 'norm before clipping' }],
  },
  {
    id: 'tokensPerSecond',
    heading: 'Speed',
    writeY: amount,
    canBeLog: false,
    lines: [{ drawn: 'tokensPerSecond', label: 'tokens/s' }],
  },
  { id: 'memory', heading: 'Memory', writeY: bytes, canBeLog: false, lines: [{ drawn: 'memory', label: 'resident' }] },
];

/**
 * The charts that have anything to show.
 * @param cursor a place of the axis, at which values are shown; null: the last ones
 */
export function chartsOf(runs: readonly DrawnRun[], axis: Axis, cursor: number | null): ChartSpec[] {
  return specs
    .map(({ lines, ...spec }) => ({
      ...spec,
      isLarge: spec.id === 'loss',
      curves: runs.flatMap((run, number) =>
        lines
          .filter(({ drawn, ownOnly }) => run.curves.of(drawn).some && (number === 0 || ownOnly !== true))
          .map((line) => curveOf(line, run, number, axis, cursor, spec.writeY)),
      ),
    }))
    .filter(({ curves }) => curves.length > 0);
}

function curveOf(
  { drawn, label, colour = blue, dash = [], faint = false, dots = false }: Line,
  { curves, letter }: DrawnRun,
  number: number,
  axis: Axis,
  cursor: number | null,
  write: (value: number) => string,
): Curve {
  const values = curves.of(drawn);
  const other = number === 0 ? null : others[(number - 1) % others.length]!;
  return {
    label: letter === '' ? label : `${letter} ${label}`,
    colour: other?.colour ?? colour,
    dash: other?.dash ?? dash,
    width: faint ? 1 : number === 0 ? 2 : 1.5,
    faint,
    dots,
    places: curves.places(axis),
    values,
    shown: write(valueAt(curves, drawn, axis, cursor)),
  };
}

/** At a place of the axis, or the last one. What is told now and then is as it was last told. */
export function valueAt(curves: RunCurves, drawn: Drawn, axis: Axis, cursor: number | null): number {
  const values = curves.of(drawn);
  const row = cursor === null ? curves.count - 1 : curves.nearest(axis, cursor);
  if (row === null) return NaN;
  const told = values.next(row, -1);
  return told === null ? NaN : values.at(told);
}
