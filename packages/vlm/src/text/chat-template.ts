// A conversation as the model's prompt, through the model's chat template (Jinja).
import { Template } from '@huggingface/jinja';
import { VlmError } from '../errors.js';
import type { JsonObject } from '../folder/json-object.js';
import type { ModelFolder } from '../folder/model-folder.js';
import type { CheckedMessage } from '../messages.js';
import { withTimeLimit } from './time-limit.js';

const LARGEST_TEMPLATE = 64 << 10;
const RENDER_LIMIT = 2000;
const SPECIAL_TOKENS = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;

export class ChatTemplate {
  /** Begins the prompts that must not get it a second time from the tokenizer. */
  readonly beginToken: string | undefined;
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;

  /** tokenizer_config.json has the template, or, as transformers 5 writes it, chat_template.jinja. */
  static async read(folder: ModelFolder, config: JsonObject): Promise<ChatTemplate> {
    const file = config.has('chat_template') ? undefined : await folder.optionalText('chat_template.jinja');
    return new ChatTemplate(file ?? config.string('chat_template'), config);
  }

  private constructor(source: string, config: JsonObject) {
    if (source.length > LARGEST_TEMPLATE) {
      throw new VlmError(
        'FOLDER_INVALID',
        `the chat template: expected at most ${LARGEST_TEMPLATE} characters, found ${source.length}`,
      );
    }
    try {
      this.#template = withTimeLimit(RENDER_LIMIT, 'the chat template', () => new Template(source));
    } catch (cause) {
      if (cause instanceof VlmError) throw cause;
      throw new VlmError('FOLDER_INVALID', `the chat template: ${(cause as Error).message}`, {
        cause,
      });
    }
    this.#tokens = Object.fromEntries(
      SPECIAL_TOKENS.flatMap((name) => (config.has(name) ? [[name, tokenText(config, name)]] : [])),
    );
    this.beginToken = this.#tokens.bos_token;
  }

  /** The prompt up to where the answer begins, with one placeholder an image. */
  render(messages: readonly CheckedMessage[]): string {
    const plain = messages.map(({ role, content }) => ({
      role,
      content: content.map((part) => (part.type === 'text' ? { type: 'text', text: part.text } : { type: 'image' })),
    }));
    try {
      return withTimeLimit(RENDER_LIMIT, 'the chat template', () =>
        this.#template.render({ ...this.#tokens, messages: plain, add_generation_prompt: true }),
      );
    } catch (cause) {
      if (cause instanceof VlmError) throw cause;
      // A template refuses a conversation by raise_exception.
      throw new VlmError(
        'INVALID_ARGUMENT',
        `messages: the model's chat template refuses them: ${(cause as Error).message}`,
        { cause, parameter: 'messages' },
      );
    }
  }
}

/** A special token is a string, or an object with `content`. */
function tokenText(config: JsonObject, name: string): string {
  return typeof config.value[name] === 'string' ? config.string(name) : config.object(name).string('content');
}
