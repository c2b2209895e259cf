/**
 * A small typed builder for ONNX graphs. Values carry element type and shape; `operators.ts` has the operators.
 * Weights are written as external data (one file beside the model), so no message comes near protobuf's 2 GB.
 * Knows nothing of models or of the runtime.
 */
import { MessageWriter } from './protobuf.ts';

/** Numbers are TensorProto.DataType (onnx.proto). */
const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float16: 10 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

/** A number, or the name of a dimension that is known at run time only. Equal names are equal sizes. */
export type Dimension = number | string;
export type Shape = readonly Dimension[];

/** A tensor in the graph. Made by `Graph` alone. */
export interface Value {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

export type Attribute = number | bigint | string | readonly number[] | { readonly float: number };

export interface NodeOptions {
  readonly domain?: '' | 'com.microsoft';
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** Where initializers' bytes go. `offset` is in bytes. */
export interface ExternalData {
  /** File name, relative to the model's folder. */
  readonly location: string;
  append(bytes: Uint8Array): { offset: number };
}

/** Initializers up to this many bytes stay inside the model. */
const INLINE_BYTES = 4096;

/** A node as it was put into the graph. */
export interface GraphStep {
  readonly operator: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
}

export class Graph {
  /** All nodes so far. */
  readonly steps: GraphStep[] = [];
  readonly #nodes: MessageWriter[] = [];
  readonly #inputs: MessageWriter[] = [];
  readonly #outputs: MessageWriter[] = [];
  readonly #initializers = new Map<string, MessageWriter>();
  readonly #constants = new Map<string, Value>();
  readonly #names = new Set<string>();
  /** Names of nodes' inputs. */
  readonly #used = new Set<string>();
  readonly #external: ExternalData | null;

  constructor(external: ExternalData | null = null) {
    this.#external = external;
  }

  input(name: string, type: ElementType, shape: Shape): Value {
    const value = this.#value(name, type, shape);
    this.#inputs.push(valueInfo(value));
    return value;
  }

  /** Gives `value` the name under which it is fetched. */
  output(name: string, value: Value): void {
    const named = this.#value(name, value.type, value.shape);
    this.#node('Identity', [value], [named], {});
    this.#outputs.push(valueInfo(named));
  }

  /** A weight: `bytes` are little-endian, row-major. */
  initializer(name: string, type: ElementType, shape: readonly number[], bytes: Uint8Array): Value {
    const value = this.#value(name, type, shape);
    const tensor = new MessageWriter();
    for (const dimension of shape) tensor.int(1, dimension);
    tensor.int(2, ELEMENT_TYPES[type]).string(8, name);
    if (this.#external !== null && bytes.length > INLINE_BYTES) {
      const entries = {
        location: this.#external.location,
        offset: this.#external.append(bytes).offset,
        length: bytes.length,
      };
      for (const [key, entry] of Object.entries(entries)) {
        tensor.message(13, new MessageWriter().string(1, key).string(2, String(entry)));
      }
      tensor.int(14, 1);
    } else {
      tensor.bytes(9, bytes);
    }
    this.#initializers.set(name, tensor);
    return value;
  }

  /** A small constant; equal ones are stored once. */
  constant(type: 'float32' | 'uint8' | 'int8' | 'int32' | 'int64', data: number | readonly number[]): Value {
    const list = typeof data === 'number' ? [data] : data;
    const key = `${type}:${typeof data === 'number' ? 'scalar' : 'vector'}:${list.join(',')}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const array =
      type === 'float32'
        ? Float32Array.from(list)
        : type === 'uint8'
          ? Uint8Array.from(list)
          : type === 'int8'
            ? Int8Array.from(list)
            : type === 'int32'
              ? Int32Array.from(list)
              : BigInt64Array.from(list, (item) => BigInt(item));
    const shape = typeof data === 'number' ? [] : [list.length];
    const value = this.initializer(this.#fresh('constant'), type, shape, new Uint8Array(array.buffer));
    this.#constants.set(key, value);
    return value;
  }

  /** Adds a node; an input that is null is left out (an optional one). The caller states each output's type and shape. */
  node(
    operator: string,
    inputs: readonly (Value | null)[],
    outputs: readonly { readonly type: ElementType; readonly shape: Shape }[],
    options: NodeOptions = {},
  ): Value[] {
    const values = outputs.map((output) => this.#value(this.#fresh(operator), output.type, output.shape));
    this.#node(operator, inputs, values, options);
    return values;
  }

  /** The serialised ModelProto, without weights that no node takes. */
  serialize(): Uint8Array {
    const graph = new MessageWriter();
    for (const node of this.#nodes) graph.message(1, node);
    graph.string(2, 'midtrain');
    for (const [name, initializer] of this.#initializers) if (this.#used.has(name)) graph.message(5, initializer);
    for (const input of this.#inputs) graph.message(11, input);
    for (const output of this.#outputs) graph.message(12, output);
    const model = new MessageWriter().int(1, IR_VERSION).string(2, 'midtrain').message(7, graph);
    for (const [domain, version] of Object.entries(OPSETS)) {
      model.message(8, new MessageWriter().string(1, domain).int(2, version));
    }
    return model.finish();
  }

  #node(
    operator: string,
    inputs: readonly (Value | null)[],
    outputs: readonly Value[],
    { domain = '', attributes = {} }: NodeOptions,
  ): void {
    this.steps.push({ operator, inputs: inputs.filter((input) => input !== null), outputs });
    const node = new MessageWriter();
    for (const input of inputs) {
      node.string(1, input?.name ?? '');
      if (input) this.#used.add(input.name);
    }
    for (const output of outputs) node.string(2, output.name);
    node.string(4, operator);
    for (const [name, attribute] of Object.entries(attributes)) node.message(5, attributeProto(name, attribute));
    node.string(7, domain);
    this.#nodes.push(node);
  }

  #value(name: string, type: ElementType, shape: Shape): Value {
    if (this.#names.has(name)) throw new Error(`Two values of the graph are called ${name}.`);
    this.#names.add(name);
    return { name, type, shape };
  }

  #fresh(stem: string): string {
    return `${stem}_${this.#names.size}`;
  }
}

const IR_VERSION = 10;
const OPSETS = { '': 21, 'com.microsoft': 1 };

function attributeProto(name: string, attribute: Attribute): MessageWriter {
  const proto = new MessageWriter().string(1, name);
  if (typeof attribute === 'string') return proto.bytes(4, new TextEncoder().encode(attribute)).int(20, 3);
  if (typeof attribute === 'number' || typeof attribute === 'bigint') return proto.int(3, attribute).int(20, 2);
  if ('float' in attribute) return proto.float(2, attribute.float).int(20, 1);
  for (const item of attribute) proto.int(8, item);
  return proto.int(20, 7);
}

function valueInfo({ name, type, shape }: Value): MessageWriter {
  const dimensions = new MessageWriter();
  for (const dimension of shape) {
    const proto = new MessageWriter();
    if (typeof dimension === 'number') proto.int(1, dimension);
    else proto.string(2, dimension);
    dimensions.message(1, proto);
  }
  const tensor = new MessageWriter().int(1, ELEMENT_TYPES[type]).message(2, dimensions);
  return new MessageWriter().string(1, name).message(2, new MessageWriter().message(1, tensor));
}
