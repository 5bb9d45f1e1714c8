/** The files that a rewrite reports to: JSON and an HTML page. */

import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { type PageContext, reportPage } from '@ort-dora/rewriter';
import { describeRuntime } from '@ort-dora/runtime';
import type { FullReport } from './combined-report.js';
import { externalFiles } from './external-files.js';
import type { ModelSet } from './models.js';
import { version } from './version.js';

export interface ReportPaths {
  readonly report?: string;
  readonly html?: string;
}

export interface ReportContext {
  /** The command that made the report, as it was typed. */
  readonly command: string;
  /** Asked for the page alone, since it takes another look at every model. */
  readonly bytes: () => Promise<ModelBytes>;
}

export interface ModelBytes {
  readonly before: number;
  readonly after: number;
}

/** Writes the reports that were asked for. Each is there as a whole or not at all. */
export async function writeReports(report: FullReport, paths: ReportPaths, context: ReportContext): Promise<void> {
  await writeReportFiles(report, reportPage, paths, context);
}

/** As {@link writeReports}, for a report of another kind and its page. */
export async function writeReportFiles<R>(
  report: R,
  page: (report: R, context: PageContext) => string,
  paths: ReportPaths,
  { command, bytes }: ReportContext,
): Promise<void> {
  if (paths.report !== undefined) await writeWhole(paths.report, `${JSON.stringify(report, null, 2)}\n`);
  if (paths.html !== undefined) {
    await writeWhole(paths.html, page(report, { command, bytes: await bytes(), versions: versions() }));
  }
}

function versions(): Record<string, string> {
  const { onnxruntime, opsLibrary, backend } = describeRuntime();
  return {
    'ort-dora': version,
    'ONNX Runtime': `${onnxruntime.version ?? 'unknown'}${backend === 'onnxruntime-node' ? ', stock binding' : ''}`,
    'operator library': opsLibrary.status,
  };
}

/** Writes a text file, whole or not at all; its folder is made. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const place = resolve(path);
  await mkdir(dirname(place), { recursive: true });
  const partial = `${place}.partial-${process.pid}`;
  try {
    await writeFile(partial, text, { flag: 'wx' });
    await rename(partial, place);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Sizes of the models and their external data, before and after. */
export async function modelBytes(set: ModelSet, out: string): Promise<ModelBytes> {
  const written = set.kind === 'file' ? [out] : set.models.map((model) => join(out, relative(set.root, model)));
  return { before: await totalBytes(set.models), after: await totalBytes(written) };
}

async function totalBytes(models: readonly string[]): Promise<number> {
  let total = 0;
  for (const file of new Set([...models.map((model) => resolve(model)), ...(await externalFiles(models))])) {
    total += (await stat(file)).size;
  }
  return total;
}
