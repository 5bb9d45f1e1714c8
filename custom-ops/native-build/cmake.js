import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { withLock } from './cache.js';
import { NativeBuildError } from './error.js';
import { run } from './run.js';

/**
 * The tools that a build needs and this machine lacks, each with its Debian package and the command that installs it.
 * Empty: ready to build. Needs nothing but Node.js, so that a clone without its npm packages can ask too.
 * @returns {{ tool: string, package: string, install: string }[]}
 */
export function missingTools() {
  const compiler = process.env.CXX ?? 'c++';
  const missing = [
    { tool: 'CMake 3.20 or newer', package: 'cmake', found: cmakeVersion() >= 3.2 },
    { tool: 'a C++ compiler', package: 'g++', found: works(compiler.split(' ')[0]) },
    { tool: 'make or ninja', package: 'make', found: works('ninja') || works('make') },
  ].filter(({ found }) => !found);
  return missing.map((entry) => ({ tool: entry.tool, package: entry.package, install: installCommand([entry]) }));
}

/**
 * One command for all of them.
 * @param {readonly { package: string }[]} missing
 */
export function installCommand(missing) {
  const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
  return `${sudo}apt-get install -y ${missing.map((entry) => entry.package).join(' ')}`;
}

/**
 * Configures and builds a CMake project, unless its inputs, options and compiler are those of the last build.
 * Concurrent calls for one build folder wait for one another. Uses Ninja where there is one, else make, on every core.
 * @param {object} request
 * @param {string} request.source the folder of CMakeLists.txt
 * @param {string} request.build the build folder; a leftover of another source folder is emptied
 * @param {string} [request.target] default: everything
 * @param {Readonly<Record<string, string>>} [request.options] CMake cache entries (`CMAKE_BUILD_TYPE`: Release)
 * @param {readonly string[]} [request.inputs] files and folders, relative to `source`, whose bytes decide whether to build
 *   again; default: the whole source folder without build outputs and node_modules
 * @param {(line: string) => void} [request.log] progress, one short line at a time
 * @returns {Promise<{ rebuilt: boolean }>}
 * @throws {NativeBuildError} naming the missing tools, or with the compiler's last lines
 */
export async function buildWithCMake({ source, build, target = 'all', options = {}, inputs = ['.'], log = () => {} }) {
  const entries = { CMAKE_BUILD_TYPE: 'Release', ...options };
  const stamp = join(build, `.built-${target}`);
  const key = await fingerprint(source, inputs, entries);
  const current = async () => (await readFile(stamp, 'utf8').catch(() => '')) === key;
  if (await current()) return { rebuilt: false };

  const missing = missingTools();
  if (missing.length > 0) {
    throw new NativeBuildError(`${source} cannot be built: ${missing.map(({ tool }) => tool).join(', ')} missing`, {
      remedy: missing.map(({ install }) => install).join('\n'),
    });
  }
  const work = async () => {
    if (await current()) return { rebuilt: false };
    await rm(stamp, { force: true });
    await discardForeignCache(build, source);
    await mkdir(build, { recursive: true });
    log('configuring');
    const generator = existsSync(join(build, 'CMakeCache.txt'))
      ? []
      : ['-G', works('ninja') ? 'Ninja' : 'Unix Makefiles'];
    const definitions = Object.entries(entries).map(([name, value]) => `-D${name}=${value}`);
    await run('cmake', ['-S', source, '-B', build, ...generator, ...definitions]);
    let shown = -1;
    const onLine = (line) => {
      const percent = progress(line);
      if (percent === undefined || percent < shown + 10) return;
      shown = percent;
      log(`compiling: ${percent} %`);
    };
    await run('cmake', ['--build', build, '--target', target, '--parallel', String(availableParallelism())], {
      onLine,
    });
    await writeFile(stamp, key);
    return { rebuilt: true };
  };
  return withLock(`${build}.lock`, work, { onWait: () => log('waiting for another build of the same folder') });
}

/** `[ 40%] Building…` of make, `[3/12] Building…` of Ninja. */
function progress(line) {
  const make = /^\[ *(\d+)%\]/.exec(line);
  if (make) return Number(make[1]);
  const ninja = /^\[(\d+)\/(\d+)\]/.exec(line);
  return ninja ? Math.floor((100 * Number(ninja[1])) / Number(ninja[2])) : undefined;
}

/** CMake refuses a build folder that was configured for another path: the tree was moved or copied. */
async function discardForeignCache(build, source) {
  const cache = await readFile(join(build, 'CMakeCache.txt'), 'utf8').catch(() => '');
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(cache)?.[1];
  if (home !== undefined && home !== source) await rm(build, { recursive: true, force: true });
}

const IGNORED = new Set(['node_modules', 'build', 'dist', 'reports', '.git']);

async function fingerprint(source, inputs, options) {
  const hash = createHash('sha256');
  const add = async (path) => {
    const entries = await readdir(join(source, path), { withFileTypes: true }).catch(() => undefined);
    if (entries === undefined) {
      const bytes = await readFile(join(source, path));
      hash.update(`${path}\0${bytes.length}\0`).update(bytes);
      return;
    }
    const names = entries.map(({ name }) => name).filter((name) => !IGNORED.has(name));
    for (const name of names.sort()) await add(join(path, name));
  };
  for (const input of inputs) await add(input);
  const environment = ['CXX', 'CXXFLAGS', 'LDFLAGS'].map((name) => [name, process.env[name]]);
  const compiler = spawnSync((process.env.CXX ?? 'c++').split(' ')[0], ['--version'], { encoding: 'utf8' }).stdout;
  return hash.update(JSON.stringify([source, options, environment, compiler])).digest('hex');
}

function works(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** As a number whose order is that of the versions: 3.25 is 3.25, 3.9 is 3.09. */
function cmakeVersion() {
  const { stdout } = spawnSync('cmake', ['--version'], { encoding: 'utf8' });
  const match = /version (\d+)\.(\d+)/.exec(stdout ?? '');
  return match ? Number(match[1]) + Number(match[2]) / 100 : 0;
}
