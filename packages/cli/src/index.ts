export { exitCode } from './errors.js';
export { run } from './program.js';
export type { Sink, Surroundings } from './terminal.js';
