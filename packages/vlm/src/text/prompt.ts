// The prompt of Idefics3 and SmolVLM: every image placeholder becomes the tokens of its tiles.
// transformers: models/smolvlm/processing_smolvlm.py, get_image_prompt_string.
import { VlmError } from '../errors.js';
import type { ModelSettings } from '../folder/model-settings.js';
import type { CheckedMessage } from '../messages.js';
import type { ChatTemplate } from './chat-template.js';
import type { Tokenizer } from './tokenizer.js';

const AROUND = '<fake_token_around_image>';
const WHOLE = '<global-img>';

/** How a picture was split; 0 × 0: not at all. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
}

export class PromptBuilder {
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate;
  readonly #imageToken: string;
  readonly #tokensPerTile: number;
  /** In bytes: beyond it, a prompt fits into no context, and need not be tokenised to know it. */
  readonly #longestPrompt: number;

  /** @throws VlmError FOLDER_INVALID where the vocabulary does not keep the tokens of an image whole */
  constructor(tokenizer: Tokenizer, template: ChatTemplate, settings: ModelSettings) {
    const { imageTokenId, tokensPerTile, contextLength } = settings;
    const imageToken = tokenizer.tokenOf(imageTokenId);
    const missing = [imageToken, AROUND, WHOLE].find((token) => token === undefined || !isAddedToken(tokenizer, token));
    if (imageToken === undefined || missing !== undefined) {
      const name = missing ?? `the image token ${imageTokenId}`;
      throw new VlmError(
        'FOLDER_INVALID',
        `tokenizer.json: ${name} is not an added token, as prompts with pictures need it`,
      );
    }
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#imageToken = imageToken;
    this.#tokensPerTile = tokensPerTile;
    this.#longestPrompt = contextLength * tokenizer.longestToken;
  }

  /**
   * The ids of a conversation, given how each of its pictures was split, in order.
   * @throws VlmError INVALID_ARGUMENT where a text contains the image placeholder, or the template drops a picture; PROMPT_TOO_LONG
   */
  ids(messages: readonly CheckedMessage[], grids: readonly Grid[]): number[] {
    this.#refusePlaceholders(messages);
    const pieces = this.#template.render(messages).split(this.#imageToken);
    if (pieces.length - 1 !== grids.length) {
      throw new VlmError(
        'INVALID_ARGUMENT',
        `messages: the model's chat template takes ${pieces.length - 1} of ${grids.length} pictures`,
        { parameter: 'messages' },
      );
    }
    const prompt = pieces.reduce((text, piece, i) => text + this.#expanded(grids[i - 1]!) + piece);
    if (Buffer.byteLength(prompt) > this.#longestPrompt) {
      throw new VlmError(
        'PROMPT_TOO_LONG',
        `messages: more than ${this.#longestPrompt} bytes of text fit into no context of this model`,
        {
          parameter: 'messages',
        },
      );
    }
    const begins = this.#template.beginToken;
    return this.#tokenizer.encode(prompt, begins === undefined || !prompt.startsWith(begins));
  }

  #refusePlaceholders(messages: readonly CheckedMessage[]): void {
    messages.forEach(({ content }, i) => {
      content.forEach((part, j) => {
        if (part.type !== 'text' || !part.text.includes(this.#imageToken)) return;
        const parameter = `messages[${i}].content[${j}].text`;
        throw new VlmError(
          'INVALID_ARGUMENT',
          `${parameter}: contains ${this.#imageToken}, which stands for a picture: send the picture as a part`,
          { parameter },
        );
      });
    });
  }

  #expanded({ rows, columns }: Grid): string {
    const tile = this.#imageToken.repeat(this.#tokensPerTile);
    const whole = `${AROUND}${WHOLE}${tile}${AROUND}`;
    if (rows === 0 && columns === 0) return whole;
    const line = (row: number) =>
      Array.from({ length: columns }, (_, column) => `${AROUND}<row_${row + 1}_col_${column + 1}>${tile}`).join('');
    return `${Array.from({ length: rows }, (_, row) => `${line(row)}\n`).join('')}\n${whole}`;
  }
}

/** Whether the token stays whole wherever a text has it. */
function isAddedToken(tokenizer: Tokenizer, token: string): boolean {
  const ids = tokenizer.encode(`a${token}`, false);
  return ids.at(-1) !== undefined && ids.at(-1) === tokenizer.idOf(token);
}
