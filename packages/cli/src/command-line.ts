/** A command as a person would type it again, for reports. */

/** `ort-dora rewrite 'my model.onnx' out.onnx --verify`: options that are undefined or false are left out, lists repeated. */
export function commandLine(
  command: string,
  positionals: readonly string[],
  options: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>,
): string {
  const words = Object.entries(options).flatMap(([flag, value]) => {
    if (value === undefined || value === false) return [];
    if (typeof value === 'object') return value.flatMap((each) => [`--${flag}`, each]);
    return value === true ? [`--${flag}`] : [`--${flag}`, String(value)];
  });
  return ['ort-dora', command, ...positionals, ...words].map(shellWord).join(' ');
}

const shellWord = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
