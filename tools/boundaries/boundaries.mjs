// Finds imports that break the arrows: package to package, past a package's surface, or undeclared in package.json.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { parseSync } from 'oxc-parser';

/**
 * Checks every package below `root` that `arrows` names.
 * @returns {string[]} one sentence a violation: where, what, and which rule it breaks.
 */
export function violations(root, arrows) {
  const present = Object.keys(arrows).filter((folder) => existsSync(join(root, folder, 'package.json')));
  const manifests = new Map(present.map((folder) => [folder, readManifest(root, folder)]));
  const folderOf = new Map([...manifests].map(([folder, manifest]) => [manifest.name, folder]));
  const found = unlistedPackages(root, arrows);
  for (const [folder, manifest] of manifests) {
    for (const file of sources(join(root, folder))) {
      for (const specifier of importsOf(file)) {
        const problem = judge({
          root,
          folder,
          manifest,
          file,
          specifier,
          folderOf,
          allowed: arrows[folder],
          manifests,
        });
        if (problem) found.push(`${relative(root, file)}: ${problem}`);
      }
    }
  }
  return found;
}

function judge({ root, folder, manifest, file, specifier, folderOf, allowed, manifests }) {
  if (specifier.startsWith('.')) {
    const target = relative(join(root, folder), normalize(join(dirname(file), specifier)));
    return target.startsWith('..')
      ? `imports '${specifier}', which lies outside ${folder}: import the package instead`
      : '';
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const target = folderOf.get(name);
  if (target === undefined || target === folder) return '';
  if (!allowed.includes(target)) {
    return `imports '${specifier}': ${folder} may import ${allowed.length > 0 ? allowed.join(', ') : 'no other package'}`;
  }
  if (!(name in (manifest.dependencies ?? {}))) return `imports '${specifier}', which its package.json does not list`;
  const subpath = `.${specifier.slice(name.length)}`;
  if (!(subpath in (manifests.get(target).exports ?? {}))) {
    return `imports '${specifier}' past the surface of ${target}: its package.json exports no '${subpath}'`;
  }
  return '';
}

function unlistedPackages(root, arrows) {
  const folder = join(root, 'packages');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'package.json')) && !(`packages/${name}` in arrows))
    .map((name) => `packages/${name}: no arrows are given for it: add it to tools/boundaries/arrows.mjs`);
}

/** The product's sources: tests may import what they need. */
function sources(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mts|js|mjs)$/.test(entry.name) && !/\.(test|d)\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/(^|\/)(node_modules|dist|build|test|bench|reports)\//.test(relative(folder, file)));
}

function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  const { module, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file} does not parse: ${errors[0].message}`);
  const dynamic = module.dynamicImports.map(({ moduleRequest }) => text.slice(moduleRequest.start, moduleRequest.end));
  return [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) => entries.flatMap((entry) => entry.moduleRequest?.value ?? [])),
    ...dynamic.filter((text) => /^(['"]).*\1$/.test(text)).map((text) => text.slice(1, -1)),
  ];
}

function readManifest(root, folder) {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
}
