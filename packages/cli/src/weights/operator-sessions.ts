/** Sessions over models of a few nodes, made when first needed and kept: shapes are those of each run. */

import { encodeModel, type ModelProto } from '@ort-dora/onnx';
import { createSession, type Session } from '@ort-dora/runtime';

export class OperatorSessions implements AsyncDisposable {
  readonly #sessions = new Map<string, Promise<Session>>();

  /** The session of `key`, over the model that `make` gives. @throws RuntimeError */
  get(key: string, make: () => ModelProto, signal: AbortSignal | undefined): Promise<Session> {
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    const session = createSession(encodeModel(make()), {
      logSeverityLevel: 3,
      // Between two runs the cores belong to whoever reads.
      configEntries: { 'session.intra_op.allow_spinning': '0' },
      ...(signal && { signal }),
    });
    this.#sessions.set(key, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions.values()) await (await session.catch(() => undefined))?.dispose();
  }
}
