import type { ModelProto } from '../src/index.js';
import { type Field, MODEL, type Schema } from '../src/schema.js';
import { below, type Random, seededRandom } from './wire-forms.js';

/** A model with random values in every field of the schema: no sound graph, but every message that a file can hold. */
export function randomModel(seed: number): ModelProto {
  return fill(MODEL as unknown as Schema<object>, seededRandom(seed), 0) as unknown as ModelProto;
}

function fill(schema: Schema<object>, random: Random, depth: number): Record<string, unknown> {
  const message = schema.create() as Record<string, unknown>;
  const oneofs = new Set<string>();
  for (const field of [...schema.fields].sort(() => random() - 0.5)) {
    if (random() < (depth === 0 ? 0.1 : 0.4) || (field.kind === 'message' && depth > 4)) continue;
    if (field.oneof !== undefined && oneofs.has(field.oneof)) continue;
    if (field.oneof !== undefined) oneofs.add(field.oneof);
    const count = field.kind === 'message' && depth > 1 ? 1 : 1 + below(random, 3);
    const values = Array.from({ length: count }, () => randomValue(field, random, depth));
    if (field.store !== undefined) {
      const Store = (message[field.name] as object).constructor as unknown as { from(values: unknown[]): unknown };
      message[field.name] = Store.from(values);
    } else message[field.name] = field.repeated ? values : values[0];
  }
  return message;
}

function randomValue(field: Field, random: Random, depth: number): unknown {
  const special = random();
  switch (field.kind) {
    case 'message':
      return fill(field.message(), random, depth + 1);
    case 'string':
      return ['', 'a', 'größe', '\u{1F600}', `name_${below(random, 1000)}`][below(random, 5)];
    case 'bytes':
      return Uint8Array.from({ length: below(random, 9) }, () => below(random, 256));
    case 'int32':
      return special < 0.2 ? -1 - below(random, 2 ** 31) : below(random, 2 ** 31);
    case 'int64':
      return BigInt(below(random, 2 ** 31)) * (special < 0.3 ? -(2n ** 32n) : special < 0.6 ? 2n ** 31n : 1n);
    case 'uint64':
      return BigInt(below(random, 2 ** 31)) * (special < 0.5 ? 2n ** 33n : 1n);
    default:
      return special < 0.1
        ? Number.NaN
        : special < 0.2
          ? -0
          : special < 0.3
            ? Number.NEGATIVE_INFINITY
            : Math.fround(random() * 100);
  }
}
