/** HTML that cannot be broken out of: every string put into it is escaped, whatever file it came from. */

/** Text that is already HTML. Only {@link html} makes it. */
export class Markup {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

export type Content = Markup | string | number | null | undefined | false | readonly Content[];

/** A template whose values are escaped, unless they are Markup. Arrays are joined; null, undefined and false are nothing. */
export function html(literals: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(literals.map((literal, i) => (i === 0 ? '' : render(values[i - 1])) + literal).join(''));
}

/** Names in a model have no limit; on a page they have. */
const longestText = 400;

function render(content: Content): string {
  if (content === null || content === undefined || content === false) return '';
  if (content instanceof Markup) return content.toString();
  if (Array.isArray(content)) return content.map(render).join('');
  return escapeText(String(content));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Escapes markup, and shows characters that would hide, reorder or break text as a replacement character. */
function escapeText(text: string): string {
  const short = text.length > longestText ? `${text.slice(0, longestText)}…` : text;
  return (
    short
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
      .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]/gu, '\ufffd')
      .replace(/[&<>"']/g, (character) => entities[character]!)
  );
}
