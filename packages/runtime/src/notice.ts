// Says a thing on stderr once a process, however many worker threads find it out.
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';

const SUBJECTS = ['fallback', 'ops-library'] as const;
export type Subject = (typeof SUBJECTS)[number];

// Shared memory that workers inherit from the thread that starts them; also across two copies of this module.
const KEY = '@ort-dora/runtime:said';

function said(): Int32Array {
  let memory = getEnvironmentData(KEY) as SharedArrayBuffer | undefined;
  if (!(memory instanceof SharedArrayBuffer)) {
    memory = new SharedArrayBuffer(4 * SUBJECTS.length);
    setEnvironmentData(KEY, memory as never);
  }
  return new Int32Array(memory);
}

// Before any worker starts, if the main thread loads this module first.
if (isMainThread) said();

export function sayOnce(subject: Subject, message: string): void {
  if (Atomics.exchange(said(), SUBJECTS.indexOf(subject), 1) === 0) process.stderr.write(`ort-dora: ${message}\n`);
}
