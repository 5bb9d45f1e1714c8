// Which operators of ort.dora a session on the CPU leaves to the functions that the model defines for them.
import { type FileHandle, open } from 'node:fs/promises';
import { fieldsIn, fieldsOf, type ReadRange } from './protobuf-fields.js';
import type { SessionOptions } from './session-options.js';

/** Entry that the operator library reads: names of operators, separated by commas, that it does not register. */
export const BODY_ENTRY = 'ort_dora.body';

// Field numbers of onnx.proto.
const MODEL_FUNCTIONS = 25;
const FUNCTION_NAME = 1;
const FUNCTION_DOMAIN = 10;
const FUNCTION_OVERLOAD = 13;

/**
 * DoraLinear, if all that the model has of it is float32: ONNX Runtime's MatMul on prepacked weights is faster there than our kernel,
 * which gets W as it is stored. In half precision the kernel is better, since it streams half the bytes, and the body would keep a
 * float32 copy of W (docs/decisions/0005-cpu-kernels.md has the figures).
 * Reads the heads of the model's functions only. A model that cannot be read has none: ONNX Runtime is going to say what is wrong.
 */
export async function operatorsLeftToBodies(
  model: string | Uint8Array,
  providers: SessionOptions['providers'] = [],
): Promise<readonly string[]> {
  if (providers.some(({ name }) => name !== 'cpu')) return [];
  const overloads = (await functionsOf(model))
    .filter(({ domain, name }) => domain === 'ort.dora' && name === 'DoraLinear')
    .map(({ overload }) => overload);
  return overloads.length > 0 && overloads.every((overload) => overload.startsWith('float32_')) ? ['DoraLinear'] : [];
}

interface FunctionHead {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
}

async function functionsOf(model: string | Uint8Array): Promise<FunctionHead[]> {
  if (typeof model !== 'string') return heads(async (at, length) => model.subarray(at, at + length));
  let file: FileHandle | undefined;
  try {
    const opened = await open(model, 'r');
    file = opened;
    return await heads(async (at, length) => {
      const { bytesRead, buffer } = await opened.read(Buffer.alloc(length), 0, length, at);
      return buffer.subarray(0, bytesRead);
    });
  } catch {
    return [];
  } finally {
    await file?.close();
  }
}

/** At most this much of a function is read: its body is between its name and its domain, and ours are small. */
const LARGEST_FUNCTION = 1 << 20;

async function heads(read: ReadRange): Promise<FunctionHead[]> {
  const found: FunctionHead[] = [];
  for await (const { number, start, length } of fieldsIn(read, 0, Number.POSITIVE_INFINITY)) {
    if (number === MODEL_FUNCTIONS && length <= LARGEST_FUNCTION) found.push(head(await read(start, length)));
  }
  return found;
}

function head(bytes: Uint8Array): FunctionHead {
  const texts = new Map<number, string>();
  for (const { number, start, length } of fieldsOf(bytes)) {
    if ([FUNCTION_NAME, FUNCTION_DOMAIN, FUNCTION_OVERLOAD].includes(number)) {
      texts.set(number, new TextDecoder().decode(bytes.subarray(start, start + length)));
    }
  }
  const text = (number: number) => texts.get(number) ?? '';
  return { name: text(FUNCTION_NAME), domain: text(FUNCTION_DOMAIN), overload: text(FUNCTION_OVERLOAD) };
}
