/**
 * Readings made without a model, for tests of what shows them: any Python text with latents, cut into tokens by a pattern, with
 * figures that follow from a seed and are as a model's could be.
 */
import { seededRandom } from '../../src/engine/random.ts';
import { parseLatents } from '../../src/midtraining/abstractions/latents.ts';
import type {
  CodeReading,
  LatentReading,
  LineReading,
  TokenReading,
} from '../../src/midtraining/abstractions/reading.ts';
import { pythonParser } from '../../src/midtraining/data/pythonGrammar.ts';

export interface HandmadeOptions {
  readonly name?: string;
  readonly model?: string;
  readonly step?: number | null;
  readonly latents?: CodeReading['latents'];
  readonly seed?: number;
}

/** @param text Python; its latents are taken as read */
export async function handmadeReading(
  text: string,
  { name = 'sort.py', model = 'tiny', step = null, latents = 'text', seed = 1 }: HandmadeOptions = {},
): Promise<CodeReading> {
  const parser = await pythonParser();
  try {
    const parsed = parseLatents(parser, text);
    const { code } = parsed;
    const source = seededRandom(seed);
    const random = (): number => source.uniform();
    const tokens: TokenReading[] = [...code.matchAll(/\r?\n[ \t]*|[ \t]?[\p{L}\p{N}_]{1,6}|[^]/gu)].map((match, i) => {
      const [from, to] = [match.index, match.index + match[0].length];
      if (i === 0) return { from, to, logProbability: null, without: null, entropy: null, alternatives: [] };
      const logProbability = -0.05 - 6 * random() ** 4;
      const others = [0.4, 0.2, 0.1, 0.02].map((share, place) => ({
        text: [' x', '\n', '<script>', '値'][place]!,
        logProbability: Math.log(share * (1 - Math.exp(logProbability))),
      }));
      const alternatives = [{ text: match[0], logProbability }, ...others];
      alternatives.sort((a, b) => b.logProbability - a.logProbability);
      const without = logProbability - 0.8 * random() ** 2 + 0.1;
      return { from, to, logProbability, without, entropy: 3 * random() ** 2, alternatives };
    });
    const kept = latents === 'none' ? parsed.latents.map(() => null) : parsed.latents;
    const lines: LineReading[] = [];
    let firstToken = 0;
    parsed.lines.forEach(({ start, end, row, rows, statement, block }, i) => {
      while (firstToken < tokens.length && tokens[firstToken]!.from < start) firstToken += 1;
      let endToken = firstToken;
      while (endToken < tokens.length && tokens[endToken]!.from < end) endToken += 1;
      const own = tokens.slice(firstToken, endToken);
      const sum = (of: (token: TokenReading) => number | null): number =>
        own.reduce((total, token) => total + (of(token) ?? 0), 0);
      const latent = kept[i] ?? null;
      lines.push({
        ...{ from: start, to: end, row, rows, firstToken, endToken, statement, block },
        thinkProbability: latent === null ? random() ** 3 : 0.4 + 0.6 * random(),
        logProbability: sum((token) => token.logProbability),
        without: sum((token) => token.without),
        entropy: own.length === 0 ? 0 : sum((token) => token.entropy) / own.length,
        latent: latent === null ? null : latentOf(latent, latents === 'model' ? 'model' : 'text', random),
        contextTokens: Math.min(2048, endToken),
      });
      firstToken = endToken;
    });
    return { code, name, model: { name: model, step }, latents, lines, tokens, hasError: parsed.hasError };
  } finally {
    parser.delete();
  }
}

function latentOf(text: string, origin: LatentReading['origin'], random: () => number): LatentReading {
  return {
    text,
    origin,
    tokens: Math.ceil(text.length / 4),
    logProbability: -2 - 8 * random(),
    gain: 4 * random() - 0.7,
  };
}

/** Everything that code can have: tabs, emoji, wide letters, a script's tag, statements over several rows, clauses. */
export const variedCode = `# a shebang this is not, but a comment above a blank row

import re
from functools import cache

# remember what was computed
@cache
def words(text: str, least: int = 2) -> list[str]:
    """Words of a text <script>alert('in code')</script>.

    # no latent: this is inside a string
    """
    # cut at what is no letter
    # and keep 日本語 whole
    parts = re.split(
        r'[^\\w]+',  # behind code
        text,
    )
    # leave the short ones out
    kept = [part for part in parts if len(part) >= least]
    for number, part in enumerate(kept):
        # emoji count as words 🎉
        if part == '😀' or part in {'名前', '値'}:
            kept[number] = f'<{part}>'
        elif not part:
\t\t\tcontinue
        else:
            kept[number] = part.lower()
    # the longest first
    return sorted(kept, key=len, reverse=True)


class Counter:
    # counts by word
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, text: str) -> 'Counter':
        for word in words(text):
            self.counts[word] = self.counts.get(word, 0) + 1
        # so that calls can be chained
        return self
`;

/** A file of about as many rows, with a latent every few lines. */
export function longCode(rows: number): string {
  const parts: string[] = [];
  for (let i = 0; parts.length < rows; i += 1) {
    parts.push(
      `# step ${i}: add up what is above ${i % 7}`,
      `def total_${i}(values, limit=${i}):`,
      '    result = 0',
      ...(i % 3 === 0 ? ['    # skip the small ones'] : []),
      '    for index, value in enumerate(values):',
      `        if value > limit and index % ${1 + (i % 5)} == 0:`,
      `            result += value * ${i} + len("text ${i}")`,
      '    return result',
      '',
    );
  }
  return `${parts.join('\n')}\n`;
}
