// What must be on the machine before anything else, and the command that brings each missing piece.
import { spawnSync } from 'node:child_process';
// By path: before the packages are installed there is no name to import it by, and it needs none of them.
import { installCommand, missingTools } from '../../custom-ops/native-build/cmake.js';
import { StepError } from '../steps/steps.mjs';

const OLDEST_NODE = [20, 19];

/** Throws StepError unless this Node.js is new enough. */
export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    throw new StepError(
      `Node.js ${process.versions.node} is too old: ${OLDEST_NODE.join('.')} or newer is needed`,
      'install a current Node.js 20, 22 or 24 and run the command again',
    );
  }
}

/**
 * Names of the native build's tools that are missing, with the command that installs them. Without them everything still works
 * through the function bodies inside the models.
 */
export function missingNativeTools() {
  const missing = missingTools();
  return { names: missing.map(({ tool }) => tool), remedy: installCommand(missing) };
}

/** Throws StepError unless the native build's tools and Python 3 are there: the tests need them, the product does not. */
export function requireTestTools() {
  const { names, remedy } = missingNativeTools();
  if (names.length > 0) throw new StepError(`the tests need ${names.join(', ')}, which this machine lacks`, remedy);
  if (!found('python3')) {
    throw new StepError('the tests need python3, which this machine lacks', 'apt-get install -y python3');
  }
}

function found(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}
