/** Damage to model files, seeded: to their bytes, to what they say, and to the data beside them. */
import {
  type GraphProto,
  inlineBytes,
  isExternal,
  type ModelProto,
  type NodeProto,
  setExternalLocation,
  type TensorProto,
} from '@ort-dora/onnx';

/** Whole numbers from 0, exclusive of the bound. */
export type Below = (bound: number) => number;

/** A generator of such numbers that gives the same ones for the same seed. */
export function below(seed: number): Below {
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0;
  return (bound) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 13), 0x297a2d39) >>> 0;
    const whole = (mixed ^ (mixed >>> 16)) >>> 0;
    return bound <= 0 ? 0 : whole % bound;
  };
}

/** Some bytes changed, cut off, taken out, doubled or put in. */
export function damagedBytes(bytes: Uint8Array, pick: Below): Uint8Array {
  let result = Buffer.from(bytes);
  for (let times = 1 + pick(3); times > 0; times--) {
    const at = pick(result.length + 1);
    const end = Math.min(result.length, at + pick(40));
    const [before, after] = [result.subarray(0, at), result.subarray(end)];
    switch (pick(6)) {
      case 0:
        if (result.length > 0) result[pick(result.length)]! ^= 1 << pick(8);
        break;
      case 1:
        result = Buffer.from(before);
        break;
      case 2:
        result = Buffer.concat([before, after]);
        break;
      case 3:
        result = Buffer.concat([result.subarray(0, end), result.subarray(at)]);
        break;
      case 4:
        result = Buffer.concat([before, Buffer.from(Array.from({ length: pick(12) }, () => pick(256))), after]);
        break;
      default:
        if (result.length > 0) result[pick(result.length)] = [0, 1, 127, 128, 255][pick(5)]!;
    }
  }
  return new Uint8Array(result);
}

/** Something that the format allows, changed: names, operators, attributes, shapes, types, numbers, whole nodes. */
export function damagedStructure(model: ModelProto, pick: Below): void {
  const graph = model.graph!;
  const one = <T>(list: readonly T[]): T | undefined => list[pick(list.length)];
  const node = one(graph.node);
  const tensor = one(graph.initializer);
  if (node === undefined) return;
  switch (pick(14)) {
    case 0:
      node.input[pick(node.input.length + 1)] = anyName(graph, pick);
      break;
    case 1:
      node.output[pick(node.output.length)] = anyName(graph, pick);
      break;
    case 2:
      graph.node.splice(graph.node.indexOf(node), 1);
      break;
    case 3:
      graph.node.splice(pick(graph.node.length), 0, structuredClone(one(graph.node)!));
      break;
    case 4:
      node.opType = one(graph.node)!.opType ?? '';
      break;
    case 5:
      changeAttribute(node, pick);
      break;
    case 6:
      if (tensor !== undefined) tensor.dims = tensor.dims.toReversed();
      break;
    case 7:
      if (tensor !== undefined) tensor.dims = [...tensor.dims, BigInt(pick(5)) - 1n].slice(pick(2));
      break;
    case 8:
      if (tensor !== undefined) tensor.dims[pick(tensor.dims.length)] = 2n ** BigInt(pick(63));
      break;
    case 9:
      if (tensor !== undefined) tensor.dataType = pick(25);
      break;
    case 10:
      if (tensor !== undefined) changeElement(tensor, pick);
      break;
    case 11:
      node.input.reverse();
      break;
    case 12:
      (one(model.opsetImport) ?? { version: 0n }).version = BigInt(pick(30));
      break;
    default:
      model.irVersion = BigInt(pick(14));
  }
}

/** Puts every tensor of the main graph into a file beside the model, and returns that file's bytes. */
export function externalized(model: ModelProto, location: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph!.initializer) {
    const bytes = inlineBytes(tensor);
    parts.push(bytes);
    setExternalLocation(tensor, { location, offset, length: bytes.length });
    offset += bytes.length;
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** An external tensor's place, changed to another, out of the file, out of the folder, or to no number at all. */
export function damagedPlace(model: ModelProto, pick: Below): void {
  const external = model.graph!.initializer.filter(isExternal);
  const entry = external[pick(external.length)]?.externalData[pick(3)];
  if (entry === undefined) return;
  const hostile = ['-1', '9007199254740993', '1e3', '../in.onnx', '/etc/passwd', '.', '', 'in.onnx', '%00', 'none'];
  entry.value = pick(2) === 0 ? String(pick(50_000)) : hostile[pick(hostile.length)]!;
}

function anyName({ node, input, initializer }: GraphProto, pick: Below): string {
  const names = [
    '',
    ...node.flatMap(({ output }) => output),
    ...[...input, ...initializer].map(({ name }) => name ?? ''),
  ];
  return names[pick(names.length)]!;
}

function changeAttribute({ attribute }: NodeProto, pick: Below): void {
  const changed = attribute[pick(attribute.length)];
  if (changed === undefined) return;
  if (changed.i !== undefined) changed.i = BigInt(pick(5)) - 2n;
  else if (changed.f !== undefined) changed.f = pick(4) - 1;
  else if (changed.ints.length > 0) changed.ints[pick(changed.ints.length)] = BigInt(pick(5)) - 2n;
  else if (changed.t !== undefined) changeElement(changed.t, pick);
  else changed.type = pick(16);
}

/** One bit of a stored number. */
function changeElement(tensor: TensorProto, pick: Below): void {
  if (tensor.rawData === undefined || tensor.rawData.length === 0) return;
  tensor.rawData = tensor.rawData.slice();
  tensor.rawData[pick(tensor.rawData.length)]! ^= 1 << pick(8);
}
