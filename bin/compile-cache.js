// @ts-check
const { existsSync, lstatSync, mkdirSync, statSync } = require('node:fs');
const { dirname, isAbsolute, join } = require('node:path');

/** @type {{ enableCompileCache?: (directory: string) => unknown }} Node 22 and later have it. */
const { enableCompileCache } = Object(require('node:module'));

/**
 * Has Node keep what V8 compiles in a folder that only the user can write to, because the next run executes what it
 * finds there. Without such a folder, or before Node 22, every run compiles. Never throws.
 *
 * @param {NodeJS.ProcessEnv} environment `NODE_COMPILE_CACHE` and `NODE_DISABLE_COMPILE_CACHE` of the user come first
 */
function useCompileCache(environment) {
  if (!enableCompileCache) return;
  if (environment.NODE_COMPILE_CACHE || environment.NODE_DISABLE_COMPILE_CACHE) return;
  const folder = privateFolder(environment);
  if (folder !== undefined) enableCompileCache(folder);
}

/**
 * `cryptosense-db` in the user's folder for caches, created where it is missing; undefined where it is not private.
 *
 * @param {NodeJS.ProcessEnv} environment
 */
function privateFolder({ XDG_CACHE_HOME = '', HOME = '' }) {
  const caches = isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(HOME, '.cache');
  const user = process.getuid?.();
  if (user === undefined || !isAbsolute(caches)) return undefined;
  const folder = join(caches, 'cryptosense-db');
  try {
    // Under sudo HOME may be another user's, who could not remove what root creates there. And who may write to the
    // folder above may put another one in the place of this one.
    const parent = existsSync(caches) ? caches : dirname(caches);
    if (!isPrivate(statSync(parent), user)) return undefined;
    // Not with `recursive`, which never returns below /proc.
    for (const each of [caches, folder]) if (!existsSync(each)) mkdirSync(each, { mode: 0o700 });
    return isPrivate(lstatSync(folder), user) ? folder : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A directory of the user's that no other user may write to.
 *
 * @param {import('node:fs').Stats} status
 * @param {number} user
 */
function isPrivate(status, user) {
  return status.isDirectory() && status.uid === user && (status.mode & 0o022) === 0;
}

module.exports = { useCompileCache };
