import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { openModel } from '@ort-dora/onnx';
import type { RewriteReport } from '../report/report.js';
import { fileTensors } from '../tensors/file.js';
import { RewriteError } from './error.js';
import type { InspectOptions, RewriteOptions, RewriteResult } from './options.js';
import { inspectModelProto, rewriteModelProto } from './rewrite-proto.js';
import { writeWithData } from './write-with-data.js';

/**
 * Rewrites one .onnx file: each DoRA layer becomes one operator of domain `ort.dora`, everything else stays as it is.
 *
 * The input is never modified. The output appears whole or not at all; the same input gives the same bytes.
 *
 * @throws OnnxError for a bad input file or a failed write; RewriteError `same-file`, `exists`, `scale`, `opset`.
 */
export async function rewriteModel(
  inputPath: string,
  outputPath: string,
  options: RewriteOptions = {},
): Promise<RewriteResult> {
  await refuseSameFile(inputPath, outputPath);
  const file = await openModel(inputPath);
  try {
    const report = await rewriteModelProto(file.model, fileTensors(file), basename(file.path), options);
    options.signal?.throwIfAborted();
    options.onProgress?.({ stage: 'write', file: basename(outputPath) });
    await writeWithData(file, outputPath, options);
    return { report, output: resolve(outputPath) };
  } finally {
    await file.close();
  }
}

/** What {@link rewriteModel} would find and fuse. Writes nothing, computes no g. */
export async function inspectModel(inputPath: string, options: InspectOptions = {}): Promise<RewriteReport> {
  const file = await openModel(inputPath);
  try {
    return await inspectModelProto(file.model, fileTensors(file), basename(file.path), options);
  } finally {
    await file.close();
  }
}

/** @throws RewriteError `same-file` where both are one file, by whatever path or link. */
export async function refuseSameFile(inputPath: string, outputPath: string): Promise<void> {
  const [input, output] = await Promise.all([identity(inputPath), identity(outputPath)]);
  if (resolve(inputPath) === resolve(outputPath) || (input !== undefined && input === output)) {
    throw new RewriteError('same-file', `${outputPath}: the output is the input itself; write to another file`);
  }
}

/** Device and inode: the same for all paths and links to a file. */
async function identity(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
