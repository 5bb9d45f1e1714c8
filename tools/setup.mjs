// `npm run setup`: everything that `npm run quickstart` and `npm test` need, and nothing more.
import { setUp } from './setup/setup.mjs';
import { fail } from './steps/steps.mjs';

await setUp().catch(fail);
