/** How numbers are written on the page. */

/** 1.2e-4, with a true minus sign and no superfluous zeros. */
export function scientific(value: number): string {
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not a number' : '∞';
  const [digits, exponent] = value.toExponential(1).split('e') as [string, string];
  return `${digits}e${exponent.replace('-', '−').replace('+', '')}`;
}

/** 0.93×, 12×. */
export function times(ratio: number): string {
  if (!Number.isFinite(ratio)) return '∞×';
  return `${ratio < 10 ? ratio.toFixed(2) : Math.round(ratio)}×`;
}

/** 12 345, with thin spaces. */
export const integer = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, '\u2009');

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Decimal units: 1 kB is 1000 bytes. */
export function byteSize(value: number): string {
  let unit = 0;
  let size = Math.abs(value);
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${value < 0 ? '−' : ''}${unit === 0 ? size : Number(size.toPrecision(3))} ${units[unit]}`;
}

/** −38 %, +4 %, ±0 %. */
export function change(before: number, after: number): string {
  if (before === 0) return '';
  const percent = Math.round(((after - before) / before) * 100);
  return percent === 0 ? '±0 %' : `${percent < 0 ? '−' : '+'}${Math.abs(percent)} %`;
}

export const plural = (number: number, noun: string) => `${integer(number)} ${noun}${number === 1 ? '' : 's'}`;
