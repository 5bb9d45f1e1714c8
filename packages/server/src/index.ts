/** HTTP server for ONNX models: OpenAI's chat completions, and the KServe Open Inference Protocol v2. */
export { ServerError, type ServerErrorCode } from './errors.js';
export type { PortChoice, ServerOptions } from './options.js';
export { createServer, type OrtDoraServer, startServer } from './server.js';
export { closeOnSignals } from './shutdown.js';
