// A run's options: their checks, and what of them goes to the native layer.
import { binding } from './addon.js';
import type { NativeRunOptions } from './binding.js';
import { place, scalars } from './checks.js';
import { unexpected } from './errors.js';
import type { RunOptions } from './session.js';

/** @throws RuntimeError INVALID_ARGUMENT naming the option, what was expected and what came */
export function checkRunOptions({ configEntries, device, logSeverityLevel, tag }: RunOptions): void {
  if (configEntries !== undefined) scalars(configEntries, 'configEntries');
  if (tag !== undefined && typeof tag !== 'string') throw unexpected('tag', 'a string', tag);
  if (device !== undefined) place(device, 'device', { pinned: false });
  if (logSeverityLevel !== undefined && ![0, 1, 2, 3, 4].includes(logSeverityLevel)) {
    throw unexpected('logSeverityLevel', 'an integer from 0 to 4', logSeverityLevel);
  }
}

export function nativeOptions(options: Omit<RunOptions, 'fetches'>): NativeRunOptions | undefined {
  const { configEntries, tag, logSeverityLevel, device } = options;
  if ((configEntries ?? tag ?? logSeverityLevel ?? device) === undefined) return undefined;
  checkRunOptions(options);
  return { config: configEntries, tag, logSeverityLevel, device };
}

export async function abortable<T>(promise: Promise<T>, id: number, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const abort = () => void binding().cancel(id);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
