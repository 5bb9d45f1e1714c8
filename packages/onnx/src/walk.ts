import { peek } from './deferred.js';
import type { ModelProto, TensorProto, TypeProto } from './messages.js';
import { MODEL, type Schema, TENSOR, TYPE } from './schema.js';

/**
 * Visits every tensor of a model, wherever it is: initializers and attributes of the graph, of subgraphs and of
 * functions, parts of sparse tensors. `path` says where, for messages.
 */
export function visitTensors(model: ModelProto, visit: (tensor: TensorProto, path: () => string) => void): void {
  visitKind(TENSOR, model, visit);
}

/** Visits every type of a model, wherever it is, types inside types included: for a look, not for changes. */
export function visitTypes(model: ModelProto, visit: (type: TypeProto, path: () => string) => void): void {
  visitKind(TYPE, model, visit);
}

function visitKind<T extends object>(
  wanted: Schema<T>,
  model: ModelProto,
  visit: (message: T, path: () => string) => void,
) {
  const root = MODEL as unknown as Schema<object>;
  visitMessages(root, model as unknown as Record<string, unknown>, [], leadsTo(wanted), (schema, message, trail) => {
    if (schema === (wanted as Schema<object>)) visit(message as T, () => formatTrail(trail));
  });
}

/** Whether a message can hold, at whatever depth, a message of the wanted kind. */
function leadsTo(wanted: Schema<object>): (schema: Schema<object>) => boolean {
  const answers = new Map<Schema<object>, boolean>();
  return (schema) => {
    let answer = answers.get(schema);
    if (answer === undefined) {
      answer = partsOf(schema).has(wanted);
      answers.set(schema, answer);
    }
    return answer;
  };
}

/** A schema and those of the messages inside it. */
function partsOf(schema: Schema<object>, parts = new Set<Schema<object>>()): ReadonlySet<Schema<object>> {
  if (parts.has(schema)) return parts;
  parts.add(schema);
  for (const field of schema.fields) if (field.kind === 'message') partsOf(field.message(), parts);
  return parts;
}

/** Property names and indices on the way to a message. */
type Trail = (string | number)[];

function visitMessages(
  schema: Schema<object>,
  message: Record<string, unknown>,
  trail: Trail,
  isOfUse: (schema: Schema<object>) => boolean,
  visit: (schema: Schema<object>, message: Record<string, unknown>, trail: Trail) => void,
): void {
  visit(schema, message, trail);
  for (const field of schema.fields) {
    if (field.kind !== 'message' || !isOfUse(field.message())) continue;
    const value = peek(message, field.name);
    if (value === undefined) continue;
    trail.push(field.name);
    if (!field.repeated) visitMessages(field.message(), value as Record<string, unknown>, trail, isOfUse, visit);
    else {
      const values = value as Record<string, unknown>[];
      for (let index = 0; index < values.length; index++) {
        trail.push(index);
        visitMessages(field.message(), values[index]!, trail, isOfUse, visit);
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
