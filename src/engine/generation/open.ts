/**
 * Makes a model's decoder on a device: the form with its cache there where the runtime allows it, else the other.
 */
import type { Device } from '../devices.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import type { Decoder, DecoderOptions } from './decoder.ts';
import { DeviceDecoder } from './deviceDecoder.ts';
import { HostDecoder } from './hostDecoder.ts';

/** @throws UserError or an error of the runtime where the device cannot hold or compute the model. */
export async function openDecoder(
  device: Device,
  config: ModelConfig,
  weights: TensorSource,
  options: DecoderOptions,
): Promise<Decoder> {
  if (device === 'webgpu') return DeviceDecoder.create(config, weights, options);
  return HostDecoder.create(config, weights, { ...options, provider: device });
}
