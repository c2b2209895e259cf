/**
 * The forms in which a trained model is exported, and which of a run's checkpoints. Data only.
 */

/** `ending` of a file; null: a folder. */
export const EXPORT_FORMATS = {
  hf: { title: 'Hugging Face folder, float32', use: 'for transformers, and for Midtrain itself', ending: null },
  'hf-bf16': { title: 'Hugging Face folder, bfloat16', use: 'half the size', ending: null },
  'hf-f16': { title: 'Hugging Face folder, float16', use: 'half the size', ending: null },
  peft: { title: 'PEFT adapter', use: 'the LoRA adapters alone', ending: null },
  'gguf-f16': { title: 'GGUF, F16', use: 'for llama.cpp and what is built on it', ending: '.gguf' },
  'gguf-q8_0': { title: 'GGUF, Q8_0', use: 'for llama.cpp, about half of F16', ending: '.gguf' },
} as const;
export type ExportFormat = keyof typeof EXPORT_FORMATS;

/**
 * A step; `final`: what the run ended with, or its latest; `best`: the lowest held-out loss; `base`: the model as it was
 * before training.
 */
export type CheckpointChoice = number | 'final' | 'latest' | 'best' | 'base';

/** `my-style-step-100-q8_0.gguf`, `my-style-step-100-peft`; a null step is the base. */
export function exportName(run: string, step: number | null, format: ExportFormat): string {
  const { ending } = EXPORT_FORMATS[format];
  return `${checkpointName(run, step)}-${ending === null ? format : format.replace('gguf-', '')}${ending ?? ''}`;
}

export function checkpointName(run: string, step: number | null): string {
  return `${run}-${step === null ? 'base' : `step-${step}`}`;
}
