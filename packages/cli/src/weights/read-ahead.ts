/** The items of `source`, each given out while the next one is already being made: one is in use, one in the making. */
export async function* readAhead<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  const items = source[Symbol.asyncIterator]();
  const request = () => {
    const next = items.next();
    // Its error comes when its turn does; until then nobody waits for it.
    next.catch(() => {});
    return next;
  };
  try {
    for (let item = await request(); item.done !== true; ) {
      const next = request();
      yield item.value;
      item = await next;
    }
  } finally {
    await items.return?.();
  }
}
