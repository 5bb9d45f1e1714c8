/** `ort-dora doctor`: what was found of ONNX Runtime, CUDA and the libraries, and what is missing. */

import { describeRuntime, type RuntimeDescription } from '@ort-dora/runtime';
import { CommandError } from '../errors.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import type { Register } from '../program.js';
import { type Column, table } from '../table.js';
import { painter, type Sink } from '../terminal.js';
import { version } from '../version.js';

interface Finding {
  readonly name: string;
  /** `missing`: something works less well, or not at all, without it. */
  readonly state: 'found' | 'missing' | 'absent';
  readonly detail: string;
}

export const registerDoctor: Register = (program, { stdout }) => {
  program
    .command('doctor')
    .description('what was found of ORT, CUDA, the libraries, and what is missing')
    .addOption(jsonOption())
    .action((options: OutputOptions) => {
      const runtime = { ...describeRuntime() };
      printResult(stdout, options, { version, ...runtime, findings: findings(runtime) }, () => report(runtime, stdout));
      if (runtime.backend === undefined) {
        throw new CommandError('failed', `no model can run here: ${runtime.reason}`);
      }
    });
};

const found = (name: string, detail: string): Finding => ({ name, state: 'found', detail });
const missing = (name: string, detail: string): Finding => ({ name, state: 'missing', detail });

function findings(runtime: RuntimeDescription): Finding[] {
  const { node, onnxruntime, addon, opsLibrary, providers, cpu } = runtime;
  return [
    found('Node.js', `${node.version}, ${node.platform} ${node.arch}`),
    found('CPU', `${cpu.model}, ${cpu.count} threads${cpu.features.length > 0 ? `, ${cpu.features.join(' ')}` : ''}`),
    onnxruntime.path === undefined
      ? missing('ONNX Runtime', `not found; run npm install onnxruntime-node@${onnxruntime.version ?? '1.30.0'}`)
      : found('ONNX Runtime', `${onnxruntime.version ?? 'version unknown'}, ${onnxruntime.path}`),
    addon.status === 'loaded'
      ? found('native addon', addon.path ?? 'loaded')
      : missing(
          'native addon',
          `${addon.error}; models run on stock onnxruntime-node, without custom operators and bfloat16`,
        ),
    opsLibrary.status === 'registered'
      ? found('operator library', opsLibrary.path ?? '')
      : missing('operator library', whyNoLibrary(opsLibrary)),
    found('execution providers', providers.join(', ') || 'none'),
    ...cudaFindings(runtime),
  ];
}

/** What there is of CUDA. Without a GPU nothing is lacking; with one, everything that keeps sessions from it is. */
function cudaFindings({ cuda, cudaOpsLibrary }: RuntimeDescription): Finding[] {
  const state: Finding['state'] = cuda.devices.length > 0 ? 'missing' : 'absent';
  const lacking = (name: string, detail: string): Finding => ({ name, state, detail });
  const { folder, missing: files } = cuda.provider;
  return [
    cuda.usable
      ? found('CUDA', 'sessions can use it')
      : lacking('CUDA', 'sessions cannot use it; models run on the CPU'),
    ...cuda.problems.map((problem) => lacking('', problem)),
    ...cuda.devices.map(({ name, memory, computeCapability }, i) =>
      found(`GPU cuda:${i}`, `${name}, ${(memory / 2 ** 30).toFixed(0)} GiB, compute capability ${computeCapability}`),
    ),
    folder !== undefined && files.length === 0
      ? found('CUDA provider', folder)
      : lacking('CUDA provider', `${files.join(', ')} not in ${folder ?? 'sight'}`),
    ...(cuda.devices.length > 0 || cuda.libraries.some(({ path }) => path !== undefined) ? cuda.libraries : []).map(
      ({ soname, path, version, others, neededBy }) => {
        const name = soname === 'libcuda.so.1' ? 'CUDA driver' : soname.split('.so')[0]!;
        if (path !== undefined) return found(name, `${version ?? 'version unknown'}, ${path}`);
        const instead = others.map((other) => `${other.soname} ${other.version ?? ''}`.trim()).join(', ');
        const use = neededBy === 'operators' ? ', for the operators that use it' : '';
        return lacking(name, `${soname} needed${use}, ${instead ? `found ${instead}` : 'none found'}`);
      },
    ),
    cudaOpsLibrary.status === 'registered'
      ? found('CUDA operators', cudaOpsLibrary.path ?? '')
      : lacking('CUDA operators', whyNoLibrary(cudaOpsLibrary)),
  ];
}

function whyNoLibrary({ status, error }: RuntimeDescription['opsLibrary']): string {
  const consequence = 'rewritten models run through the functions in their files';
  switch (status) {
    case 'failed':
      return `${error}; ${consequence}`;
    case 'unused':
      return `built, but stock onnxruntime-node cannot register it; ${consequence}`;
    default:
      return `not built (npm run setup builds it); ${consequence}`;
  }
}

function report(runtime: RuntimeDescription, sink: Sink): string[] {
  const paint = painter(sink);
  const all = findings(runtime);
  const columns: Column<Finding>[] = [
    { title: '', value: ({ state }) => ({ found: '✓', missing: '✗', absent: '–' })[state] },
    { title: '', value: ({ name }) => name },
    { title: '', value: ({ detail }) => detail },
  ];
  const [, ...lines] = table(all, columns);
  const painted = lines.map(
    (line, i) =>
      paint(all[i]!.state === 'missing' ? 'yellow' : all[i]!.state === 'found' ? 'green' : 'dim', line.slice(0, 1)) +
      line.slice(1),
  );
  const lacking = all.filter(({ name, state }) => name !== '' && state === 'missing').map(({ name }) => name);
  const verdict =
    runtime.backend === undefined
      ? `no model can run here: ${runtime.reason}`
      : lacking.length === 0
        ? 'everything is in place'
        : `missing: ${lacking.join(', ')}; what is there works without`;
  return [`ort-dora ${version}`, ...painted, paint('bold', verdict)];
}
