import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir, tmpdir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeBuildError } from './error.js';

const HEARTBEAT_MS = 2_000;
const STALE_MS = 20_000;
const POLL_MS = 100;

/** The folder for what is fetched: `$XDG_CACHE_HOME/ort-dora`, else `~/.cache/ort-dora`. It need not exist yet. */
export function cacheFolder() {
  const base = process.env.XDG_CACHE_HOME;
  if (base !== undefined && isAbsolute(base)) return join(base, 'ort-dora');
  const home = homedir();
  return isAbsolute(home) && home !== '/nonexistent'
    ? join(home, '.cache', 'ort-dora')
    : join(tmpdir(), `ort-dora-${userInfo().uid}`);
}

/**
 * Runs `work` while no other process of this cache or folder does. The lock is the folder `path`; its holder touches it
 * every two seconds, so a lock whose holder died is taken over after twenty, on another host or in another container too.
 * @template T
 * @param {string} path the lock's own path; its parent is created
 * @param {() => Promise<T>} work
 * @param {{ timeoutMs?: number, onWait?: () => void }} [options] onWait: called once if another process holds it
 * @returns {Promise<T>}
 * @throws {NativeBuildError} when it is still held after `timeoutMs` (ten minutes)
 */
export async function withLock(path, work, { timeoutMs = 600_000, onWait } = {}) {
  const token = randomUUID();
  const owner = join(path, 'owner');
  await mkdir(join(path, '..'), { recursive: true });
  const deadline = Date.now() + timeoutMs;
  for (let waited = false; !(await acquire(path, owner, token)); waited = true) {
    if (!waited) onWait?.();
    if (Date.now() > deadline) {
      throw new NativeBuildError(`another process has held ${path} for ${Math.round(timeoutMs / 1000)} s`, {
        remedy: `If no build is running, remove it: rm -r '${path}'`,
      });
    }
    await sleep(POLL_MS);
  }
  const beat = setInterval(() => utimes(path, new Date(), new Date()).catch(() => {}), HEARTBEAT_MS);
  beat.unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    if ((await readFile(owner, 'utf8').catch(() => '')) === token) await rm(path, { recursive: true, force: true });
  }
}

async function acquire(path, owner, token) {
  try {
    await mkdir(path);
    await writeFile(owner, token);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  const age = await stat(path).then(
    (found) => Date.now() - found.mtimeMs,
    () => 0,
  );
  if (age > STALE_MS) await rm(path, { recursive: true, force: true });
  return false;
}
