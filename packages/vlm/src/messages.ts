// What is asked: a conversation of messages with text and pictures.
import { unexpected, VlmError } from './errors.js';
import type { RgbImage } from './image/rgb-image.js';

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

export interface ImagePart {
  readonly type: 'image';
  /** The bytes of a PNG, JPEG, WebP or GIF file (its first frame), or pixels. */
  readonly image: Uint8Array | RgbImage;
}

export type ContentPart = TextPart | ImagePart;

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  /** A string is one text part. */
  readonly content: string | readonly ContentPart[];
}

/** A message as the rest of the package reads it. */
export interface CheckedMessage {
  readonly role: Message['role'];
  readonly content: readonly ContentPart[];
}

const ROLES: readonly string[] = ['system', 'user', 'assistant'];

/** @throws VlmError INVALID_ARGUMENT naming the part, as in `messages[2].content[0].text` */
export function checkMessages(messages: readonly Message[]): readonly CheckedMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) throw unexpected('messages', 'a non-empty array', messages);
  return messages.map((message, i) => {
    const at = `messages[${i}]`;
    if (typeof message !== 'object' || message === null) throw unexpected(at, '{ role, content }', message);
    if (!ROLES.includes(message.role)) throw unexpected(`${at}.role`, ROLES.join(' or '), message.role);
    if (typeof message.content === 'string')
      return { role: message.role, content: [{ type: 'text', text: message.content }] };
    if (!Array.isArray(message.content) || message.content.length === 0) {
      throw unexpected(`${at}.content`, 'a string or a non-empty array of parts', message.content);
    }
    message.content.forEach((part: ContentPart, j: number) => {
      checkPart(part, `${at}.content[${j}]`);
    });
    return { role: message.role, content: message.content };
  });
}

function checkPart(part: ContentPart, at: string): void {
  if (typeof part !== 'object' || part === null) throw unexpected(at, 'a text or image part', part);
  if (part.type === 'text') {
    if (typeof part.text !== 'string') throw unexpected(`${at}.text`, 'a string', part.text);
  } else if (part.type === 'image') {
    if (!(part.image instanceof Uint8Array)) checkPixels(part.image, `${at}.image`);
  } else {
    throw unexpected(`${at}.type`, "'text' or 'image'", (part as { type: unknown }).type);
  }
}

function checkPixels(image: RgbImage, at: string): void {
  if (typeof image !== 'object' || image === null)
    throw unexpected(at, 'the bytes of a file, or { width, height, data }', image);
  const { width, height, data } = image;
  const sized = Number.isSafeInteger(width) && Number.isSafeInteger(height) && width > 0 && height > 0;
  if (!sized || !(data instanceof Uint8Array) || data.length !== width * height * 3) {
    throw new VlmError('INVALID_ARGUMENT', `${at}: expected width * height * 3 bytes of RGB in data`, {
      parameter: at,
    });
  }
}
