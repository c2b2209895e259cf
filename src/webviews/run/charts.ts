/**
 * Which charts a run has, and which curves are in each: the run's own and those of the runs drawn beside it, told apart by
 * dash and letter as well as by colour. Pure; knows nothing of what draws.
 */
import type { ThemeColour } from '../theme.ts';
import type { Curve } from './curveChart.ts';
import type { Curves, StepCurve, UpdateCurve } from './curves.ts';
import { amount, bytes, figure, share } from './scales.ts';

/** Curves of a run that is drawn, and the letter that they go by; '' for the panel's own. */
export interface DrawnRun<Place extends string, Told extends string, Extra extends string> {
  readonly curves: Curves<Place, Told, Extra>;
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
const purple: ThemeColour = ['--vscode-charts-purple', '#b180d7'];
/** Of the runs drawn beside the panel's own, in turn. */
const others: readonly { readonly colour: ThemeColour; readonly dash: readonly number[] }[] = [
  { colour: ['--vscode-charts-green', '#89d185'], dash: [9, 4] },
  { colour: ['--vscode-charts-purple', '#b180d7'], dash: [2, 3] },
  { colour: ['--vscode-charts-red', '#f14c4c'], dash: [10, 3, 2, 3] },
  { colour: ['--vscode-terminal-ansiCyan', '#11a8cd'], dash: [14, 5] },
  { colour: ['--vscode-terminal-ansiBrightMagenta', '#d670d6'], dash: [5, 2, 1, 2, 1, 2] },
  { colour: ['--vscode-foreground', '#808080'], dash: [4, 6] },
];

interface Line<Name> {
  readonly drawn: Name;
  readonly label: string;
  readonly colour?: ThemeColour;
  readonly dash?: readonly number[];
  readonly faint?: boolean;
  readonly dots?: boolean;
  /** Not of the runs drawn beside: one line of a run is enough there. */
  readonly ownOnly?: boolean;
}

/** Charts of one kind of curves. The first is the large one. */
type ChartList<Name> = readonly (Omit<ChartSpec, 'curves' | 'isLarge'> & { readonly lines: readonly Line<Name>[] })[];

/** Of the steps of the model. */
export const stepCharts: ChartList<StepCurve> = [
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
    id: 'partLosses',
    heading: 'Loss by part',
    writeY: figure,
    canBeLog: true,
    lines: [
      { drawn: 'codeLoss', label: 'code' },
      { drawn: 'latentLoss', label: 'latents', colour: yellow, dash: [6, 4], ownOnly: true },
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

const small = { canBeLog: false } as const;
const held = { colour: yellow, dash: [6, 4], dots: true, ownOnly: true } as const;

/** Of the updates of q. */
export const updateCharts: ChartList<UpdateCurve> = [
  {
    ...{ id: 'return', heading: 'Return of a snippet, nats', writeY: figure, canBeLog: false },
    lines: [
      { drawn: 'returnWithout', label: 'without penalties', colour: purple, dash: [2, 3], ownOnly: true },
      { drawn: 'returnWith', label: 'with penalties' },
      { drawn: 'returnNever', label: 'never thinking', colour: yellow, dash: [6, 4], ownOnly: true },
    ],
  },
  {
    ...{ id: 'gain', heading: 'Gain over never thinking, nats', writeY: figure, ...small },
    lines: [
      { drawn: 'gain', label: 'with penalties', faint: true, ownOnly: true },
      { drawn: 'smoothed', label: 'smoothed' },
      { drawn: 'heldGain', label: 'held out', ...held },
    ],
  },
  {
    ...{ id: 'heldReturn', heading: 'Held-out return, nats', writeY: figure, ...small },
    lines: [
      { ...held, drawn: 'heldReturnWithout', label: 'without', colour: purple, dash: [2, 3] },
      { drawn: 'heldReturnWith', label: 'with penalties', dots: true },
      { ...held, drawn: 'heldReturnNever', label: 'never thinking' },
    ],
  },
  {
    ...{ id: 'firstTerm', heading: 'Bound: log π(code | latents), nats', writeY: figure, ...small },
    lines: [{ drawn: 'returnWithout', label: 'first term' }],
  },
  {
    ...{ id: 'secondTerm', heading: 'Bound: paid for thoughts, nats', writeY: figure, ...small },
    lines: [{ drawn: 'penalty', label: 'second term' }],
  },
  {
    ...{ id: 'thinkPenalty', heading: 'Price of a thought, nats', writeY: figure, ...small },
    lines: [{ drawn: 'thinkPenalty', label: 'c' }],
  },
  {
    ...{ id: 'thinkRate', heading: 'Think rate', writeY: share, ...small },
    lines: [
      { drawn: 'thinkRate', label: 'of lines' },
      { drawn: 'heldThinkRate', label: 'held out', ...held },
    ],
  },
  {
    ...{ id: 'latentTokens', heading: 'Length of a latent', writeY: figure, ...small },
    lines: [{ drawn: 'latentTokens', label: 'tokens' }],
  },
  {
    ...{ id: 'distinctLatents', heading: 'Different latents', writeY: amount, ...small },
    lines: [{ drawn: 'distinctLatents', label: 'texts' }],
  },
  {
    ...{ id: 'formatErrors', heading: 'Format errors', writeY: share, ...small },
    lines: [{ drawn: 'formatErrors', label: 'of thoughts' }],
  },
  {
    ...{ id: 'groupsWithoutSpread', heading: 'Groups without spread', writeY: share, ...small },
    lines: [{ drawn: 'groupsWithoutSpread', label: 'of groups' }],
  },
  {
    ...{ id: 'clipped', heading: 'Clipped', writeY: share, ...small },
    lines: [{ drawn: 'clipped', label: 'of actions' }],
  },
  {
    ...{ id: 'kl', heading: 'KL(q ‖ base), nats', writeY: figure, canBeLog: true },
    lines: [{ drawn: 'kl', label: 'a token' }],
  },
  {
    ...{ id: 'entropy', heading: 'Entropy of q, nats', writeY: figure, ...small },
    lines: [{ drawn: 'entropy', label: 'a token' }],
  },
  {
    ...{ id: 'staleness', heading: 'Staleness', writeY: figure, ...small },
    lines: [{ drawn: 'staleness', label: 'updates behind' }],
  },
  {
    ...{ id: 'rolloutsPerSecond', heading: 'Speed of the E-step', writeY: amount, ...small },
    lines: [{ drawn: 'rolloutsPerSecond', label: 'rollouts/s' }],
  },
  {
    ...{ id: 'qLearningRate', heading: 'Learning rate of q', writeY: figure, ...small },
    lines: [{ drawn: 'learningRate', label: 'rate' }],
  },
  {
    ...{ id: 'qGradientNorm', heading: 'Gradient norm of q', writeY: figure, canBeLog: true },
    lines: [{ drawn: 'gradientNorm', label: 'norm before clipping' }],
  },
];

/**
 * The charts that have anything to show.
 * @param cursor a place of the axis, at which values are shown; null: the last ones
 */
export function chartsOf<Place extends string, Told extends string, Extra extends string>(
  list: ChartList<Told | Extra>,
  runs: readonly DrawnRun<Place, Told, Extra>[],
  axis: Place,
  cursor: number | null,
): ChartSpec[] {
  return list
    .map(({ lines, ...spec }, place) => ({
      ...spec,
      isLarge: place === 0,
      curves: runs.flatMap((run, number) =>
        lines
          .filter(({ drawn, ownOnly }) => run.curves.of(drawn).some && (number === 0 || ownOnly !== true))
          .map((line) => curveOf(line, run, number, axis, cursor, spec.writeY)),
      ),
    }))
    .filter(({ curves }) => curves.length > 0);
}

function curveOf<Place extends string, Told extends string, Extra extends string>(
  { drawn, label, colour = blue, dash = [], faint = false, dots = false }: Line<Told | Extra>,
  { curves, letter }: DrawnRun<Place, Told, Extra>,
  number: number,
  axis: Place,
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
export function valueAt<Place extends string, Told extends string, Extra extends string>(
  curves: Curves<Place, Told, Extra>,
  drawn: Told | Extra,
  axis: Place,
  cursor: number | null,
): number {
  const values = curves.of(drawn);
  const row = cursor === null ? curves.count - 1 : curves.nearest(axis, cursor);
  if (row === null) return NaN;
  const told = values.next(row, -1);
  return told === null ? NaN : values.at(told);
}
