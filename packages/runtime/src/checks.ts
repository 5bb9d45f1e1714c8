// Checks of single options.
import { unexpected } from './errors.js';

/** Strings as they are, numbers and booleans in ONNX Runtime's notation: true is 1. */
export function scalars(value: unknown, name: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(plainObject(value, name)).map(([key, item]) => {
      if (typeof item === 'string') return [key, item];
      if (typeof item === 'boolean') return [key, item ? '1' : '0'];
      if (typeof item === 'number' && Number.isFinite(item)) return [key, `${item}`];
      throw unexpected(`${name}['${key}']`, 'a string', item);
    }),
  );
}

export function plainObject(value: unknown, name: string): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unexpected(name, 'an object', value);
  return value;
}

export function integer(value: unknown, name: string, low: number, high: number): void {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) {
    throw unexpected(name, `an integer from ${low} to ${high}`, value);
  }
}

export function oneOf(value: unknown, name: string, choices: readonly string[]): void {
  if (!choices.includes(value as string))
    throw unexpected(name, choices.map((choice) => `'${choice}'`).join(' or '), value);
}

export function boolean(value: unknown, name: string): void {
  if (typeof value !== 'boolean') throw unexpected(name, 'a boolean', value);
}

export function text(value: unknown, name: string): void {
  if (typeof value !== 'string' || value === '') throw unexpected(name, 'a non-empty string', value);
}

/** A place for tensors: `cpu`, `cpu-pinned`, `cuda` or `cuda:N`. */
export function place(value: unknown, name: string, { pinned = true } = {}): void {
  const known = pinned ? /^(cpu|cpu-pinned|cuda(:\d{1,3})?)$/ : /^(cpu|cuda(:\d{1,3})?)$/;
  if (typeof value !== 'string' || !known.test(value))
    throw unexpected(name, pinned ? "'cpu', 'cpu-pinned' or 'cuda:N'" : "'cpu' or 'cuda:N'", value);
}
