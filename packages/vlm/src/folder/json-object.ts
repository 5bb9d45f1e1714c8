// Fields of a JSON file, each read with the check that names file, field, what was expected and what is there.
import { show, VlmError } from '../errors.js';

export class JsonObject {
  /** The object as parsed. */
  readonly value: Readonly<Record<string, unknown>>;
  readonly #at: string;

  private constructor(value: Readonly<Record<string, unknown>>, at: string) {
    this.value = value;
    this.#at = at;
  }

  static from(value: unknown, at: string): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new VlmError('FOLDER_INVALID', `${at}: expected an object, found ${show(value)}`);
    }
    return new JsonObject(value as Record<string, unknown>, at);
  }

  object(name: string): JsonObject {
    return JsonObject.from(this.#own(name), `${this.#at}: ${name}`);
  }

  optionalObject(name: string): JsonObject | undefined {
    return this.has(name) ? this.object(name) : undefined;
  }

  /** Whether the field is there and not null. */
  has(name: string): boolean {
    const value = this.#own(name);
    return value !== undefined && value !== null;
  }

  string(name: string): string {
    const value = this.#own(name);
    return typeof value === 'string' ? value : this.#fail(name, 'a string');
  }

  integer(name: string, low: number, high: number): number {
    const value = this.#own(name);
    if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value;
    return this.#fail(name, `an integer from ${low} to ${high}`);
  }

  number(name: string, low: number, high: number): number {
    const value = this.#own(name);
    if (typeof value === 'number' && value >= low && value <= high) return value;
    return this.#fail(name, `a number from ${low} to ${high}`);
  }

  boolean(name: string): boolean {
    const value = this.#own(name);
    return typeof value === 'boolean' ? value : this.#fail(name, 'true or false');
  }

  /** One number or an array of them. */
  numbers(name: string): readonly number[] {
    const value = this.#own(name);
    const list = Array.isArray(value) ? value : [value];
    const finite = list.length <= 1000 && list.every((item) => typeof item === 'number' && Number.isFinite(item));
    return finite ? (list as number[]) : this.#fail(name, 'a number or an array of at most 1000');
  }

  /** `read` where the field is there and not null, else `fallback`. */
  or<T>(name: string, read: (object: this) => T, fallback: T): T {
    return this.has(name) ? read(this) : fallback;
  }

  #own(name: string): unknown {
    return Object.hasOwn(this.value, name) ? this.value[name] : undefined;
  }

  #fail(name: string, expected: string): never {
    throw new VlmError('FOLDER_INVALID', `${this.#at}: ${name}: expected ${expected}, found ${show(this.#own(name))}`);
  }
}
