// What test/fixtures/record.py wrote, and the pictures that it and the tests draw by one formula.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { RgbImage } from '../src/image/rgb-image.js';
import type { ContentPart, Message } from '../src/messages.js';

export const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url));
export const TINY = `${FIXTURES}tiny`;

type PictureArguments = [width: number, height: number, kind: 'smooth' | 'edges' | 'noise'];

interface RecordedPart {
  type: 'text' | 'image';
  text?: string;
  picture?: PictureArguments;
}

export interface RecordedMessage {
  role: Message['role'];
  content: RecordedPart[];
}

export interface PixelCase {
  picture: PictureArguments;
  backend: 'pillow' | 'torchvision';
  settings: { resample?: number; do_image_splitting?: boolean };
  /** [tiles, 3, side, side] */
  shape: [number, number, number, number];
  rows: number;
  columns: number;
}

export interface PromptCase {
  messages: RecordedMessage[];
  prompt: string;
  ids: number[];
}

export interface Answer {
  tokens: number[];
  /** The highest logit minus the second, at every token. */
  gaps: number[];
}

export interface GenerationCase {
  messages: RecordedMessage[];
  base: Answer;
  adapter: Answer;
  /** Of the base, special tokens left out. */
  text: string;
}

export function recorded<T>(name: string): T {
  return JSON.parse(readFileSync(`${FIXTURES}${name}`, 'utf8')) as T;
}

/** The recorded pixels, uint8, of one case after the other. */
export function recordedPixels(): Uint8Array {
  return gunzipSync(readFileSync(`${FIXTURES}pixels.bin.gz`));
}

/** record.py: picture(). */
export function picture(width: number, height: number, kind: PictureArguments[2]): RgbImage {
  const data = new Uint8Array(width * height * 3);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) data[at++] = level(x, y, channel, width, height, kind);
    }
  }
  return { width, height, data };
}

function level(
  x: number,
  y: number,
  channel: number,
  width: number,
  height: number,
  kind: PictureArguments[2],
): number {
  if (kind === 'edges') return ((Math.floor(x / 7) + Math.floor(y / 5)) % 2) * 255;
  if (kind === 'noise') return Math.imul(x * 73 + y * 179 + channel * 283 + x * y * 31, 2654435761) >>> 24;
  const [numerator, denominator] = [
    [x, width],
    [y, height],
    [x + y, width + height],
  ][channel] as [number, number];
  return Math.floor((numerator * 255) / denominator);
}

export function conversation(messages: readonly RecordedMessage[]): Message[] {
  return messages.map(({ role, content }) => ({
    role,
    content: content.map(
      (part): ContentPart =>
        part.picture === undefined
          ? { type: 'text', text: part.text ?? '' }
          : { type: 'image', image: picture(...part.picture) },
    ),
  }));
}
