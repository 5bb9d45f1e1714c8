import { spawn } from 'node:child_process';
import { NativeBuildError } from './error.js';

const KEPT_LINES = 60;

/**
 * Runs a program and resolves with its standard output.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void }} [options]
 *   onLine receives every line of both streams as it arrives
 * @returns {Promise<string>}
 * @throws {NativeBuildError} when the program is missing or fails; the message ends with its last lines
 */
export function run(command, args, { cwd, env, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: env ?? process.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const lines = [];
    const follow = (stream, keep) => {
      let rest = '';
      const take = (line) => {
        lines.push(line);
        if (lines.length > KEPT_LINES) lines.shift();
        onLine?.(line);
      };
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        if (keep) output += text;
        const parts = (rest + text).split('\n');
        rest = parts.pop() ?? '';
        parts.forEach(take);
      });
      stream.on('end', () => rest && take(rest));
    };
    follow(child.stdout, true);
    follow(child.stderr, false);
    child.on('error', (cause) =>
      reject(new NativeBuildError(`${command} cannot be started: ${cause.message}`, { cause })),
    );
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(output);
      const end = signal === null ? `exited with ${code}` : `was ended by ${signal}`;
      reject(new NativeBuildError(`${[command, ...args].join(' ')} ${end}:\n${lines.join('\n')}`));
    });
  });
}
