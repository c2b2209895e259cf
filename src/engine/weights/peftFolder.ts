/**
 * Writes adapters as a folder that PEFT loads: adapter_config.json and adapter_model.safetensors
 * (peft/tuners/lora/config.py and utils/save_and_load.py, 0.18), and a README.md that says of which base they are.
 * Knows nothing of where the adapters come from.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LoraMethod } from '../training/method.ts';
import { writeJsonFiles } from './huggingFaceFolder.ts';
import { type TensorToWrite, writeSafetensors } from './safetensorsWriter.ts';
import { writtenAside } from './writtenAside.ts';

export interface PeftAdapter {
  readonly method: LoraMethod;
  /** As in adapterNames, without PEFT's prefix. */
  readonly tensors: readonly TensorToWrite[];
  /** What PEFT loads the base from: a Hugging Face name or a folder; null where there is no such thing. */
  readonly base: string | null;
  readonly revision: string | null;
  readonly readme: string;
}

/** Written aside and put in place when it is whole; what was there goes. @throws UserError when it cannot be written */
export async function writePeftFolder(
  folder: string,
  { method, tensors, base, revision, readme }: PeftAdapter,
): Promise<void> {
  await writtenAside(folder, 'The adapter', async (aside) => {
    await mkdir(aside);
    await writeSafetensors(
      join(aside, 'adapter_model.safetensors'),
      tensors.map((tensor) => ({ ...tensor, name: `base_model.model.${tensor.name}` })),
    );
    await writeFile(join(aside, 'README.md'), readme, { flush: true });
    await writeJsonFiles(aside, { 'adapter_config.json': adapterConfig(method, base, revision) });
  });
}

function adapterConfig({ rank, alpha, targets }: LoraMethod, base: string | null, revision: string | null): object {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    revision,
    r: rank,
    lora_alpha: alpha,
    target_modules: targets,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    modules_to_save: null,
    rank_pattern: {},
    alpha_pattern: {},
    use_dora: false,
    use_rslora: false,
  };
}
