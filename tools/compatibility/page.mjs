// docs/compatibility.md, made from benchmarks/results/compatibility.json: it says nothing that the results do not.

/** @returns {string} the page */
export function compatibilityPage({ cases, runtimes, transformers }) {
  const models = new Set(cases.map((name) => name.split(', ')[0]));
  const notes = new Notes();
  const rows = runtimes.map(
    ({ name, version, bodies, library }) =>
      `| ${name} | ${version} | ${cell(bodies, cases, notes)} | ${library === null ? '–' : cell(library, cases, notes)} |`,
  );
  const tokens = transformers.map(({ name, version, questions, equal, failure }) =>
    failure === undefined
      ? `| ${name} | ${version} | ${equal} of ${questions} answers equal, token by token |`
      : `| ${name} | ${version} | ${oneLine(failure)} |`,
  );
  return `${[
    '# Compatibility',
    '',
    'Made by `node tools/compatibility.mjs`, which installs these versions and runs rewritten models in each on a CPU (Linux, x86-64).',
    `${models.size} models (single layers of every kind, a language model, a vision-language model), each rewritten as \`--form linear\`,`,
    '`--form compose` and `--scale runtime`: outputs must be within the recorded tolerance of PyTorch in float64. Bodies: the file',
    'as it is, ONNX Runtime inlining the functions in it. Library: the operator library registered as well; it asks for C API 23,',
    'which ONNX Runtime has since 1.23. onnxruntime-node and onnxruntime-web cannot register one by themselves',
    '(`@ort-dora/runtime` does, over onnxruntime-node 1.30).',
    '',
    '| runtime | version | bodies | library |',
    '|---|---|---|---|',
    ...rows,
    '',
    ...notes.lines(cases.length),
    '',
    'The demo model with its adapter, rewritten, loaded by transformers.js from its folder; greedy answers against those recorded',
    'from PyTorch:',
    '',
    '| library | version | result |',
    '|---|---|---|',
    ...tokens,
    '',
    '## What follows',
    '',
    '- Before ONNX Runtime 1.27, the functions of a file do not work where one operator has two forms (overloads) that differ in',
    '  types (half-precision layers beside float32 ones) or in how matrices are stored (dynamo exports transpose some weights). Such',
    '  a file needs 1.27, or 1.23 with the operator library; where only the storage differs, `--form compose` with stored g runs too.',
    '  Everything else runs from 1.20 on.',
    '- Python quantizers: `tools/e2e/quantizers.test.ts` runs dynamic, static (QDQ) and MatMulNBits quantization on models',
    '  rewritten with `--form compose`; every adapted base is quantized. The quantizers take stored weights only: where the',
    '  exporter put a Transpose behind a weight (dynamo, large layers), fold it first, as `run_quantizers.py` does.',
  ].join('\n')}\n`;
}

function cell({ passed, failures }, cases, notes) {
  if (passed === cases.length) return `all ${passed}`;
  const failed = passed === 0 ? 'none loads' : `${passed} of ${cases.length}`;
  return `${failed} [${notes.number(Object.keys(failures), Object.values(failures)[0])}]`;
}

/** Sets of cases that fail together, each told once, with the first message that was seen for it. */
class Notes {
  #notes = new Map();

  number(failed, message) {
    const key = failed.join('\n');
    if (!this.#notes.has(key))
      this.#notes.set(key, { number: this.#notes.size + 1, failed, message: oneLine(message) });
    return this.#notes.get(key).number;
  }

  lines(total) {
    return [...this.#notes.values()].map(({ number, failed, message }) => {
      const which = failed.length === total ? 'All' : failed.map((name) => `\`${name}\``).join('; ');
      return `[${number}] ${which}. The first says: ${message}  `;
    });
  }
}

/** A message without the folder that the run had its models in. */
function oneLine(message) {
  return message
    .replaceAll('\n', ' ')
    .replace(/\/[^\s]*\/([^\s/]*\.onnx)/g, '$1')
    .replaceAll('|', '\\|');
}
