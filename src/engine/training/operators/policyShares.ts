/**
 * The clipped policy gradient as shares of a cross-entropy: what the gradient of each choice's -log p is multiplied with.
 * No gradient is taken of the shares themselves, so the loss they make is a surrogate: right in its gradient, not in its value.
 *
 * To be maximised, a choice: min(r A, clip(r, 1 - e, 1 + e) A) - b (exp(d) - d - 1) - g log p, with r = exp(log p - log p_old)
 * and d = log p_reference - log p. Its derivative by log p is r A where nothing is clipped, + b (exp(d) - 1), - g (log p + 1);
 * the last 1 is left out, as its mean over choices is 0 (the sum of probabilities is constant).
 */
import type { Value } from '../../onnx/graph.ts';
import { add, clamp, div, exp, logical, mul, negate, sub, where } from '../../onnx/operators.ts';
import type { PolicySettings } from '../policy.ts';
import type { Tape } from '../tape.ts';
import type { ChunkLosses, ShareRule } from './crossEntropy.ts';

/** `ChoiceTerms` (policy.ts) as values of the graph, [tokens, 1] each. */
export interface ChoiceValues {
  readonly active: Value;
  readonly advantages: Value;
  readonly behaviours: Value;
  readonly references: Value;
}

/**
 * @param weights [tokens, 1]: of targets that are learned as they are (next-token prediction)
 * @param normalizer []: what all of it is divided by
 */
export function policyShares(
  tape: Tape,
  weights: Value,
  normalizer: Value,
  tokens: ChoiceValues,
  sets: ChoiceValues,
  { clip, kl, entropy }: PolicySettings,
): ShareRule {
  const { graph } = tape;
  const constant = (value: number): Value => graph.constant('float32', value);
  /** The derivative, 0 where nothing was chosen. @param loss -log p of the choices */
  const derivative = (loss: Value, { active, advantages, behaviours, references }: ChoiceValues): Value => {
    const ratio = exp(graph, negate(graph, add(graph, loss, behaviours)));
    const whole = mul(graph, ratio, advantages);
    const clipped = mul(graph, clamp(graph, ratio, 1 - clip, 1 + clip), advantages);
    const isWhole = logical(graph, 'GreaterOrEqual', clipped, whole);
    let sum = where(graph, isWhole, whole, constant(0));
    if (kl > 0) {
      const estimate = sub(graph, exp(graph, add(graph, references, loss)), constant(1));
      sum = add(graph, sum, mul(graph, estimate, constant(kl)));
    }
    if (entropy > 0) sum = add(graph, sum, mul(graph, loss, constant(entropy)));
    return where(graph, logical(graph, 'GreaterOrEqual', active, constant(0.5)), sum, constant(0));
  };
  return (chunk, losses): ChunkLosses => {
    const of = (choices: ChoiceValues): ChoiceValues => ({
      active: chunk(choices.active),
      advantages: chunk(choices.advantages),
      behaviours: chunk(choices.behaviours),
      references: chunk(choices.references),
    });
    const ofSets = derivative(losses.sets!, of(sets));
    // A token that follows the choice of its set: log p(token) - log p(set).
    const ofTokens = derivative(sub(graph, losses.tokens, losses.sets!), of(tokens));
    const share = (value: Value): Value => div(graph, value, normalizer);
    return {
      tokens: share(add(graph, chunk(weights), ofTokens)),
      sets: share(sub(graph, ofSets, ofTokens)),
    };
  };
}
