/**
 * `midtrain sample`: lets a model go on with a text, from a file or stdin.
 */
import type { Command } from 'commander';
import { modelForms } from '../../catalog/models.ts';
import type { Completion, GenerationRequest } from '../../engine/generation/types.ts';
import { type Context, needModel, type Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import {
  type CommonOptions,
  type ConsentOptions,
  type SamplingOptions,
  wholeNumber,
  withCommonOptions,
  withConsentOptions,
  withSamplingOptions,
} from '../options.ts';
import { readText } from '../readText.ts';

interface SampleOptions extends CommonOptions, ConsentOptions, SamplingOptions {
  readonly model: string;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly chat: boolean;
}

export function addSample(program: Command, run: Run): void {
  const command = program
    .command('sample')
    .description('let a model go on with a text')
    .argument('[file]', 'the text; default: stdin')
    .requiredOption('-m, --model <model>', modelForms)
    .option('--chat', "the text is a message, put into the model's chat template", false)
    .option('--max-tokens <count>', 'longest completion', wholeNumber(1), 256)
    .option('--stop <texts...>', 'end before the first of these', []);
  withConsentOptions(withCommonOptions(withSamplingOptions(command, 'the text'))).action(
    async (file: string | undefined, options: SampleOptions) => {
      await run(options, (context) => sample(file, context, options));
    },
  );
}

async function sample(file: string | undefined, context: Context, options: SampleOptions): Promise<ExitCode> {
  const { output, signal } = context;
  const text = await readText(file, context);
  const { path, label } = await needModel(options.model, context);
  // Loaded here, so that the other commands do not wait for ONNX Runtime.
  const [{ openModel }, { createTokenizer }, { renderChat }, { loadDecoder }, { generate }] = await Promise.all([
    import('../../engine/weights/open.ts'),
    import('../../engine/text/tokenizer.ts'),
    import('../../engine/text/chatTemplate.ts'),
    import('../../engine/languageModel.ts'),
    import('../../engine/generation/generator.ts'),
  ]);
  const source = await openModel(path);
  try {
    const tokenizer = createTokenizer(source.tokenizer);
    const prompt = options.chat
      ? tokenizer.encode(
          renderChat(source.tokenizer, [{ role: 'user', content: text }], { addGenerationPrompt: true }),
          { addSpecialTokens: false },
        )
      : tokenizer.encode(text, { parseSpecial: false });
    const { maxTokens, samples, seed, stop, temperature, topP, topK, minP } = options;
    const sampling = { temperature, topP, topK, minP, seed, maxTokens, stop };
    const request: GenerationRequest = {
      id: label,
      prompt,
      samples: Array.from({ length: samples }, (_, i) => i),
      ...sampling,
    };
    const { decoder } = await loadDecoder(source, {
      device: options.device,
      precision: options.precision,
      signal,
      places: Math.min(samples, mostTogether),
      threads: options.threads ?? null,
      contextLength: prompt.length + maxTokens,
    });
    try {
      // One sample is shown as it comes; several would be mixed up.
      const live = samples === 1 && !options.json;
      const onText = (_id: string, _sample: number, piece: string): void => {
        if (live) process.stdout.write(piece);
      };
      let cancelled = false;
      for await (const completion of generate(decoder, tokenizer, [request], { onText, signal })) {
        cancelled ||= completion.finish === 'cancelled';
        output.result('sample', live ? [''] : sampleLines(completion, samples), completion);
      }
      return cancelled || signal.aborted ? exitCodes.interrupted : exitCodes.ok;
    } finally {
      await decoder.close();
    }
  } finally {
    await source.close();
  }
}

/** Samples decoded together: more are no faster on a CPU and need more memory. */
const mostTogether = 32;

function sampleLines({ sample: index, text, finish }: Completion, samples: number): string[] {
  return samples === 1 ? [text] : [`--- sample ${index} (${finish})`, text];
}
