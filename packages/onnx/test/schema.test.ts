import { expect, test } from 'vitest';
import { AttributeType, DataLocation, DataType } from '../src/index.js';
import { MODEL, type Schema } from '../src/schema.js';
import reference from './onnx-fields.json' with { type: 'json' };

const schemas = new Map<string, Schema<object>>();
(function collect(schema: Schema<object>) {
  if (schemas.has(schema.name)) return;
  schemas.set(schema.name, schema);
  for (const field of schema.fields) if (field.kind === 'message') collect(field.message());
})(MODEL as unknown as Schema<object>);

test(`the schema is that of onnx ${reference.version}, no message or field missing or extra`, () => {
  const ours = Object.fromEntries(
    [...schemas.values()].map((schema) => [
      schema.name,
      Object.fromEntries(
        schema.fields.map((field) => [
          field.name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
          {
            number: field.number,
            type: field.kind === 'message' ? field.message().name : field.kind,
            repeated: field.repeated,
            packed: field.store !== undefined,
            oneof: field.oneof ?? null,
          },
        ]),
      ),
    ]),
  );
  expect(ours).toEqual(reference.messages);
});

test('every message has a property for every field', () => {
  for (const schema of schemas.values()) {
    const empty = schema.create() as Record<string, unknown>;
    expect(Object.keys(empty).sort()).toEqual(schema.fields.map((field) => field.name).sort());
    for (const field of schema.fields) {
      if (field.store !== undefined) expect((empty[field.name] as object).constructor.name).toBe(field.store);
      else expect(empty[field.name]).toEqual(field.repeated ? [] : undefined);
    }
  }
});

test('enums', () => {
  expect(DataType).toEqual(reference.enums['TensorProto.DataType']);
  expect(DataLocation).toEqual(reference.enums['TensorProto.DataLocation']);
  expect(AttributeType).toEqual(reference.enums['AttributeProto.AttributeType']);
});
