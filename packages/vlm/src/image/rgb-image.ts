/** Pixels in memory: 8 bits a channel, red, green and blue interleaved, row by row from the top. */
export interface RgbImage {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** width · height · 3 bytes. */
  readonly data: Uint8Array;
}
