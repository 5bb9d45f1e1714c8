/** How far from its remembered place an item is looked for before all places are taken anew. */
const MAX_DRIFT = 4096;
/** Up to so many items are taken out of a list one by one. */
const FEW = 256;

/**
 * Where the items of a list are. Places are taken once; edits shift the items after them, so an item is looked for around
 * the place it had, and edits of a few items cost far less than a pass over the list.
 */
export class Places<T extends object> {
  #remembered: Map<T, number> | undefined;

  /** @param list the list itself, which edits change in place */
  constructor(private readonly list: () => T[]) {}

  /** The place of an item; -1 if it is not in the list. */
  find(item: T): number {
    const items = this.list();
    this.#remembered ??= placesOf(items);
    const hint = this.#remembered.get(item) ?? items.length - 1;
    for (let distance = 0; distance <= MAX_DRIFT; distance++) {
      if (items[hint - distance] === item) return hint - distance;
      if (items[hint + distance] === item) return hint + distance;
    }
    this.#remembered = placesOf(items);
    return this.#remembered.get(item) ?? -1;
  }

  insert(place: number, added: readonly T[]): void {
    this.list().splice(place, 0, ...added);
    for (const [index, item] of added.entries()) this.#remembered?.set(item, place + index);
  }

  /** Puts an item in the place of another; it goes last if that one is not in the list. */
  replace(before: T, item: T): void {
    const place = this.find(before);
    this.list()[place < 0 ? this.list().length : place] = item;
    this.#remembered?.delete(before);
    this.#remembered?.set(item, place);
  }

  /** Items that are not in the list are passed over. */
  remove(removed: ReadonlySet<T>): void {
    const items = this.list();
    if (removed.size > FEW) {
      let kept = 0;
      for (const item of items) if (!removed.has(item)) items[kept++] = item;
      items.length = kept;
      this.#remembered = undefined;
      return;
    }
    for (const item of removed) {
      const place = this.find(item);
      if (place >= 0) items.splice(place, 1);
      this.#remembered?.delete(item);
    }
  }

  /** Call after the list was put in another order. */
  forget(): void {
    this.#remembered = undefined;
  }
}

function placesOf<T>(items: readonly T[]): Map<T, number> {
  const places = new Map<T, number>();
  for (let index = 0; index < items.length; index++) places.set(items[index]!, index);
  return places;
}
