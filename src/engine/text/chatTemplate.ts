/**
 * Renders a conversation into the text a chat model was trained on, through the model's own Jinja template
 * (Hugging Face's conventions: https://huggingface.co/docs/transformers/chat_templating).
 * Knows nothing of tokens or of where the template came from.
 *
 * A template is a program out of a downloaded file. It reaches nothing of the host (values are converted both ways),
 * and it is bounded: maxTemplateLength of source, maxWork, and maxMilliseconds of wall time for parsing and
 * rendering together.
 */
import { createContext, Script } from 'node:vm';

import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

import { messageOf, UserError } from '../../errors.ts';
import type { TokenizerDefinition } from '../model.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatOptions {
  /** End with the opening of the assistant's turn. */
  readonly addGenerationPrompt: boolean;
  /** How the assistant's answer begins, appended as it is. */
  readonly prefill?: string;
  /** What templates that name the date take for now (local time); default: the clock. */
  readonly date?: Date;
}

/** UTF-16 code units of template source. The longest known ones (tool use) have about 20,000. */
const maxTemplateLength = 1 << 20;
/** Evaluated nodes, the lengths of all strings they gave, and 16 for each element of all lists they gave, together. */
const maxWork = 1 << 28;
const maxMilliseconds = 3000;

type Program = ReturnType<typeof parse>;

const programs = new WeakMap<TokenizerDefinition, Program>();

/**
 * The prompt's text. It holds its special tokens, BOS included where the template puts one:
 * encode it without adding special tokens.
 * @throws UserError when the model has no template, or its template is broken, too large, too slow or refuses the messages.
 */
export function renderChat(
  definition: TokenizerDefinition,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): string {
  const { chatTemplate, bosToken, eosToken } = definition;
  if (chatTemplate === null) {
    throw new UserError(
      'This model has no chat template, so it cannot take a conversation. Choose a protocol with a plain prompt, or an instruction-tuned model.',
    );
  }
  if (chatTemplate.length > maxTemplateLength) {
    throw new UserError(
      `The model's chat template has ${chatTemplate.length} characters; at most ${maxTemplateLength} are accepted.`,
    );
  }
  const variables: Record<string, unknown> = {
    messages: messages.map(({ role, content }) => ({ role, content })),
    add_generation_prompt: options.addGenerationPrompt,
    tools: null,
    documents: null,
    ...(bosToken !== null && { bos_token: bosToken }),
    ...(eosToken !== null && { eos_token: eosToken }),
    strftime_now: (format: unknown) => formatDate(options.date ?? new Date(), String(format)),
  };
  const text = bounded(() => {
    let program = programs.get(definition);
    if (program === undefined) {
      program = parse(tokenize(chatTemplate, { lstrip_blocks: true, trim_blocks: true }));
      programs.set(definition, program);
    }
    return render(program, variables);
  });
  return text + (options.prefill ?? '');
}

class TemplateRefusal extends Error {}

function render(program: Program, variables: Record<string, unknown>): string {
  const environment = new Environment();
  const globals: Record<string, unknown> = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    raise_exception: (message: unknown) => {
      throw new TemplateRefusal(String(message));
    },
  };
  for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
  const text: unknown = new BoundedInterpreter(environment).run(program).value;
  if (typeof text !== 'string') throw new Error('it gave no text');
  return text;
}

/** Counts what a template does, and ends it when that is too much. */
class BoundedInterpreter extends Interpreter {
  #work = 0;

  override evaluate(...args: Parameters<Interpreter['evaluate']>): ReturnType<Interpreter['evaluate']> {
    const result = super.evaluate(...args);
    const value: unknown = result.value;
    this.#work += 1 + (typeof value === 'string' ? value.length : Array.isArray(value) ? 16 * value.length : 0);
    if (this.#work > maxWork) throw new Error('it does too much (endless loop or runaway text?)');
    return result;
  }
}

/** Python's `range`, of at most a million numbers. */
function range(...args: readonly unknown[]): number[] {
  const numbers = args.map(Number);
  const [start, stop, increment] = numbers.length < 2 ? [0, numbers[0], 1] : [numbers[0]!, numbers[1], numbers[2] ?? 1];
  const length = Math.max(0, Math.ceil(((stop ?? NaN) - start) / increment));
  if (!(length <= 1_000_000)) throw new Error('range() is not finite, or longer than 1,000,000');
  return Array.from({ length }, (_, index) => start + index * increment);
}

const sandbox: { run: (() => void) | null } = { run: null };
let contained: Script | null = null;

/**
 * Runs an action of the template for at most maxMilliseconds. `vm` is here for its timeout alone: it ends synchronous
 * code, wherever it hangs. It is no border of trust, nor needed as one.
 * @throws UserError for whatever the action throws.
 */
function bounded(action: () => string): string {
  let result = '';
  sandbox.run = () => {
    result = action();
  };
  try {
    if (contained === null) {
      createContext(sandbox);
      contained = new Script('run()');
    }
    contained.runInContext(sandbox, { timeout: maxMilliseconds });
    return result;
  } catch (error) {
    if (error instanceof TemplateRefusal) {
      throw new UserError(`The model's chat template refuses this conversation: ${error.message}`, { cause: error });
    }
    const late = (error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
    const reason = late ? `it took longer than ${maxMilliseconds / 1000} seconds` : messageOf(error);
    throw new UserError(`The model's chat template cannot be rendered: ${reason}.`, { cause: error });
  } finally {
    sandbox.run = null;
  }
}

const months = 'January February March April May June July August September October November December'.split(' ');
const days = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Python's `strftime` in the C locale, as far as templates use it. */
function formatDate(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const month = months[date.getMonth()] ?? '';
  const day = days[date.getDay()] ?? '';
  const fields: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    B: month,
    b: month.slice(0, 3),
    d: two(date.getDate()),
    A: day,
    a: day.slice(0, 3),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    '%': '%',
  };
  return format.replace(/%([a-zA-Z%])/g, (directive, letter: string) => fields[letter] ?? directive);
}
