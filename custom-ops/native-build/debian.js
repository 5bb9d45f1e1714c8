import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, withLock } from './cache.js';
import { NativeBuildError } from './error.js';
import { run } from './run.js';

/**
 * Unpacks a Debian package into the cache, without installing it, and returns the folder that stands for `/`.
 * The package is of the machine's own suite unless `suite` says otherwise; either way it comes from the mirror that apt
 * is configured with, and apt verifies its signature. A package already in the cache is used as it is.
 * @param {string} name for example `libhwy-dev`
 * @param {{ suite?: string, log?: (line: string) => void }} [options] suite: for example `sid`
 * @returns {Promise<string>}
 * @throws {NativeBuildError} when there is no apt, no Debian mirror, or the package cannot be fetched
 */
export async function debianPackage(name, { suite, log = () => {} } = {}) {
  const own = await ownSuite();
  const folder = join(cacheFolder(), 'debian', suite ?? own ?? 'own', name);
  if (existsSync(folder)) return folder;
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(folder)) return folder;
    log(`fetching Debian package ${name}${suite === undefined ? '' : ` (${suite})`}`);
    const temporary = await mkdtemp(`${folder}.`);
    try {
      await download(name, suite, own, temporary);
      const deb = (await readdir(temporary)).find((file) => file.endsWith('.deb'));
      if (deb === undefined) throw new NativeBuildError(`apt-get download ${name} left no package in ${temporary}`);
      await run('dpkg', ['-x', join(temporary, deb), join(temporary, 'root')]);
      await rename(join(temporary, 'root'), folder);
      return folder;
    } catch (cause) {
      throw new NativeBuildError(`Debian package ${name} could not be fetched: ${cause.message}`, {
        cause,
        remedy: `Check that this works: apt-get update && apt-get download ${name}`,
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  });
}

async function download(name, suite, own, into) {
  if (suite === undefined) {
    // The machine's own lists first: nothing to update. They are absent in most container images.
    const ready = await run('apt-get', [...UNSANDBOXED, 'download', name], { cwd: into }).then(
      () => true,
      () => false,
    );
    if (ready) return;
  }
  const wanted = suite ?? own;
  if (wanted === undefined) throw new NativeBuildError('this is not Debian (no VERSION_CODENAME in /etc/os-release)');
  const apt = await privateApt(wanted, join(into, 'apt'));
  await run('apt-get', [...apt, '--error-on=any', 'update']);
  await run('apt-get', [...apt, 'download', name], { cwd: into });
}

/** Options that give apt, in the folder `root`, lists and a cache of its own over `suite` of the configured Debian mirror. */
async function privateApt(suite, root) {
  await mkdir(join(root, 'lists', 'partial'), { recursive: true });
  await mkdir(join(root, 'cache', 'archives', 'partial'), { recursive: true });
  await mkdir(join(root, 'sources'), { recursive: true });
  const source = { Types: 'deb', URIs: await debianMirror(), Suites: suite, Components: 'main', 'Signed-By': KEYRING };
  const text = Object.entries(source).map(([key, value]) => `${key}: ${value}\n`);
  await writeFile(join(root, 'sources', 'debian.sources'), text.join(''));
  return [
    ...UNSANDBOXED,
    '-oDir::Etc::SourceList=/dev/null',
    `-oDir::Etc::SourceParts=${join(root, 'sources')}`,
    `-oDir::State::Lists=${join(root, 'lists')}`,
    `-oDir::Cache=${join(root, 'cache')}`,
    '-oAcquire::Languages=none',
    '-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false',
  ];
}

/** The mirror of the machine's own `main` component. */
async function debianMirror() {
  const targets = await run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI) $(COMPONENT) $(RELEASE)',
    'Created-By: Packages',
  ]);
  const own = await ownSuite();
  const rows = targets.split('\n').map((row) => row.split(' '));
  const row = rows.find(([uri, component, release]) => uri && component === 'main' && release === own);
  if (row?.[0] === undefined) {
    throw new NativeBuildError('apt has no Debian mirror configured', {
      remedy: 'Add one to /etc/apt/sources.list.d, or name the folders by hand (ORT_INCLUDE_DIR, HWY_INCLUDE_DIR).',
    });
  }
  return row[0];
}

async function ownSuite() {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1];
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

// As root, apt fetches as the user _apt, who may not enter the cache; it warns and does the same without this.
const UNSANDBOXED = process.getuid?.() === 0 ? ['-oAPT::Sandbox::User=root'] : [];
