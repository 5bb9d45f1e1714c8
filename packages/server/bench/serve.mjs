// The server process of the benchmarks: prints its URL.
import { closeOnSignals, startServer } from '@ort-dora/server';

const server = await startServer({ models: process.argv[2], port: 0, logger: false, maxQueuedRuns: 256 });
closeOnSignals(server);
console.log(server.url);
process.on('disconnect', () => process.exit(0));
