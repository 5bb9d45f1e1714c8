// Files to pixels, as transformers' load_image and convert_to_rgb make them with Pillow: upright, transparency over white, no colour
// management.
import { setImmediate } from 'node:timers/promises';
import type Sharp from 'sharp';
import { VlmError } from '../errors.js';
import type { RgbImage } from './rgb-image.js';

export interface ImageLimits {
  /** Of a file, in bytes. */
  readonly maxBytes: number;
  /** Width times height: read from the header, before anything is decoded. */
  readonly maxPixels: number;
}

/** @throws VlmError IMAGE_INVALID, IMAGE_TOO_LARGE */
export async function decodeImage(bytes: Uint8Array, limits: ImageLimits): Promise<RgbImage> {
  if (bytes.length > limits.maxBytes) {
    throw new VlmError(
      'IMAGE_TOO_LARGE',
      `the picture's file has ${bytes.length} bytes, at most ${limits.maxBytes} are allowed`,
    );
  }
  // libvips reads much more, vector graphics and PDF among it; those loaders are not for files of strangers.
  if (!isKnownFormat(bytes)) throw new VlmError('IMAGE_INVALID', 'the picture is not a PNG, JPEG, WebP or GIF file');
  const sharp = await loadSharp();
  const image = sharp(bytes, { limitInputPixels: false, ignoreIcc: true, failOn: 'error' });
  try {
    const { width, height } = await image.metadata();
    if (width * height > limits.maxPixels) {
      throw new VlmError(
        'IMAGE_TOO_LARGE',
        `the picture has ${width} × ${height} pixels, at most ${limits.maxPixels} are allowed: scale it down`,
      );
    }
    const { data, info } = await image.autoOrient().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: await toRgb(data, info.channels) };
  } catch (cause) {
    if (cause instanceof VlmError) throw cause;
    throw new VlmError('IMAGE_INVALID', `the picture cannot be decoded: ${(cause as Error).message.split('\n')[0]}`, {
      cause,
    });
  }
}

// 27 MB and 85 ms that text alone does not need.
let loaded: Promise<typeof Sharp> | undefined;

function loadSharp(): Promise<typeof Sharp> {
  loaded ??= import('sharp').then((module) => module.default);
  return loaded;
}

function isKnownFormat(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 12)).toString('latin1');
  return (
    head.startsWith('\x89PNG\r\n\x1a\n') ||
    head.startsWith('\xff\xd8\xff') ||
    head.startsWith('GIF8') ||
    (head.startsWith('RIFF') && head.startsWith('WEBP', 8))
  );
}

/** Pixels between two turns of the event loop: some 5 ms. */
const SLICE = 1 << 20;

/** Grey and alpha channels to red, green and blue. */
async function toRgb(data: Uint8Array, channels: number): Promise<Uint8Array> {
  if (channels === 3) return data;
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  const hasAlpha = channels === 2 || channels === 4;
  for (let i = 0, from = 0, to = 0; i < pixels; i++, from += channels, to += 3) {
    if (i > 0 && i % SLICE === 0) await setImmediate();
    const alpha = hasAlpha ? data[from + channels - 1]! : 255;
    rgb[to] = overWhite(data[from]!, alpha);
    rgb[to + 1] = overWhite(data[from + green]!, alpha);
    rgb[to + 2] = overWhite(data[from + blue]!, alpha);
  }
  return rgb;
}

/** Pillow's alpha_composite (src/libImaging/AlphaComposite.c) over opaque white. */
function overWhite(level: number, alpha: number): number {
  const sum = (level * alpha + 255 * (255 - alpha)) * 128 + (0x80 << 7);
  return (((sum >> 8) + sum) >> 8) >> 7;
}
