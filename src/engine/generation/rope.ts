/**
 * Rotary position tables, with the scalings of Hugging Face's `modeling_rope_utils.py`
 * (linear: Chen et al. 2023; llama3: Llama 3.1; yarn: Peng et al., arXiv 2309.00071).
 */
import type { ModelConfig } from '../model.ts';

export interface RotaryTables {
  /** [positions, headSize / 2], row-major. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Tables for positions 0 to `positions` - 1. */
export function rotaryTables(config: ModelConfig, positions: number): RotaryTables {
  const { frequencies, magnitude } = rotaryFrequencies(config);
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * frequencies[i]!); // float32 angles, as PyTorch computes them
      cos[position * half + i] = Math.cos(angle) * magnitude;
      sin[position * half + i] = Math.sin(angle) * magnitude;
    }
  }
  return { cos, sin };
}

/**
 * Tables for a graph that turns every head by a row of its own: the rows of keys, for positions 0 to `positions` - 1, then
 * those of queries, times 1 / sqrt(headSize), then one that changes nothing, for values; then as many as make `leastRows`.
 */
export function headTables(config: ModelConfig, positions: number, leastRows: number): RotaryTables {
  const half = config.headSize / 2;
  const scale = 1 / Math.sqrt(config.headSize);
  const extended = (table: Float32Array, still: number): Float32Array => {
    const all = new Float32Array(Math.max(2 * positions + 1, leastRows) * half).fill(still, 2 * table.length);
    all.set(table);
    all.set(
      table.map((value) => value * scale),
      table.length,
    );
    return all;
  };
  const { cos, sin } = rotaryTables(config, positions);
  return { cos: extended(cos, 1), sin: extended(sin, 0) };
}

/** Rows of `headTables` for each head of a token: queries, keys, values. */
export function headRows({ headCount, kvHeadCount }: ModelConfig, positions: number, position: number): number[] {
  return [
    ...Array<number>(headCount).fill(positions + position),
    ...Array<number>(kvHeadCount).fill(position),
    ...Array<number>(kvHeadCount).fill(2 * positions),
  ];
}

/** Radians a position for each of the headSize / 2 pairs, and the factor on cos and sin. */
export function rotaryFrequencies({ headSize, ropeTheta, ropeScaling }: ModelConfig): {
  frequencies: Float32Array;
  magnitude: number;
} {
  const half = headSize / 2;
  const base = Float32Array.from({ length: half }, (_, i) => 1 / ropeTheta ** ((2 * i) / headSize));
  switch (ropeScaling?.type) {
    case undefined:
      return { frequencies: base, magnitude: 1 };
    case 'linear':
      return { frequencies: base.map((frequency) => frequency / ropeScaling.factor), magnitude: 1 };
    case 'factors':
      return { frequencies: base.map((frequency, i) => frequency / ropeScaling.factors[i]!), magnitude: 1 };
    case 'llama3': {
      const { factor, lowFrequencyFactor, highFrequencyFactor, originalContextLength } = ropeScaling;
      const frequencies = base.map((frequency) => {
        const turns = (originalContextLength * frequency) / (2 * Math.PI); // over the original context
        if (turns > highFrequencyFactor) return frequency;
        if (turns < lowFrequencyFactor) return frequency / factor;
        const smooth = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
        return (1 - smooth) * (frequency / factor) + smooth * frequency;
      });
      return { frequencies, magnitude: 1 };
    }
    case 'yarn': {
      const { factor, originalContextLength, betaFast, betaSlow, attentionFactor } = ropeScaling;
      const pairAt = (turns: number): number =>
        (headSize * Math.log(originalContextLength / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
      const low = Math.max(Math.floor(pairAt(betaFast)), 0);
      const high = Math.min(Math.ceil(pairAt(betaSlow)), headSize - 1);
      const frequencies = base.map((frequency, i) => {
        const ramp = Math.min(Math.max((i - low) / Math.max(high - low, 0.001), 0), 1);
        return (frequency / factor) * ramp + frequency * (1 - ramp);
      });
      return { frequencies, magnitude: attentionFactor ?? 0.1 * Math.log(factor) + 1 };
    }
  }
}
