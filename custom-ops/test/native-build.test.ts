import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  buildWithCMake,
  cacheFolder,
  missingTools,
  NativeBuildError,
  ortHeaders,
  withLock,
} from '@ort-dora/custom-ops/native-build';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { opsLibraryPath } from '../index.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'native-build-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('withLock', () => {
  it('lets one in at a time', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await sleep(20);
      inside--;
    };
    await Promise.all(Array.from({ length: 5 }, () => withLock(join(folder, 'lock'), work)));
    expect(most).toBe(1);
  });

  it('is released when the work fails', async () => {
    const lock = join(folder, 'lock');
    await expect(withLock(lock, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(await withLock(lock, async () => 'free', { timeoutMs: 1000 })).toBe('free');
  });

  it('takes over a lock whose holder died', async () => {
    const lock = join(folder, 'lock');
    mkdirSync(lock);
    const minuteAgo = Date.now() / 1000 - 60;
    utimesSync(lock, minuteAgo, minuteAgo);
    expect(await withLock(lock, async () => 'taken', { timeoutMs: 5000 })).toBe('taken');
  });

  it('gives up with the command that removes the lock', async () => {
    const lock = join(folder, 'lock');
    mkdirSync(lock);
    await expect(withLock(lock, async () => 'never', { timeoutMs: 50 })).rejects.toThrow(`rm -r '${lock}'`);
  });
});

describe.skipIf(missingTools().length > 0)('buildWithCMake', () => {
  const project = () => {
    const source = join(folder, 'source');
    mkdirSync(source);
    const lists = 'cmake_minimum_required(VERSION 3.20)\nproject(p LANGUAGES CXX)\nadd_executable(p main.cc)\n';
    writeFileSync(join(source, 'CMakeLists.txt'), lists);
    writeFileSync(join(source, 'main.cc'), 'int main() { return 0; }\n');
    return { source, build: join(folder, 'build') };
  };

  it('builds once, and again when a source or an option changes', async () => {
    const request = project();
    const both = await Promise.all([buildWithCMake(request), buildWithCMake(request)]);
    expect(both.map(({ rebuilt }) => rebuilt).sort()).toEqual([false, true]);
    writeFileSync(join(request.source, 'main.cc'), 'int main() { return 1; }\n');
    expect(await buildWithCMake(request)).toEqual({ rebuilt: true });
    expect(await buildWithCMake(request)).toEqual({ rebuilt: false });
    expect(await buildWithCMake({ ...request, options: { CMAKE_BUILD_TYPE: 'Debug' } })).toEqual({ rebuilt: true });
  });

  it("fails with the compiler's message, and tries again next time", async () => {
    const request = project();
    writeFileSync(join(request.source, 'main.cc'), 'int main() { return wrong; }\n');
    await expect(buildWithCMake(request)).rejects.toThrow(/main\.cc:1.*wrong/);
    await expect(buildWithCMake(request)).rejects.toThrow(NativeBuildError);
  });
});

describe('folders', () => {
  it('caches where XDG says', () => {
    vi.stubEnv('XDG_CACHE_HOME', folder);
    expect(cacheFolder()).toBe(join(folder, 'ort-dora'));
    vi.stubEnv('XDG_CACHE_HOME', 'relative');
    vi.stubEnv('HOME', '/home/someone');
    expect(cacheFolder()).toBe('/home/someone/.cache/ort-dora');
  });

  it('refuses headers that are none or too old, saying so', async () => {
    vi.stubEnv('ORT_INCLUDE_DIR', folder);
    await expect(ortHeaders()).rejects.toThrow('holds no onnxruntime_c_api.h');
    writeFileSync(join(folder, 'onnxruntime_c_api.h'), '#define ORT_API_VERSION 21\n');
    await expect(ortHeaders()).rejects.toThrow('holds headers of API 21');
    writeFileSync(join(folder, 'onnxruntime_c_api.h'), '#define ORT_API_VERSION 24\n');
    expect(await ortHeaders()).toBe(folder);
  });

  it('takes the operator library that the environment names', () => {
    const library = join(folder, 'library.so');
    vi.stubEnv('ORT_DORA_OPS_LIBRARY', library);
    expect(() => opsLibraryPath()).toThrow(`ORT_DORA_OPS_LIBRARY=${library} does not exist`);
    writeFileSync(library, '');
    expect(opsLibraryPath()).toBe(library);
  });
});
