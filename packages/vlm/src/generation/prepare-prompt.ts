// A conversation up to the point where the decoder takes over: ids, and the features of its pictures.
import { VlmError } from '../errors.js';
import { decodeImage } from '../image/decode-image.js';
import { makeTiles, type Tiles } from '../image/tiles.js';
import { type CheckedMessage, checkMessages, type ImagePart, type Message } from '../messages.js';
import type { Engine } from './engine.js';

export interface PreparedPrompt {
  readonly ids: readonly number[];
  /** float32 rows for the image tokens among the ids, in order: one array a picture. */
  readonly features: readonly Float32Array[];
  /** In milliseconds. */
  readonly timings: { readonly prepare: number; readonly vision: number };
}

/** @throws VlmError; the signal's reason */
export async function preparePrompt(
  engine: Engine,
  messages: readonly Message[],
  signal: AbortSignal | undefined,
): Promise<PreparedPrompt> {
  const start = performance.now();
  const checked = checkMessages(messages);
  const tiles: Tiles[] = [];
  for (const { part, at } of imagesOf(checked, engine.limits.maxImages)) {
    signal?.throwIfAborted();
    tiles.push(await tilesOf(part, at, engine));
  }
  const ids = engine.prompts.ids(checked, tiles);
  checkLength(ids, tiles, engine);
  const prepared = performance.now();
  const features: Float32Array[] = [];
  for (const picture of tiles) features.push(await engine.vision.features(picture, signal));
  return { ids, features, timings: { prepare: prepared - start, vision: performance.now() - prepared } };
}

function imagesOf(messages: readonly CheckedMessage[], most: number): { part: ImagePart; at: string }[] {
  const images = messages.flatMap(({ content }, i) =>
    content.flatMap((part, j) => (part.type === 'image' ? [{ part, at: `messages[${i}].content[${j}].image` }] : [])),
  );
  if (images.length <= most) return images;
  throw new VlmError('INVALID_ARGUMENT', `messages: ${images.length} pictures, at most ${most} are allowed`, {
    parameter: 'messages',
  });
}

async function tilesOf({ image }: ImagePart, at: string, { limits, imageSettings }: Engine): Promise<Tiles> {
  try {
    if (image instanceof Uint8Array) return await makeTiles(await decodeImage(image, limits), imageSettings);
    if (image.width * image.height > limits.maxPixels) {
      throw new VlmError(
        'IMAGE_TOO_LARGE',
        `the picture has ${image.width} × ${image.height} pixels, at most ${limits.maxPixels} are allowed`,
      );
    }
    return await makeTiles(image, imageSettings);
  } catch (error) {
    if (!(error instanceof VlmError)) throw error;
    throw new VlmError(error.code, `${at}: ${error.message}`, { cause: error, parameter: at });
  }
}

function checkLength(ids: readonly number[], tiles: readonly Tiles[], { settings }: Engine): void {
  if (ids.length >= settings.contextLength) {
    throw new VlmError(
      'PROMPT_TOO_LONG',
      `messages: ${ids.length} tokens, at most ${settings.contextLength - 1} leave room for an answer`,
      { parameter: 'messages' },
    );
  }
  const expected = tiles.reduce((sum, { count }) => sum + count, 0) * settings.tokensPerTile;
  const found = ids.filter((id) => id === settings.imageTokenId).length;
  if (found !== expected) {
    throw new VlmError(
      'MODEL_UNSUPPORTED',
      `the tokenizer makes ${found} image tokens of ${expected}: tokenizer.json must have the image token as an added token`,
    );
  }
}
