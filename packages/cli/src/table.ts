/** Text tables for a terminal: columns aligned, nothing drawn around them. */

import { singleLine } from './errors.js';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  /** Numbers stand to the right. */
  readonly align?: 'left' | 'right';
}

/** The rows as aligned lines under their titles. A column that is empty in every row is left out. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
  const filled = columns
    .map(({ title, value, align = 'left' }) => ({ title, align, cells: rows.map((row) => singleLine(value(row))) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''));
  const lines = [filled.map(({ title }) => title), ...rows.map((_, index) => filled.map(({ cells }) => cells[index]!))];
  const widths = filled.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line
      .map((cell, column) =>
        filled[column]!.align === 'right' ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** 1 module, 2 modules. */
export const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;

const units = ['B', 'KB', 'MB', 'GB', 'TB'];

/** A number of bytes for a reader: 1.25 MB (1 MB = 10⁶ bytes). */
export function bytes(number: number): string {
  let unit = 0;
  let value = Math.abs(number);
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const text = unit === 0 ? String(value) : value.toPrecision(3);
  return `${number < 0 ? '−' : ''}${text} ${units[unit]}`;
}
