// A picture as the vision encoder of Idefics3 and SmolVLM takes it: tiles and the whole, all squares of one size.
// transformers: models/smolvlm/image_processing_smolvlm.py and image_processing_pil_smolvlm.py.
import { setImmediate } from 'node:timers/promises';
import type { ImageSettings } from '../folder/image-settings.js';
import { resample } from './resample.js';
import type { RgbImage } from './rgb-image.js';

/** The tiles of one picture. */
export interface Tiles {
  /** float32 [count, 3, side, side], normalised. */
  readonly pixels: Float32Array;
  readonly count: number;
  /** In pixels. */
  readonly side: number;
  /** 0 where the picture was not split: then its only tile is the whole. Else the last tile is the whole. */
  readonly rows: number;
  readonly columns: number;
}

/** transformers' MAX_IMAGE_SIZE: the longest edge after the first resize. */
const LARGEST_EDGE = 4096;

/** Resizes, splits and normalises, as the processor with these settings does. */
export async function makeTiles(image: RgbImage, settings: ImageSettings): Promise<Tiles> {
  const { tileSide: side, filter, arithmetic } = settings;
  const resized = (to: RgbImage, [width, height]: readonly [number, number]) =>
    resample(to, width, height, filter, arithmetic);
  const scaled =
    settings.longestEdge === undefined ? image : await resized(image, scaledSize(image, settings.longestEdge));
  if (!settings.split) {
    return normalised([{ image: await resized(scaled, [side, side]), left: 0, top: 0 }], settings, 0, 0);
  }
  const whole = await resized(scaled, multipleOf(side, scaled));
  if (whole.width <= side && whole.height <= side)
    return normalised([{ image: whole, left: 0, top: 0 }], settings, 0, 0);
  const [rows, columns] = [whole.height / side, whole.width / side];
  const crops = Array.from({ length: rows * columns }, (_, i) => ({
    image: whole,
    left: (i % columns) * side,
    top: Math.floor(i / columns) * side,
  }));
  const overview = { image: await resized(whole, [side, side]), left: 0, top: 0 };
  return normalised([...crops, overview], settings, rows, columns);
}

/** The size with the given longest edge: the other is made even, and nothing is longer than LARGEST_EDGE. */
function scaledSize({ width, height }: RgbImage, longestEdge: number): readonly [number, number] {
  const ratio = width / height;
  const even = (length: number) => Math.max(length + (length % 2), 1);
  const size: [number, number] =
    width >= height
      ? [longestEdge, even(Math.trunc(longestEdge / ratio))]
      : [even(Math.trunc(longestEdge * ratio)), longestEdge];
  return belowLargestEdge(size);
}

function belowLargestEdge([width, height]: readonly [number, number]): readonly [number, number] {
  const ratio = width / height;
  if (width >= height && width > LARGEST_EDGE) return [LARGEST_EDGE, Math.max(Math.trunc(LARGEST_EDGE / ratio), 1)];
  if (height > width && height > LARGEST_EDGE) return [Math.max(Math.trunc(LARGEST_EDGE * ratio), 1), LARGEST_EDGE];
  return [width, height];
}

/** Both edges rounded up to whole tiles, the shorter one after the longer one's growth. */
function multipleOf(side: number, { width, height }: RgbImage): readonly [number, number] {
  const ratio = width / height;
  const up = (length: number) => Math.ceil(length / side) * side;
  if (width >= height) return [up(width), up(Math.trunc(up(width) / ratio))];
  return [up(Math.trunc(up(height) * ratio)), up(height)];
}

/** A square cut out of an image. */
interface Crop {
  readonly image: RgbImage;
  readonly left: number;
  readonly top: number;
}

/** Lets the event loop run after every tile. */
async function normalised(
  crops: readonly Crop[],
  settings: ImageSettings,
  rows: number,
  columns: number,
): Promise<Tiles> {
  const { tileSide: side } = settings;
  const tables = settings.mean.map((mean, channel) => normalisedLevels(settings, mean, settings.deviation[channel]!));
  const pixels = new Float32Array(crops.length * 3 * side * side);
  let to = 0;
  for (const { image, left, top } of crops) {
    for (let channel = 0; channel < 3; channel++) {
      const table = tables[channel]!;
      for (let y = 0; y < side; y++) {
        let from = ((top + y) * image.width + left) * 3 + channel;
        for (let x = 0; x < side; x++, from += 3) pixels[to++] = table[image.data[from]!]!;
      }
    }
    await setImmediate();
  }
  return { pixels, count: crops.length, side, rows, columns };
}

/** The float32 value of each of the 256 levels: both backends compute in float32, torchvision's with the rescaling folded in. */
function normalisedLevels({ arithmetic, rescale }: ImageSettings, mean: number, deviation: number): Float32Array {
  const round = Math.fround;
  if (arithmetic === 'pillow') {
    return Float32Array.from(
      { length: 256 },
      (_, level) => round(round(level * rescale) - round(mean)) / round(deviation),
    );
  }
  const factor = round(1 / rescale);
  const [offset, divisor] = [round(round(mean) * factor), round(round(deviation) * factor)];
  return Float32Array.from({ length: 256 }, (_, level) => round(level - offset) / divisor);
}
