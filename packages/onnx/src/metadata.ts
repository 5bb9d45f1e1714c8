import { peek } from './deferred.js';
import type { StringStringEntryProto } from './messages.js';

/** Anything with metadata: model, graph, node, value, tensor, function. */
export interface HasMetadata {
  metadataProps: StringStringEntryProto[];
}

export function getMetadata(holder: HasMetadata, key: string): string | undefined {
  return peek(holder, 'metadataProps').find((entry) => entry.key === key)?.value;
}

/** Sets an entry in its place, or adds it; `undefined` removes it. */
export function setMetadata(holder: HasMetadata, key: string, value: string | undefined): void {
  const entry = holder.metadataProps.find((each) => each.key === key);
  if (value === undefined) holder.metadataProps = holder.metadataProps.filter((each) => each.key !== key);
  else if (entry === undefined) holder.metadataProps.push({ key, value });
  else entry.value = value;
}
