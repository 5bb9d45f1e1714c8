import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { delimited, tag, varint } from '../test/wire-forms.js';
import { decodeModel, makeNode, OnnxError, validateModel } from './index.js';

const sample = new Uint8Array(
  readFileSync(new URL('../../../models/fixtures/samples/c08_linear_bias_dynamo_small/model.onnx', import.meta.url)),
);

function failure(bytes: ArrayLike<number>, limits = {}): OnnxError {
  try {
    decodeModel(Uint8Array.from(bytes), limits);
  } catch (error) {
    expect(error).toBeInstanceOf(OnnxError);
    return error as OnnxError;
  }
  throw new Error('this was to fail');
}

test('a file cut off anywhere is malformed, or lacks what a model has', () => {
  const seen = new Set<string>();
  for (let length = 0; length < sample.length; length += 1 + (length >> 7)) {
    let thrown: unknown;
    try {
      validateModel(decodeModel(sample.subarray(0, length)));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(OnnxError);
    seen.add((thrown as OnnxError).code);
  }
  expect([...seen].sort()).toEqual(['malformed', 'no-graph']);
});

describe('malformed, with the place', () => {
  test('a length beyond the message around it', () => {
    const node = [...delimited(4, [65]), ...tag(1, 2), 99, 65];
    const error = failure(delimited(7, [...delimited(1, []), ...delimited(1, node)]));
    expect(error).toMatchObject({ code: 'malformed', where: { path: 'graph.node[1].input[0]', offset: 11 } });
    expect(error.message).toMatch(/a length of 99|index out of range/);
  });

  test('a length of 4 GiB', () => expect(failure([...tag(7, 2), ...varint(2 ** 32 - 1)]).code).toBe('malformed'));
  test('a varint without an end', () => expect(failure([8, ...new Array(20).fill(0x80)]).code).toBe('malformed'));
  test('a varint of eleven bytes', () =>
    expect(failure([8, ...new Array(10).fill(0x80), 8, 1]).code).toBe('malformed'));
  test('field number 0', () => expect(failure([0, 1]).code).toBe('malformed'));
  test('an end of a group that never began', () => expect(failure(tag(90, 4)).code).toBe('malformed'));
  test('a group without an end', () => expect(failure(tag(90, 3)).code).toBe('malformed'));
  test('numbers cut off within a block', () => {
    const tensor = delimited(4, [0, 0, 0]);
    expect(failure(delimited(7, delimited(5, tensor)))).toMatchObject({ code: 'malformed' });
  });
  test('no protobuf at all', () => expect(failure(Buffer.from('<!DOCTYPE html><html>')).code).toBe('malformed'));
});

describe('bounded', () => {
  test('messages that nest too deep', () => {
    // A graph in an attribute of a node of a graph, and so on.
    let graph: number[] = [];
    for (let depth = 0; depth < 200; depth++) graph = delimited(1, delimited(5, delimited(6, graph)));
    expect(failure(delimited(7, graph))).toMatchObject({ code: 'limit' });
    expect(() => decodeModel(Uint8Array.from(delimited(7, graph)), { maxDepth: 1000 })).not.toThrow();
  });

  test('groups that nest too deep', () => {
    expect(failure(new Array(100_000).fill(tag(90, 3)).flat()).code).toBe('malformed');
  });

  test('two bytes that become hundreds, many times', () => {
    const graph = Array.from({ length: 200_000 }, () => delimited(1, [])).flat();
    const error = failure(delimited(7, graph), { maxHeapBytes: 10_000_000 });
    expect(error).toMatchObject({ code: 'limit', where: { path: expect.stringMatching(/^graph\.node\[\d+\]$/) } });
  });

  test('single bytes that become numbers', () => {
    const dims = delimited(7, delimited(5, delimited(1, new Array(100_000).fill(1))));
    expect(failure(dims, { maxHeapBytes: 1_000_000 }).code).toBe('limit');
    const data = delimited(7, delimited(5, delimited(7, new Array(200_000).fill(1))));
    expect(failure(data, { maxHeapBytes: 1_000_000 }).code).toBe('limit');
  });

  test('one message in a hundred thousand parts', () => {
    expect(failure(new Array(100_000).fill(delimited(7, [])).flat())).toMatchObject({ code: 'limit' });
  });
});

test('messages show names from the file in one line, without control characters and without end', () => {
  const model = decodeModel(sample);
  model.graph!.node.push(makeNode('Neg', [`\u001b[31m\n\u202e${'x'.repeat(1e6)}`], ['z']));
  expect(() => validateModel(model)).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/^[\x20-\x7e]+…?$/) }),
  );
  expect(() => validateModel(model)).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/^.{100,600}$/) }),
  );
});
