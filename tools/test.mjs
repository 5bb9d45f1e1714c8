// `npm test`: sets everything up, runs every suite, and closes with `N passed, N failed` over all of them.
import { requireTestTools } from './setup/prerequisites.mjs';
import { setUp } from './setup/setup.mjs';
import { fail } from './steps/steps.mjs';
import { add, closingLine } from './testing/counts.mjs';
import { suites } from './testing/suites.mjs';

async function test() {
  const started = performance.now();
  requireTestTools();
  await setUp();
  const results = [];
  for (const { title, run } of suites) {
    console.log(`\n=== ${title}`);
    results.push({ title, ...(await run()) });
  }
  report(results, (performance.now() - started) / 1000);
}

function report(results, seconds) {
  const total = add(results);
  console.log(`\n=== all suites, ${Math.round(seconds)} s`);
  for (const result of results) console.log(`${result.title.padEnd(24)} ${closingLine(result)}`);
  for (const name of total.skippedNames) console.log(`skipped: ${name}`);
  console.log(closingLine(total));
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
}

await test().catch(fail);
