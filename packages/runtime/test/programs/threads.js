// Loads a session on one thread and says which way, and how many threads the process has then.
import { readdirSync } from 'node:fs';
import { createSession } from '@ort-dora/runtime';

const { model } = JSON.parse(process.argv[2]);
const session = await createSession(model, { intraOpNumThreads: 1 });
console.log(session.backend, readdirSync('/proc/self/task').length);
await session.dispose();
