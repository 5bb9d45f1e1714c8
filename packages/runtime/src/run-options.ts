// The checks of a run's options.
import { unexpected } from './errors.js';
import type { RunOptions } from './session.js';
import { scalars } from './session-options.js';

/** @throws RuntimeError INVALID_ARGUMENT naming the option, what was expected and what came */
export function checkRunOptions({ configEntries, device, logSeverityLevel, tag }: RunOptions): void {
  if (configEntries !== undefined) scalars(configEntries, 'configEntries');
  if (tag !== undefined && typeof tag !== 'string') throw unexpected('tag', 'a string', tag);
  if (device !== undefined && !/^(cpu|cuda(:\d{1,3})?)$/.test(device))
    throw unexpected('device', "'cpu' or 'cuda:N'", device);
  if (logSeverityLevel !== undefined && ![0, 1, 2, 3, 4].includes(logSeverityLevel)) {
    throw unexpected('logSeverityLevel', 'an integer from 0 to 4', logSeverityLevel);
  }
}
