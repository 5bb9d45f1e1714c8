// Reads a .proto file of the onnx package and prints its fields as JSON, for schema.test.ts to hold the schema against:
//   pip download --no-deps onnx==1.23.2 && unzip -p onnx-*.whl onnx/onnx-ml.proto > onnx-ml.proto
//   node packages/onnx/test/extract-fields.mjs onnx-ml.proto 1.23.2 > packages/onnx/test/onnx-fields.json
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';

const [file, version] = process.argv.slice(2);
const { root } = protobuf.parse(readFileSync(file, 'utf8'), { keepCase: true });
root.resolveAll();
const messages = {};
const enums = {};

visit(root.lookup('onnx'), '');
process.stdout.write(`${JSON.stringify({ version, messages, enums }, null, 1)}\n`);

function visit(namespace, prefix) {
  for (const nested of namespace.nestedArray) {
    const name = prefix + nested.name;
    if (nested instanceof protobuf.Enum) enums[name] = nested.values;
    if (!(nested instanceof protobuf.Type)) continue;
    messages[name] = Object.fromEntries(nested.fieldsArray.map((field) => [field.name, describe(field)]));
    visit(nested, `${name}.`);
  }
}

function describe(field) {
  const type = field.resolvedType;
  return {
    number: field.id,
    type: type instanceof protobuf.Type ? type.fullName.replace(/^\.onnx\./, '') : type === null ? field.type : 'int32',
    repeated: field.repeated,
    packed: field.repeated && field.packed,
    oneof: field.partOf?.name ?? null,
  };
}
