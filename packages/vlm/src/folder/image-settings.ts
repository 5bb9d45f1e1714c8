// preprocessor_config.json of Idefics3 and SmolVLM, or, as transformers 5 writes it, the part of processor_config.json.
import { VlmError } from '../errors.js';
import type { ResampleArithmetic, ResampleFilter } from '../image/resample.js';
import type { JsonObject } from './json-object.js';
import type { ModelFolder } from './model-folder.js';

export interface ImageSettings {
  /** The edge of a square tile, in pixels. */
  readonly tileSide: number;
  /** The longest edge before splitting, in pixels; undefined: pictures keep their size. */
  readonly longestEdge: number | undefined;
  /** Whether a picture larger than a tile is split. */
  readonly split: boolean;
  readonly filter: ResampleFilter;
  /** That of the Python processor: torchvision's, unless the class is one of the `…Pil` ones. */
  readonly arithmetic: ResampleArithmetic;
  /** What a level of 0 … 255 is multiplied with before mean and deviation. */
  readonly rescale: number;
  /** Per channel. */
  readonly mean: readonly number[];
  /** Per channel. */
  readonly deviation: readonly number[];
}

const CLASSES = /^(SmolVLM|Idefics3)ImageProcessor(Fast|Pil)?$/;

/** PIL.Image.Resampling. */
const FILTERS: Readonly<Record<number, ResampleFilter>> = { 1: 'lanczos', 2: 'bilinear', 3: 'bicubic' };

/** @throws VlmError FOLDER_INVALID or MODEL_UNSUPPORTED */
export async function readImageSettings(folder: ModelFolder): Promise<ImageSettings> {
  const flat = await folder.optionalJson('preprocessor_config.json');
  const nested = flat === undefined ? await folder.optionalJson('processor_config.json') : undefined;
  return imageSettings(
    flat ?? nested?.optionalObject('image_processor') ?? (await folder.json('preprocessor_config.json')),
  );
}

export function imageSettings(file: JsonObject): ImageSettings {
  const name = file.string('image_processor_type');
  if (!CLASSES.test(name)) {
    throw new VlmError(
      'MODEL_UNSUPPORTED',
      `image processor ${name} is not supported: expected that of Idefics3 or SmolVLM`,
    );
  }
  for (const step of ['do_rescale', 'do_normalize']) {
    if (!file.or(step, (f) => f.boolean(step), true))
      throw new VlmError('MODEL_UNSUPPORTED', `image processor with ${step} = false is not supported`);
  }
  const resample = file.or('resample', (f) => f.integer('resample', 0, 5), 1);
  const filter = FILTERS[resample];
  if (filter === undefined)
    throw new VlmError(
      'MODEL_UNSUPPORTED',
      `resample ${resample} is not supported: expected 1 (Lanczos), 2 (bilinear) or 3 (bicubic)`,
    );
  const resizes = file.or('do_resize', (f) => f.boolean('do_resize'), true);
  return {
    tileSide: file.object('max_image_size').integer('longest_edge', 8, 4096),
    longestEdge: resizes ? file.object('size').integer('longest_edge', 8, 16384) : undefined,
    split: file.or('do_image_splitting', (f) => f.boolean('do_image_splitting'), true),
    filter,
    arithmetic: name.endsWith('Pil') ? 'pillow' : 'torchvision',
    rescale: file.or('rescale_factor', (f) => f.number('rescale_factor', 1e-6, 1e3), 1 / 255),
    mean: perChannel(file, 'image_mean'),
    deviation: perChannel(file, 'image_std'),
  };
}

/** transformers' IMAGENET_STANDARD_MEAN and _STD where the file says nothing. */
function perChannel(file: JsonObject, name: string): readonly number[] {
  const values = file.or(name, (f) => f.numbers(name), [0.5]);
  if (values.length !== 1 && values.length !== 3)
    throw new VlmError('FOLDER_INVALID', `the image processor: ${name}: expected 3 numbers, found ${values.length}`);
  return values.length === 3 ? values : [values[0]!, values[0]!, values[0]!];
}
