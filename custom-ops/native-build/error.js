/** What could not be built or fetched, and what to do about it: `message` says both in plain words. */
export class NativeBuildError extends Error {
  /**
   * @param {string} message what failed and where
   * @param {{ remedy?: string, cause?: unknown }} [options] remedy: a command or a setting that mends it
   */
  constructor(message, { remedy, cause } = {}) {
    super(remedy === undefined ? message : `${message}\n${remedy}`, cause === undefined ? undefined : { cause });
    this.name = 'NativeBuildError';
    this.remedy = remedy;
  }
}
