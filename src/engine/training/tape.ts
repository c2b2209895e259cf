/**
 * Reverse-mode differentiation over a graph that is being built: operators record themselves with the rule for their
 * gradient, and `gradients` lays the backward nodes into the same graph. Nothing is laid for what nobody asked for: only
 * values that depend on a tracked parameter have gradients. Shapes are known, so that everything here is a number.
 * Knows nothing of models, of losses or of the runtime.
 */
import type { Graph, Value } from '../onnx/graph.ts';
import { add, mul, reshape, slice } from '../onnx/operators.ts';

/** Where a rule puts what flows into one input of its operator. Nothing is laid where the input depends on no parameter. */
export interface GradientSink {
  readonly wanted: boolean;
  /** Adds a contribution of the input's shape; `lay` puts its nodes into the graph. */
  add(lay: () => Value): void;
  /** For operators that can add while they compute: `lay` is given the sum so far (null: none yet) and gives the new one. */
  accumulate(lay: (sum: Value | null) => Value): void;
}

/** @param dy gradient of the operator's output; @param sinks one for each input, in their order */
export type GradientRule = (dy: Value, ...sinks: GradientSink[]) => void;

interface Entry {
  readonly output: Value;
  readonly inputs: readonly Value[];
  readonly rule: GradientRule;
}

export class Tape {
  readonly graph: Graph;
  /** The device has FusedMatMul (see `operators/product.ts`). */
  readonly fusedMatMul: boolean;
  #entries: Entry[] = [];
  readonly #parameters = new Set<Value>();
  readonly #tracked = new Set<Value>();
  /** Lays what flows into parameters. */
  #deferred: (() => void)[] = [];
  readonly #sums = new Map<Value, Value>();
  /** How values that are not kept are computed again. */
  readonly #recipes = new Map<Value, (dy: Value) => Value>();
  readonly #again = new Map<Value, Value>();

  constructor(graph: Graph, { fusedMatMul }: { readonly fusedMatMul: boolean }) {
    this.graph = graph;
    this.fusedMatMul = fusedMatMul;
  }

  /** Declares a value whose gradient will be asked for. */
  track(parameter: Value): Value {
    this.#parameters.add(parameter);
    this.#tracked.add(parameter);
    return parameter;
  }

  /** Whether a gradient flows into `value`. */
  wants(value: Value): boolean {
    return this.#tracked.has(value);
  }

  /** An operator that has just been put into the graph. @returns `output` */
  record(output: Value, inputs: readonly Value[], rule: GradientRule): Value {
    if (!inputs.some((input) => this.#tracked.has(input))) return output;
    this.#tracked.add(output);
    this.#entries.push({ output, inputs, rule });
    return output;
  }

  /**
   * Activation checkpointing (Chen et al., arXiv 1604.06174): of what `build` makes from `x` only the result is kept, and
   * the backward pass computes the rest again.
   */
  checkpoint(x: Value, build: (x: Value) => Value): Value {
    const [output] = this.#recording(() => build(x));
    if (!this.#tracked.has(output)) return output;
    const rule: GradientRule = (dy, dx) => {
      // Else ONNX Runtime finds that it has computed the same before, and keeps that instead.
      const input = this.after(x, dy);
      if (dx.wanted) this.#tracked.add(input);
      const [again, entries] = this.#recording(() => build(input));
      this.seed(again, dy);
      this.#sweep(entries);
      dx.add(() => this.#sums.get(input)!);
    };
    this.#entries.push({ output, inputs: [x], rule });
    return output;
  }

  /**
   * Says that the backward pass computes `value` again instead of keeping it: worth it for what is wide and cheap.
   * @param lay gives it anew, but not before `dy` is there (see `after`)
   */
  forget(value: Value, lay: (dy: Value) => Value): Value {
    this.#recipes.set(value, lay);
    return value;
  }

  /** `value` as a rule uses it, whose output has the gradient `dy`: the one there was, or the one computed again. */
  recall(value: Value, dy: Value): Value {
    const recipe = this.#recipes.get(value);
    if (recipe === undefined) return value;
    const again = this.#again.get(value) ?? recipe(dy);
    this.#again.set(value, again);
    return again;
  }

  /** Gradient of the loss that is known already: where the backward pass begins. */
  seed(value: Value, gradient: Value): void {
    this.#accumulate(value, (sum) => this.#plus(sum, gradient));
  }

  /**
   * `x`, but not before `y` is there: for results that would take memory for nothing if they were computed early. As ONNX has
   * no such order, it is x + 0 * (an element of y).
   */
  after(x: Value, y: Value): Value {
    let first = y;
    for (let axis = 0; axis < y.shape.length; axis++) first = slice(this.graph, first, axis, 0, 1);
    const one = reshape(this.graph, first, [1], [1]);
    return add(this.graph, x, mul(this.graph, one, this.graph.constant('float32', 0)));
  }

  /**
   * Lays the backward nodes.
   * @returns the gradient of each value, in their order and shapes
   * @throws Error when one has none: the loss does not depend on it
   */
  gradients(values: readonly Value[]): Value[] {
    this.#sweep(this.#entries);
    this.#entries = [];
    // ONNX Runtime begins with the last node that nobody uses. So the gradients that are ready first are laid last: else it
    // would go through the whole backward pass first, and keep for them what every layer has computed.
    for (const lay of this.#deferred.toReversed()) lay();
    this.#deferred = [];
    return values.map((value) => {
      const gradient = this.#sums.get(value);
      if (gradient === undefined) throw new Error(`The loss does not depend on ${value.name}.`);
      return gradient;
    });
  }

  #sweep(entries: readonly Entry[]): void {
    for (const { output, inputs, rule } of entries.toReversed()) {
      const dy = this.#sums.get(output);
      if (dy === undefined) continue; // the loss does not depend on it
      rule(dy, ...inputs.map((input) => this.#sink(input)));
    }
  }

  /** What `build` gives, and what it recorded, which the tape itself does not keep. */
  #recording(build: () => Value): [result: Value, entries: Entry[]] {
    const outer = this.#entries;
    this.#entries = [];
    const result = build();
    const recorded = this.#entries;
    this.#entries = outer;
    return [result, recorded];
  }

  #sink(value: Value): GradientSink {
    const wanted = this.#tracked.has(value);
    const accumulate = (lay: (sum: Value | null) => Value): void => {
      if (!wanted) return;
      if (!this.#parameters.has(value)) this.#accumulate(value, lay);
      else
        this.#deferred.push(() => {
          this.#accumulate(value, lay);
        });
    };
    return {
      wanted,
      accumulate,
      add: (lay) => {
        accumulate((sum) => this.#plus(sum, lay()));
      },
    };
  }

  #accumulate(value: Value, lay: (sum: Value | null) => Value): void {
    const sum = lay(this.#sums.get(value) ?? null);
    if (sum.shape.join() !== value.shape.join()) {
      throw new Error(`The gradient of ${value.name} [${value.shape.join()}] has shape [${sum.shape.join()}].`);
    }
    this.#sums.set(value, sum);
  }

  #plus(sum: Value | null, contribution: Value): Value {
    return sum === null ? contribution : add(this.graph, sum, contribution);
  }
}

/** The sizes of a value whose shape is known. */
export function sizesOf(value: Value): number[] {
  return value.shape.map((size) => {
    if (typeof size !== 'number') throw new Error(`${value.name} has the size ${size}, which is not known yet.`);
    return size;
  });
}
