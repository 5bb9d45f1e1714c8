import type { Schema } from '../src/schema.js';
import { below, type Random } from './wire-forms.js';

export type Message = Record<string, unknown>;

/** Changes one field somewhere in a message; returns how to undo it. */
export function randomEdit(schema: Schema<object>, message: Message, random: Random): (() => void) | undefined {
  const field = schema.fields[below(random, schema.fields.length)]!;
  const before = message[field.name];
  if (field.kind === 'message' && random() < 0.7) {
    const child = field.repeated ? (before as Message[])[below(random, (before as Message[]).length)] : before;
    if (child !== undefined) return randomEdit(field.message(), child as Message, random);
  }
  const fresh = () => {
    if (field.kind === 'message') return field.message().create();
    if (field.kind === 'string') return 'edited';
    if (field.kind === 'bytes') return Uint8Array.of(1, 2, 3);
    return field.kind === 'int64' || field.kind === 'uint64' ? 12345n : 12345;
  };
  if (field.store !== undefined) {
    const Store = (before as object).constructor as new (from: ArrayLike<unknown>) => unknown;
    message[field.name] = new Store([...(before as Iterable<unknown>), fresh()]);
  } else if (!field.repeated)
    message[field.name] = before === undefined ? fresh() : random() < 0.5 ? undefined : fresh();
  else {
    const list = [...(before as unknown[])];
    const place = below(random, list.length + 1);
    const kind = random();
    if (kind < 0.4) list.splice(place, 0, fresh());
    else if (kind < 0.7) list.splice(place, 1);
    else list.reverse();
    message[field.name] = list;
  }
  return () => {
    message[field.name] = before;
  };
}
