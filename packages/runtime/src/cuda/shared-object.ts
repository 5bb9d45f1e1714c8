// The libraries that a shared object needs, by its dynamic section (ELF, 64 bits, little-endian).
import { closeSync, openSync, readSync } from 'node:fs';

const DYNAMIC = 6; // SHT_DYNAMIC
const NEEDED = 1n; // DT_NEEDED
/** More than any library's names take. */
const LARGEST_SECTION = 1 << 24;

/**
 * The sonames, in the order in which the loader looks for them.
 * @throws Error if the file cannot be read or is no such object
 */
export function neededLibraries(path: string): string[] {
  const file = openSync(path, 'r');
  try {
    const read = (at: number, length: number) => {
      if (!(length >= 0 && length <= LARGEST_SECTION)) throw new Error(`${path} is damaged`);
      const buffer = Buffer.alloc(length);
      if (readSync(file, buffer, 0, length, at) !== length) throw new Error(`${path} is cut off`);
      return buffer;
    };
    const header = read(0, 64);
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error(`${path} is not a 64-bit shared object`);
    const sections = {
      at: Number(header.readBigUInt64LE(40)),
      size: header.readUInt16LE(58),
      count: header.readUInt16LE(60),
    };
    const section = (index: number) => {
      const entry = read(sections.at + index * sections.size, 64);
      return {
        type: entry.readUInt32LE(4),
        at: Number(entry.readBigUInt64LE(24)),
        bytes: Number(entry.readBigUInt64LE(32)),
        link: entry.readUInt32LE(40),
      };
    };
    for (let i = 0; i < sections.count; i++) {
      const dynamic = section(i);
      if (dynamic.type !== DYNAMIC) continue;
      const names = section(dynamic.link);
      const text = read(names.at, names.bytes);
      const entries = read(dynamic.at, dynamic.bytes);
      const found: string[] = [];
      for (let at = 0; at + 16 <= entries.length; at += 16) {
        if (entries.readBigUInt64LE(at) !== NEEDED) continue;
        const start = Number(entries.readBigUInt64LE(at + 8));
        const end = text.indexOf(0, start);
        if (end < 0) throw new Error(`${path} is damaged`);
        found.push(text.toString('latin1', start, end));
      }
      return found;
    }
    throw new Error(`${path} has no dynamic section`);
  } finally {
    closeSync(file);
  }
}
