import { expect, it } from 'vitest';
import { resample } from './resample.js';

const flat = (width: number, height: number) => ({ width, height, data: new Uint8Array(width * height * 3).fill(200) });

it.each(['lanczos', 'bilinear', 'bicubic'] as const)('%s keeps a flat picture flat', async (filter) => {
  for (const arithmetic of ['pillow', 'torchvision'] as const) {
    for (const [width, height] of [
      [1, 1],
      [13, 64],
      [640, 3],
    ] as const) {
      const { data } = await resample(flat(37, 29), width, height, filter, arithmetic);
      expect(data.length).toBe(width * height * 3);
      expect(data.every((level) => level === 200)).toBe(true);
    }
  }
});

it('gives a picture back that has the size already', async () => {
  const image = flat(5, 5);
  expect(await resample(image, 5, 5, 'lanczos', 'pillow')).toBe(image);
});

it('lets the event loop run while it works on a large picture', async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await resample(flat(4000, 3000), 512, 384, 'lanczos', 'torchvision');
  clearInterval(timer);
  // 200 million multiplications in slices of 4 million.
  expect(ticks).toBeGreaterThan(20);
});
