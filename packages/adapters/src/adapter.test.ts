import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openAdapter } from './adapter.js';
import { writeAdapter } from './write-adapter.js';

const demo = join(import.meta.dirname, '../../../models/fixtures/demo/adapters');
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'ort-dora-adapters-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

it.each(['counting', 'reading'])('writes the adapter %s as PEFT wrote it, byte for byte', async (name) => {
  await using adapter = await openAdapter(join(demo, name));
  const copy = join(scratch, name);
  await writeAdapter(copy, { config: adapter.config.text, modules: adapter.modules.values() });
  for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
    expect((await readFile(join(copy, file))).equals(await readFile(join(demo, name, file))), file).toBe(true);
  }
});
