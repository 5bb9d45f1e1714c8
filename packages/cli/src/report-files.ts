/** The files that a rewrite reports to: JSON and an HTML page. */

import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { type ModuleGraph, type PageContext, readModuleGraphs, reportPage } from '@ort-dora/rewriter';
import { describeRuntime } from '@ort-dora/runtime';
import { type FullReport, inFile, type NamedReport } from './combined-report.js';
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
  readonly bytes?: () => Promise<ModelBytes>;
  /** Likewise. */
  readonly graphs?: () => Promise<readonly ModuleGraph[]>;
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
  { command, bytes, graphs }: ReportContext,
): Promise<void> {
  if (paths.report !== undefined) await writeWhole(paths.report, `${JSON.stringify(report, null, 2)}\n`);
  if (paths.html !== undefined) {
    const context: PageContext = {
      command,
      versions: versions(),
      ...(bytes && { bytes: await bytes() }),
      ...(graphs && { graphs: await graphs() }),
    };
    await writeWhole(paths.html, page(report, context));
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

/** Some modules of each model before and after, for its page; of a folder, named as its combined report names them. */
export async function moduleGraphs(
  set: ModelSet,
  out: string,
  reports: readonly NamedReport[],
): Promise<ModuleGraph[]> {
  const written = writtenModels(set, out);
  const graphs: ModuleGraph[] = [];
  for (const [index, { name, report, verification }] of reports.entries()) {
    const found = await readModuleGraphs(set.models[index]!, written[index]!, report.modules, verification);
    graphs.push(...(set.kind === 'file' ? found : found.map((graph) => inFile(name, graph))));
  }
  return graphs;
}

/** Sizes of the models and their external data, before and after. */
export async function modelBytes(set: ModelSet, out: string): Promise<ModelBytes> {
  return { before: await totalBytes(set.models), after: await totalBytes(writtenModels(set, out)) };
}

const writtenModels = (set: ModelSet, out: string): readonly string[] =>
  set.kind === 'file' ? [out] : set.models.map((model) => join(out, relative(set.root, model)));

async function totalBytes(models: readonly string[]): Promise<number> {
  let total = 0;
  for (const file of new Set([...models.map((model) => resolve(model)), ...(await externalFiles(models))])) {
    total += (await stat(file)).size;
  }
  return total;
}
