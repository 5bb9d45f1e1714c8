import sharp from 'sharp';
import { expect, it } from 'vitest';
import { decodeImage } from './decode-image.js';

const limits = { maxBytes: 100_000, maxPixels: 10_000 };
const blank = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: '#fff' } });

function error(code: string, message: string) {
  return expect.objectContaining({ code, message: expect.stringContaining(message) });
}

it('refuses a picture of too many pixels by its header, before it decodes', async () => {
  const bomb = await blank(16_000, 16_000).png({ compressionLevel: 9 }).toBuffer();
  const start = performance.now();
  await expect(decodeImage(bomb, { ...limits, maxBytes: bomb.length })).rejects.toThrow(
    error('IMAGE_TOO_LARGE', '16000 × 16000 pixels, at most 10000'),
  );
  expect(performance.now() - start).toBeLessThan(500);
});

it('refuses a file of too many bytes', async () => {
  await expect(decodeImage(new Uint8Array(100_001), limits)).rejects.toThrow(
    error('IMAGE_TOO_LARGE', '100001 bytes, at most 100000'),
  );
});

it.each([
  ['nothing', new Uint8Array(0)],
  ['SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')],
  ['PDF', Buffer.from('%PDF-1.7')],
  ['TIFF', await blank(4, 4).tiff().toBuffer()],
])('refuses %s', async (_, bytes) => {
  await expect(decodeImage(bytes, limits)).rejects.toThrow(error('IMAGE_INVALID', 'not a PNG, JPEG, WebP or GIF file'));
});

it.each(['png', 'jpeg', 'webp', 'gif'] as const)('refuses a truncated %s', async (format) => {
  const noise = {
    create: {
      width: 64,
      height: 64,
      channels: 3,
      background: '#888',
      noise: { type: 'gaussian', mean: 128, sigma: 50 },
    },
  } as const;
  const whole = await sharp(noise).toFormat(format).toBuffer();
  await expect(decodeImage(whole.subarray(0, Math.floor(whole.length / 2)), limits)).rejects.toThrow(
    error('IMAGE_INVALID', 'cannot be decoded'),
  );
});

it('survives corrupt bytes: pixels or a typed error', async () => {
  const whole = await blank(32, 32).jpeg().toBuffer();
  for (let at = 4; at < whole.length; at += 7) {
    const corrupt = Buffer.from(whole);
    corrupt[at]! ^= 0x55;
    const result = await decodeImage(corrupt, limits).catch((thrown: unknown) => thrown);
    expect(result).toSatisfy(
      (value: { width?: number; code?: string }) => value.width !== undefined || /^IMAGE_/.test(value.code ?? ''),
    );
  }
});
