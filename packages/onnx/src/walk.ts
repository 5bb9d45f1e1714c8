import type { ModelProto, TensorProto, TypeProto } from './messages.js';
import { MODEL, type Schema, TENSOR, TYPE } from './schema.js';

/**
 * Visits every tensor of a model, wherever it is: initializers and attributes of the graph, of subgraphs and of
 * functions, parts of sparse tensors. `path` says where, for messages.
 */
export function visitTensors(model: ModelProto, visit: (tensor: TensorProto, path: () => string) => void): void {
  visitKind(TENSOR, model, visit);
}

/** Visits every type of a model, wherever it is, types inside types included. */
export function visitTypes(model: ModelProto, visit: (type: TypeProto, path: () => string) => void): void {
  visitKind(TYPE, model, visit);
}

function visitKind<T extends object>(
  wanted: Schema<T>,
  model: ModelProto,
  visit: (message: T, path: () => string) => void,
) {
  const root = MODEL as unknown as Schema<object>;
  visitMessages(root, model as unknown as Record<string, unknown>, [], (schema, message, trail) => {
    if (schema.name === wanted.name) visit(message as T, () => formatTrail(trail));
  });
}

/** Property names and indices on the way to a message. */
type Trail = (string | number)[];

function visitMessages(
  schema: Schema<object>,
  message: Record<string, unknown>,
  trail: Trail,
  visit: (schema: Schema<object>, message: Record<string, unknown>, trail: Trail) => void,
): void {
  visit(schema, message, trail);
  for (const field of schema.fields) {
    if (field.kind !== 'message') continue;
    const value = message[field.name];
    if (value === undefined) continue;
    trail.push(field.name);
    if (!field.repeated) visitMessages(field.message(), value as Record<string, unknown>, trail, visit);
    else {
      const values = value as Record<string, unknown>[];
      for (let index = 0; index < values.length; index++) {
        trail.push(index);
        visitMessages(field.message(), values[index]!, trail, visit);
        trail.pop();
      }
    }
    trail.pop();
  }
}

function formatTrail(trail: Trail): string {
  return trail.reduce<string>(
    (path, step) => (typeof step === 'number' ? `${path}[${step}]` : path === '' ? step : `${path}.${step}`),
    '',
  );
}
