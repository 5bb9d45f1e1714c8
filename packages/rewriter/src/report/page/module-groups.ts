/** Modules in the groups that a reader thinks in: the layers of the model. */

export interface Group<T> {
  /** The part of the path that the members share: up to its last number, or all but its last name. */
  readonly prefix: string;
  readonly members: readonly { readonly tail: string; readonly item: T }[];
}

/** Runs of neighbours that share a prefix, in the order given. */
export function groupByLayer<T extends { readonly path: string }>(items: readonly T[]): Group<T>[] {
  const groups: { prefix: string; members: { tail: string; item: T }[] }[] = [];
  for (const item of items) {
    const [prefix, tail] = splitPath(item.path);
    const last = groups.at(-1);
    if (last && last.prefix === prefix) last.members.push({ tail, item });
    else groups.push({ prefix, members: [{ tail, item }] });
  }
  return groups;
}

function splitPath(path: string): [prefix: string, tail: string] {
  const names = path.split('.');
  const number = names.findLastIndex((name, i) => /^\d+$/.test(name) && i < names.length - 1);
  const at = number >= 0 ? number + 1 : Math.max(0, names.length - 1);
  return [names.slice(0, at).join('.'), names.slice(at).join('.')];
}

/** A short name of a group for an axis: the names around its number. `…vision_model.encoder.layers.3` → `vision_model 3`. */
export function shortName(prefix: string): string {
  const names = prefix.split('.');
  const number = /^\d+$/.test(names.at(-1) ?? '') ? names.pop()! : '';
  const passedOver = /^(layers?|blocks?|encoder|decoder|h|model|base_model|m)$/;
  const name = names.findLast((candidate) => !passedOver.test(candidate)) ?? names.at(-1) ?? '';
  return `${name} ${number}`.trim();
}
