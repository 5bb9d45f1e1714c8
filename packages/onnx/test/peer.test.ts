/**
 * Against onnx-proto, generated from an older onnx.proto: what both know must be read alike, whichever of the two
 * wrote it. What only this package knows is listed below, so that a field that is silently misread shows.
 */
import { readdirSync, readFileSync } from 'node:fs';
import Long from 'long';
import { describe, expect, test } from 'vitest';
import { decodeModel, encodeModel } from '../src/index.js';
import { MODEL, type Schema } from '../src/schema.js';
import { randomModel } from './random-model.js';

// The peer's protobufjs takes a global Long first; left to itself it finds an ES module, which it cannot use.
Object.assign(globalThis, { Long });
const { onnx } = await import('onnx-proto');

/** Message → fields that the peer's schema (ONNX 1.10) does not have. */
const NEWER: Readonly<Record<string, readonly string[]>> = {
  ModelProto: ['configuration'],
  GraphProto: ['metadataProps'],
  NodeProto: ['overload', 'metadataProps', 'deviceConfigurations'],
  ValueInfoProto: ['metadataProps'],
  TensorProto: ['metadataProps'],
  FunctionProto: ['attributeProto', 'valueInfo', 'overload', 'metadataProps'],
  TypeProto: ['opaqueType'],
};

const samples = new URL('../../../models/fixtures/samples/', import.meta.url);
const files = readdirSync(samples, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 't7_truncated')
  .map((entry) => [entry.name, new Uint8Array(readFileSync(new URL(`${entry.name}/model.onnx`, samples)))] as const);

describe('samples', () => {
  test.each(files)('%s', (_, bytes) => compare(bytes));
});

test('200 random models with every field', () => {
  for (let seed = 1; seed <= 200; seed++) compare(encodeModel(randomModel(seed)));
});

function compare(bytes: Uint8Array): void {
  const ours = comparable(MODEL as unknown as Schema<object>, decodeModel(bytes) as unknown as Record<string, unknown>);
  const peer = onnx.ModelProto.decode(bytes);
  expect(peerObject(peer)).toEqual(ours);
  // And what the peer writes, in its own form (numbers packed), is read back to the same.
  const rewritten = onnx.ModelProto.encode(peer).finish();
  const again = decodeModel(rewritten);
  expect(comparable(MODEL as unknown as Schema<object>, again as unknown as Record<string, unknown>)).toEqual(ours);
  expect(Buffer.compare(encodeModel(again), rewritten)).toBe(0);
}

function peerObject(peer: ReturnType<typeof onnx.ModelProto.decode>): unknown {
  return plain(onnx.ModelProto.toObject(peer, { longs: String, bytes: String, arrays: true }));
}

/** NaN and −0 as text, so that equal means equal. */
function plain(value: unknown): unknown {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  }
  return value;
}

function comparable(schema: Schema<object>, message: Record<string, unknown>): unknown {
  const known = schema.fields.filter((field) => NEWER[schema.name]?.includes(field.name) !== true);
  const entries = known.flatMap((field) => {
    const value = message[field.name];
    if (value === undefined) return [];
    const one = (each: unknown): unknown => {
      if (field.kind === 'message') return comparable(field.message(), each as Record<string, unknown>);
      if (field.kind === 'bytes') return Buffer.from(each as Uint8Array).toString('base64');
      return typeof each === 'bigint' ? each.toString() : plain(each);
    };
    return [[field.name, field.repeated ? Array.from(value as ArrayLike<unknown>, one) : one(value)]];
  });
  return Object.fromEntries(entries);
}
