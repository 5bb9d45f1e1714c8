// How much memory of a GPU is in use, by all processes.
import { binding } from '../addon.js';
import { integer } from '../checks.js';
import { usesAddon } from '../engine.js';
import { RuntimeError } from '../errors.js';

/**
 * Bytes, as the driver counts them.
 * @throws RuntimeError PROVIDER_UNAVAILABLE where there is no such GPU
 */
export function cudaMemory(device = 0): { readonly free: number; readonly total: number } {
  integer(device, 'device', 0, 255);
  if (!usesAddon()) throw new RuntimeError('NOT_SUPPORTED', 'cudaMemory needs the native addon');
  try {
    return binding().cudaMemory(device);
  } catch (cause) {
    throw new RuntimeError('PROVIDER_UNAVAILABLE', (cause as Error).message, { cause });
  }
}
