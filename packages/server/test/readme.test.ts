import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { start } from './support/server.js';

it('the commands of the README print what it says', async () => {
  const server = await start();
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const session = /```console\n([\s\S]*?)```/.exec(readme)![1]!;
  const commands = session.split(/^\$ /m).slice(1);
  expect(commands.length).toBe(5);
  for (const command of commands) {
    const [line, ...output] = command.trimEnd().split('\n');
    const { stdout } = await promisify(execFile)('sh', ['-c', line!.replaceAll('http://127.0.0.1:8080', server.url)]);
    expect(stdout.trimEnd()).toBe(output.join('\n'));
  }
});
