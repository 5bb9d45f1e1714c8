// Loads the first four sessions of an op library at once.
import { createSession } from '@ort-dora/runtime';

const { model, library } = JSON.parse(process.argv[2]);
const options = { customOps: [library], intraOpNumThreads: 1 };
const sessions = await Promise.all([1, 2, 3, 4].map(() => createSession(model, options)));
const x = { type: 'float32', data: Float32Array.of(1), dims: [1] };
const results = await Promise.all(sessions.map((session) => session.run({ x })));
console.log(results.map(({ y }) => y.data[0]).join());
