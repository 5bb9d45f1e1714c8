import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  DataType,
  encodeModel,
  externalTensors,
  isExternal,
  type ModelProto,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  openModel,
  setExternalLocation,
  type TensorProto,
} from './index.js';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'onnx-external-')), 'model');
  mkdirSync(folder);
});
afterEach(() => {
  rmSync(join(folder, '..'), { recursive: true });
});

/** A tensor of float32 zeros with external data, whose entries the test says. */
function external(entries: Record<string, string>, dims: bigint[] = [4n]): TensorProto {
  const tensor = makeTensor('w', DataType.FLOAT, [0], new Uint8Array(0));
  setExternalLocation(tensor, { location: 'weights', offset: 0, length: 0 });
  tensor.dims = dims;
  tensor.externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
  return tensor;
}

function withWeights(...tensors: TensorProto[]): ModelProto {
  const [first] = tensors;
  return makeModel(
    makeGraph('g', {
      inputs: [makeValueInfo('x', DataType.FLOAT, [4])],
      initializers: tensors,
      nodes: [makeNode('Add', ['x', first!.name!], ['y'])],
      outputs: [makeValueInfo('y', DataType.FLOAT, [4])],
    }),
    { opsets: { '': 17 } },
  );
}

function store(model: ModelProto): string {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, encodeModel(model));
  return path;
}

function weights(values: Float32Array, name = 'weights', before = 0): void {
  writeFileSync(join(folder, name), Buffer.concat([Buffer.alloc(before), Buffer.from(values.buffer)]));
}

describe('reading', () => {
  test('a range, the elements, a stream', async () => {
    weights(Float32Array.of(1, 2, 3, 4), 'weights', 4096);
    await using file = await openModel(
      store(withWeights(external({ location: 'weights', offset: '4096', length: '16' }))),
    );
    const [tensor] = file.model.graph!.initializer as [TensorProto];
    expect(isExternal(tensor)).toBe(true);
    expect((await file.readTensor(tensor)).data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(new Float32Array((await file.readBytes(tensor, { offset: 4, length: 8 })).buffer)).toEqual(
      Float32Array.of(2, 3),
    );
    const sizes: number[] = [];
    for await (const chunk of file.streamBytes(tensor, 7)) sizes.push(chunk.length);
    expect(sizes).toEqual([7, 7, 2]);
    await expect(file.readBytes(tensor, { offset: 8, length: 9 })).rejects.toMatchObject({ code: 'external-range' });
    await expect(file.readBytes(tensor, { offset: -1 })).rejects.toMatchObject({ code: 'external-range' });
  });

  test('a file in a folder below, and a link within the folder', async () => {
    mkdirSync(join(folder, 'parts'));
    weights(Float32Array.of(5, 6, 7, 8), 'parts/weights');
    symlinkSync('parts/weights', join(folder, 'link'));
    for (const location of ['parts/weights', './parts/weights', 'link']) {
      await using file = await openModel(store(withWeights(external({ location }))));
      expect(await file.readFloat32(file.model.graph!.initializer[0]!)).toEqual(Float32Array.of(5, 6, 7, 8));
    }
  });

  test('a file that shrinks after it was opened', async () => {
    weights(Float32Array.of(1, 2, 3, 4));
    await using file = await openModel(store(withWeights(external({ location: 'weights' }))));
    truncateSync(join(folder, 'weights'), 8);
    await expect(file.readTensor(file.model.graph!.initializer[0]!)).rejects.toMatchObject({ code: 'external-range' });
  });

  test('a file that is swapped for a link out of the folder after it was checked', async () => {
    weights(Float32Array.of(1, 2, 3, 4));
    writeFileSync(join(folder, '..', 'secret'), Buffer.alloc(16));
    await using file = await openModel(store(withWeights(external({ location: 'weights' }))));
    rmSync(join(folder, 'weights'));
    symlinkSync('../secret', join(folder, 'weights'));
    await expect(file.readTensor(file.model.graph!.initializer[0]!)).rejects.toMatchObject({ code: 'external-path' });
  });
});

/** Entries, then what the error says. */
const refused: Record<string, [Record<string, string>, string, bigint[]?]> = {
  'a step out of the folder': [{ location: '../secret' }, 'external-path'],
  'a step out by way of a folder below': [{ location: 'parts/../../secret' }, 'external-path'],
  'a step up and back in': [{ location: '../model/weights' }, 'external-path'],
  'steps with backslashes': [{ location: '..\\secret' }, 'external-path'],
  'an absolute path': [{ location: '/etc/passwd' }, 'external-path'],
  'an absolute path of Windows': [{ location: 'C:\\secret' }, 'external-path'],
  'no location': [{}, 'external-path'],
  'an empty location': [{ location: '' }, 'external-path'],
  'a location with NUL': [{ location: 'weights\0' }, 'external-path'],
  'a link out of the folder': [{ location: 'out' }, 'external-path'],
  'a file in a linked folder': [{ location: 'outfolder/secret' }, 'external-path'],
  'a folder': [{ location: 'parts' }, 'external-path'],
  'the folder itself': [{ location: '.' }, 'external-path'],
  'a pipe': [{ location: 'pipe' }, 'external-path'],
  'a loop of links': [{ location: 'loop' }, 'io'],
  'a file that is not there': [{ location: 'missing' }, 'io'],
  'a negative offset': [{ location: 'weights', offset: '-4' }, 'external-range'],
  'an offset that is no number': [{ location: 'weights', offset: '0x10' }, 'external-range'],
  'an offset beyond the end': [{ location: 'weights', offset: '4' }, 'external-range'],
  'an offset beyond all numbers': [{ location: 'weights', offset: '9'.repeat(30) }, 'external-range'],
  'a negative length': [{ location: 'weights', length: '-1' }, 'external-range'],
  'a length that is not that of the dims': [{ location: 'weights', length: '12' }, 'external-range'],
  'dims beyond the end': [{ location: 'weights' }, 'external-range', [2n ** 40n]],
  'dims beyond all numbers': [{ location: 'weights' }, 'invalid-tensor', [2n ** 40n, 2n ** 40n]],
  'negative dims': [{ location: 'weights' }, 'invalid-tensor', [-4n]],
};

describe('refused at opening, before a byte is read', () => {
  test.each(Object.entries(refused))('%s', async (_, [entries, code, dims]) => {
    weights(Float32Array.of(1, 2, 3, 4));
    mkdirSync(join(folder, 'parts'));
    mkdirSync(join(folder, '..', 'outside'));
    writeFileSync(join(folder, '..', 'secret'), Buffer.alloc(16));
    writeFileSync(join(folder, '..', 'outside', 'secret'), Buffer.alloc(16));
    symlinkSync('../secret', join(folder, 'out'));
    symlinkSync('../outside', join(folder, 'outfolder'));
    symlinkSync('loop', join(folder, 'loop'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const path = store(withWeights(external(entries, dims)));
    await expect(openModel(path)).rejects.toMatchObject({
      name: 'OnnxError',
      code,
      where: { path: 'graph.initializer[0]', ...(code === 'io' ? {} : { file: expect.any(String) }) },
    });
  });

  test('a tensor in an attribute of a subgraph, in the same way', async () => {
    const tensor = external({ location: '../secret' });
    const branch = makeGraph('b', {
      nodes: [makeNode('Constant', [], ['k'], { attributes: { value: { tensor } } })],
      outputs: [makeValueInfo('k')],
    });
    const graph = makeGraph('g', {
      inputs: [makeValueInfo('c', DataType.BOOL, [])],
      nodes: [
        makeNode('If', ['c'], ['y'], {
          attributes: { then_branch: { graph: branch }, else_branch: { graph: branch } },
        }),
      ],
      outputs: [makeValueInfo('y')],
    });
    await expect(openModel(store(makeModel(graph, { opsets: { '': 17 } })))).rejects.toMatchObject({
      code: 'external-path',
      where: { path: 'graph.node[0].attribute[0].g.node[0].attribute[0].t' },
    });
  });

  test('all the same without validation', async () => {
    const path = store(withWeights(external({ location: '../secret' })));
    await expect(openModel(path, { validate: false })).rejects.toMatchObject({ code: 'external-path' });
  });
});

test('opening a model with 60 GB of external data costs what its graph costs', async () => {
  const [count, elements] = [15_000, 1_000_000];
  const data = openSync(join(folder, 'weights'), 'w');
  ftruncateSync(data, count * elements * 4);
  writeSync(data, Buffer.from(Float32Array.of(42).buffer), 0, 4, (count - 1) * elements * 4);
  closeSync(data);
  const tensors = Array.from({ length: count }, (_, index) => ({
    ...external({ location: 'weights', offset: String(index * elements * 4) }, [BigInt(elements)]),
    name: `w${index}`,
  }));
  const path = store(withWeights(...tensors));
  const graphBytes = statSync(path).size;
  const [rss, read, start] = [process.memoryUsage.rss(), bytesRead(), performance.now()];
  await using file = await openModel(path);
  const places = externalTensors(file.model);
  const milliseconds = performance.now() - start;
  expect(places.reduce((sum, { place }) => sum + place.length, 0)).toBe(60e9);
  // The model file itself is read, and little else; 15 000 tensors take some 20 MB of objects and some 100 ms.
  expect(bytesRead() - read).toBeLessThan(graphBytes + 100_000);
  expect(process.memoryUsage.rss() - rss).toBeLessThan(150e6);
  expect(milliseconds).toBeLessThan(5000);
  const last = places[places.length - 1]!.tensor;
  expect(new Float32Array((await file.readBytes(last, { length: 4 })).buffer)).toEqual(Float32Array.of(42));
  expect(bytesRead() - read).toBeLessThan(graphBytes + 200_000);
});

/** Bytes that this process has read from files so far. */
function bytesRead(): number {
  return Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
}

test('the list of external places', () => {
  const model = withWeights(
    external({ location: 'weights', offset: '16', checksum: 'abc' }),
    makeTensor('inline', DataType.FLOAT, [], Float32Array.of(1)),
  );
  expect(externalTensors(model)).toMatchObject([
    { path: 'graph.initializer[0]', place: { location: 'weights', offset: 16, length: 16, checksum: 'abc' } },
  ]);
});
