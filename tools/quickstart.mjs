// `npm run quickstart`: from a fresh clone to a rewritten, verified and served DoRA export.
import { quickstart } from './quickstart/quickstart.mjs';
import { fail } from './steps/steps.mjs';

await quickstart().catch(fail);
