/** Ends a process in the way orchestrators expect: SIGTERM drains and exits 0, a second signal exits at once. */
import { constants } from 'node:os';
import type { OrtDoraServer } from './server.js';

/** Installs handlers for SIGTERM and SIGINT. Returns a function that removes them. */
export function closeOnSignals(server: OrtDoraServer): () => void {
  const signals = ['SIGTERM', 'SIGINT'] as const;
  let closing = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (closing) process.exit(128 + constants.signals[signal]);
    closing = true;
    server.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}
