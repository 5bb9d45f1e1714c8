// Results of measurements: JSON with the commit, the machine and the command that made them.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeRuntime } from '@ort-dora/runtime';

// From build/bench/bench/.
const repository = fileURLToPath(new URL('../../../../../', import.meta.url));

/** Writes benchmarks/results/NAME.json and prints its path. */
export function writeResult(name: string, command: string, measured: object): void {
  const { cpu, node, onnxruntime, backend } = describeRuntime();
  const result = {
    name,
    command,
    commit:
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain', 'packages/runtime') === '' ? '' : ' with changes'),
    date: new Date().toISOString(),
    machine: { cpu: cpu.model, cores: cpu.count, node: node.version, onnxruntime: onnxruntime.version, backend },
    ...measured,
  };
  const path = join(repository, 'benchmarks/results', `${name}.json`);
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  console.error(path);
}

function git(...args: string[]): string {
  return execFileSync('git', ['-C', repository, ...args], { encoding: 'utf8' }).trim();
}
