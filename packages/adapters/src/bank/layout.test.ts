import { describe, expect, it } from 'vitest';
import { AdapterError } from '../errors.js';
import { type BankLayout, formatBankLayout, parseBankLayout, planBank } from './layout.js';

const sizes = { slots: 3, maxRank: 5, elementType: 'bfloat16' } as const;
const modules = new Map([
  ['layers.1.mlp.up_proj', { inFeatures: 10, outFeatures: 33 }],
  ['layers.0.q_proj', { inFeatures: 70, outFeatures: 20 }],
]);

describe('planBank', () => {
  it('places every part apart from the others, aligned, the same for every order of the modules', () => {
    const layout = planBank(modules, sizes);
    expect(layout).toEqual({
      ...sizes,
      rowElements: 384 + 128 + 64 + 192,
      gainElements: 128,
      modules: new Map([
        ['layers.0.q_proj', { offsetA: 0, offsetB: 384, offsetG: 0, inFeatures: 70, outFeatures: 20 }],
        ['layers.1.mlp.up_proj', { offsetA: 512, offsetB: 576, offsetG: 64, inFeatures: 10, outFeatures: 33 }],
      ]),
    });
    expect(planBank(new Map([...modules].reverse()), sizes)).toEqual(layout);
  });

  it.each([{ slots: 0 }, { slots: 1.5 }, { maxRank: 0 }, { maxRank: 2 ** 31 }, { maxRank: Number.NaN }])(
    'refuses %o',
    (wrong) => {
      expect(() => planBank(modules, { ...sizes, ...wrong })).toThrow(RangeError);
    },
  );

  it('refuses a bank without modules, and modules without features', () => {
    expect(() => planBank(new Map(), sizes)).toThrow('it has no modules');
    expect(() => planBank(new Map([['a', { inFeatures: 0, outFeatures: 1 }]]), sizes)).toThrow('no place for module a');
  });
});

describe('parseBankLayout', () => {
  const layout = planBank(modules, sizes);
  const text = formatBankLayout(layout);

  it('reads what was written', () => {
    expect(parseBankLayout(text, 'model.onnx')).toEqual(layout);
    expect(formatBankLayout(parseBankLayout(text, 'model.onnx'))).toBe(text);
  });

  it.each<[string, (json: MutableLayout) => unknown, string]>([
    ['another version', (json) => ({ ...json, version: 2 }), 'is of version 2, not 1'],
    ['a size that is none', (json) => ({ ...json, slots: '3' }), 'slots is "3"'],
    ['an element type that is none', (json) => ({ ...json, elementType: 'int8' }), 'elementType is "int8"'],
    ['no modules', (json) => ({ ...json, modules: [] }), 'it has no modules'],
    ['a module that is none', (json) => ({ ...json, modules: { a: null } }), 'no place for module a'],
    ['a negative offset', (json) => at(json, 'offsetA', -64), 'no place for module layers.0.q_proj'],
    ['a huge offset', (json) => at(json, 'offsetA', 1e300), 'no place for module layers.0.q_proj'],
    ['an overlap', (json) => at(json, 'offsetB', 320), 'module layers.0.q_proj lies over another'],
    ['an overlap of gains', (json) => at(json, 'offsetG', 63), 'module layers.1.mlp.up_proj lies over another'],
    ['a row that is too short', (json) => ({ ...json, rowElements: 740 }), 'reaches up to 741, and rowElements is 740'],
    ['no row', (json) => ({ ...json, gainElements: null }), 'gainElements is null'],
  ])('refuses %s', (_, change, message) => {
    const changed = JSON.stringify(change(JSON.parse(text)));
    expect(() => parseBankLayout(changed, 'model.onnx')).toThrow(AdapterError);
    expect(() => parseBankLayout(changed, 'model.onnx')).toThrow(message);
  });

  it('refuses what is not JSON, or has a module twice', () => {
    expect(() => parseBankLayout('{', 'model.onnx')).toThrow('model.onnx: its ort_dora.bank_layout cannot be read');
    expect(() => parseBankLayout('[]', 'model.onnx')).toThrow('is not an object');
    expect(() => parseBankLayout(text.replace('{"version":1', '{"slots":3,"version":1'), 'model.onnx')).toThrow(
      '"slots" is there twice',
    );
  });
});

type MutableLayout = Omit<BankLayout, 'modules'> & { modules: Record<string, Record<string, number>> };

function at(json: MutableLayout, key: string, value: number): MutableLayout {
  const path = 'layers.0.q_proj';
  return { ...json, modules: { ...json.modules, [path]: { ...json.modules[path], [key]: value } } };
}
