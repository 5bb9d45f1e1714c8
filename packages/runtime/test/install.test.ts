// The package as npm packs it: built by its own install script, where it lies, and loaded from there.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { increment } from './support/models.js';
import { buildRuntime, modelFile } from './support/programs.js';

const run = promisify(execFile);
const packageRoot = fileURLToPath(new URL('..', import.meta.url));
let project: string;
let installed: string;
let files: string[];

beforeAll(async () => {
  await buildRuntime();
  // Below the package, so that its dependencies are found as they are after a real installation: in a node_modules above.
  mkdirSync(join(packageRoot, 'build'), { recursive: true });
  project = mkdtempSync(join(packageRoot, 'build/install-'));
  writeFileSync(join(project, 'package.json'), '{}');
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project, '--ignore-scripts'], {
    cwd: packageRoot,
  });
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  files = packed.files.map(({ path }) => path);
  installed = join(project, 'node_modules/@ort-dora/runtime');
  mkdirSync(installed, { recursive: true });
  await run('tar', ['-xzf', join(project, basename(packed.filename)), '-C', installed, '--strip-components=1']);
}, 120_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

test('holds the sources of the addon and the built JavaScript, and neither tests nor builds', () => {
  for (const file of [
    'CMakeLists.txt',
    'build-addon.js',
    'install.js',
    'native/addon.cc',
    'native/exports.map',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/backend.js',
    'README.md',
    'package.json',
  ]) {
    expect(files).toContain(file);
  }
  expect(files.filter((path) => /^(build|src|test|bench)\/|\.node$|tsbuildinfo$|\.test\./.test(path))).toEqual([]);
});

test('says what is missing, with the command that installs it, and the installation goes on', async () => {
  // A PATH with Node.js alone.
  const bin = join(project, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  const { stderr } = await run(process.execPath, ['install.js'], {
    cwd: installed,
    env: { PATH: bin, HOME: process.env.HOME },
  });
  expect(stderr).toMatch(/the native addon was not built: .*CMake.*C\+\+ compiler.* missing/);
  expect(stderr).toMatch(/apt-get install -y cmake && .*apt-get install -y g\+\+/);
  const { stdout, stderr: said } = await load({});
  expect(JSON.parse(stdout)).toMatchObject({ backend: 'onnxruntime-node', y: 2 });
  expect(said).toMatch(/^ort-dora: models run on stock onnxruntime-node.*not built: .*apt-get install -y g\+\+/);
}, 60_000);

test('builds the addon and loads it from there', async () => {
  await run(process.execPath, ['install.js'], { cwd: installed });
  expect(existsSync(join(installed, 'build/not-built.txt'))).toBe(false);
  const { stdout, stderr } = await load({ ORT_DORA_RUNTIME: 'addon' });
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual({
    backend: 'addon',
    addon: join(installed, 'build/release/ort_dora_runtime.node'),
    y: 2,
  });
  const { stderr: again } = await run(process.execPath, ['install.js'], { cwd: installed });
  expect(again).toMatch(/up to date/);
}, 240_000);

function load(env: Record<string, string>) {
  const model = modelFile('increment', increment());
  const program = `
    import { createSession, describeRuntime } from '@ort-dora/runtime';
    const session = await createSession(${JSON.stringify(model)});
    const { y } = await session.run({ x: { type: 'float32', data: Float32Array.of(1), dims: [1] } });
    console.log(JSON.stringify({ backend: session.backend, addon: describeRuntime().addon.path, y: y.data[0] }));`;
  return run(process.execPath, ['--input-type=module', '-e', program], {
    cwd: dirname(dirname(dirname(installed))),
    env: { ...process.env, ...env },
  });
}
