import type { Field } from './schema.js';

type Message = Record<string, unknown>;
type ReadField = (message: object, field: Field) => unknown;

const accessors = new Map<Field, Accessor>();

interface Accessor extends PropertyDescriptor {
  readonly get: () => unknown;
}

/** By the getter of a deferred property: what it reads, and how. */
const readers = new Map<unknown, { readonly field: Field; readonly read: ReadField }>();

/**
 * Puts off decoding a field until somebody reads it: its property is an accessor that becomes a plain one at the
 * first read or write. It is enumerable, so copying or comparing the message reads it. One accessor serves all messages,
 * and it is defined on messages that lack the property: then V8 gives them all one hidden class.
 */
export function defer(message: Message, field: Field, read: ReadField): void {
  let accessor = accessors.get(field);
  if (accessor === undefined) {
    accessor = makeAccessor(field, read);
    accessors.set(field, accessor);
    readers.set(accessor.get, { field, read });
  }
  Object.defineProperty(message, field.name, accessor);
}

/** Whether the field has been neither read nor written since the message was decoded. */
export function isDeferred(message: object, field: Field): boolean {
  const accessor = field.deferred ? accessors.get(field) : undefined;
  return accessor !== undefined && Object.getOwnPropertyDescriptor(message, field.name)?.get === accessor.get;
}

/**
 * The value of a property, for a look that keeps nothing: what is deferred stays deferred, and its value here is of its own,
 * not to be changed. A pass over a whole model that reads plainly leaves all of it decoded.
 */
export function peek<T extends object, K extends string & keyof T>(message: T, name: K): T[K] {
  const deferred = readers.get(Object.getOwnPropertyDescriptor(message, name)?.get);
  return deferred === undefined ? message[name] : (deferred.read(message, deferred.field) as T[K]);
}

function makeAccessor(field: Field, read: ReadField): Accessor {
  const settle = (message: object, value: unknown) => {
    Object.defineProperty(message, field.name, { value, writable: true, enumerable: true, configurable: true });
    return value;
  };
  return {
    get(this: object): unknown {
      return settle(this, read(this, field));
    },
    set(this: object, value: unknown): void {
      settle(this, value);
    },
    enumerable: true,
    configurable: true,
  };
}
