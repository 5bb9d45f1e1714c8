/**
 * Several different values for a key, in the order in which they came. A key with one value, as most have, holds the value
 * itself: a Set of one takes 200 bytes, and a large graph has a hundred thousand names. Values are no Sets themselves.
 */
export class Multimap<K, V extends object> {
  readonly #values = new Map<K, V | Set<V>>();

  /** Returns whether it is the key's first value. */
  add(key: K, value: V): boolean {
    const held = this.#values.get(key);
    if (held === undefined) this.#values.set(key, value);
    else if (held instanceof Set) held.add(value);
    else if (held !== value) this.#values.set(key, new Set([held, value]));
    return held === undefined;
  }

  has(key: K): boolean {
    return this.#values.has(key);
  }

  get(key: K): Iterable<V> {
    const held = this.#values.get(key);
    if (held === undefined) return [];
    return held instanceof Set ? held : [held];
  }

  delete(key: K, value: V): void {
    const held = this.#values.get(key);
    if (held instanceof Set ? held.delete(value) && held.size === 0 : held === value) this.#values.delete(key);
  }

  deleteAll(key: K): void {
    this.#values.delete(key);
  }
}
