// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

// Debian's package python3-swift belongs to Debian's Python, whatever stands before it in PATH.
const python = '/usr/bin/python3';
const probe =
  'import importlib.util as u, sys; sys.exit(u.find_spec("swift.common.middleware.s3api") is None)';

/** False: what needs it is left out. */
export const hasSwift = spawnSync(python, ['-c', probe]).status === 0;

/**
 * @typedef {object} SwiftServer
 * @property {Readonly<Record<'container' | 'proxy', number>>} ports on loopback; `proxy` is the one with the S3 interface
 * @property {() => Promise<void>} stop
 */

/**
 * Starts object storage as this user, for tests and the bench. Takes about 2 s.
 * @param {string} folder an empty one, for its data
 * @returns {Promise<SwiftServer>}
 */
export async function serveSwift(folder) {
  const script = fileURLToPath(new URL('serve-swift.py', import.meta.url));
  const child = spawn(python, [script, folder], { stdio: ['pipe', 'pipe', 'pipe'] });
  const errors = /** @type {Buffer[]} */ ([]);
  child.stderr.on('data', (chunk) => errors.push(chunk));
  const ended = once(child, 'exit').then(() => {
    throw new Error(`Swift ended: ${Buffer.concat(errors).toString()}`);
  });
  ended.catch(() => {});
  const [line] = await Promise.race([once(child.stdout, 'data'), ended]);
  return {
    ports: JSON.parse(String(line)),
    stop: async () => {
      child.stdin.end();
      await ended.catch(() => {});
    },
  };
}
