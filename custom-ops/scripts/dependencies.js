// The folders of the headers that the library is built with, fetched where the machine lacks them.
// Run by itself, prints them as NAME=folder lines for CMake.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { argv, env, exit } from 'node:process';
import { fileURLToPath } from 'node:url';
import { debianPackage, ortHeaders } from '../native-build/index.js';

/**
 * @param {{ tests?: boolean, log?: (line: string) => void }} [options] tests: also GoogleTest's sources
 * @returns {Promise<Record<string, string>>} CMake cache entries
 */
export async function dependencies({ tests = false, log } = {}) {
  const options = log === undefined ? {} : { log };
  const entries = {
    HWY_INCLUDE_DIR: await folder('HWY_INCLUDE_DIR', 'hwy/highway.h', '/usr/include', 'libhwy-dev', options),
    ORT_INCLUDE_DIR: await ortHeaders(options),
  };
  if (tests) {
    entries.GTEST_SOURCE_DIR = await folder(
      'GTEST_SOURCE_DIR',
      'CMakeLists.txt',
      '/usr/src/googletest',
      'googletest',
      options,
    );
  }
  return entries;
}

/** From the environment, else installed on the system, else from Debian's package. */
async function folder(name, marker, system, debian, options) {
  const named = env[name];
  if (named) {
    if (existsSync(join(named, marker))) return named;
    throw new Error(`${name}=${named} does not hold ${marker}. Name the folder that does, or unset it.`);
  }
  if (existsSync(join(system, marker))) return system;
  return join(await debianPackage(debian, options), system);
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const entries = await dependencies({ tests: true, log: (line) => console.error(line) });
    for (const [name, value] of Object.entries(entries)) console.log(`${name}=${value}`);
  } catch (error) {
    console.error(error.message);
    exit(1);
  }
}
